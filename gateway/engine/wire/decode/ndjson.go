package decode

import (
	"bytes"
	"fmt"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// lines reads one JSON object per line: a structured CloudEvent, or the short
// form {channel, data, id?, type?}. Blank lines count for nothing. With the
// header Idempotency-Key, events of the short form that have no id get the key
// and their index as one.
func lines(r *Request) ([]wire.Event, error) {
	key, err := idempotencyKey(r)
	if err != nil {
		return nil, err
	}
	var raws [][]byte
	for line := range bytes.SplitSeq(r.Body, []byte{'\n'}) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			raws = append(raws, line)
		}
	}
	return each(raws, func(index int, raw []byte) (wire.Event, *fault) {
		if err := checkJSON(raw); err != nil {
			return wire.Event{}, &fault{InvalidJSON, err.Error()}
		}
		cloud, f := hasVersion(raw)
		if f != nil {
			return wire.Event{}, f
		}
		if cloud {
			return cloudEventOf(raw, "")
		}
		e, f := short(raw)
		if f == nil && e.ID == "" && key != "" {
			e.ID = fmt.Sprintf("%s#%d", key, index)
		}
		return e, f
	})
}

// hasVersion tells whether a line has the member that makes it a CloudEvent.
func hasVersion(raw []byte) (has bool, bad *fault) {
	// Most short forms are known at a glance. One that spells the name with
	// escapes is refused later as an unknown member.
	if !bytes.Contains(raw, []byte("specversion")) {
		return false, nil
	}
	bad = members(raw, func(name, _ []byte) *fault {
		has = has || string(name) == "specversion"
		return nil
	})
	return has, bad
}

// short reads the short form. An unknown member is refused, since a mistyped
// id would switch deduplication off in silence.
func short(raw []byte) (wire.Event, *fault) {
	var e wire.Event
	hasData := false
	f := members(raw, func(name, value []byte) *fault {
		var to *string
		switch string(name) {
		case "channel":
			to = &e.Channel
		case "id":
			to = &e.ID
		case "type":
			to = &e.Type
		case "data":
			e.Data, hasData = value, true
			return nil
		default:
			return &fault{InvalidEvent, fmt.Sprintf("%.40q is not known; an event without specversion has channel, data, id and type", name)}
		}
		text, ok := stringOf(value)
		if !ok {
			return &fault{InvalidEvent, string(name) + " must be a string"}
		}
		*to = text
		return nil
	})
	switch {
	case f != nil:
		return wire.Event{}, f
	case !hasData:
		return wire.Event{}, &fault{InvalidEvent, "data is missing"}
	}
	return e, checkEvent(&e)
}
