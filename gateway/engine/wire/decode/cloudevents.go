package decode

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

const specVersion = "1.0"

// cloudEvent gathers the attributes of a CloudEvent while it is read. Other
// attributes and extensions are not for this gateway and are passed over.
type cloudEvent struct {
	specVersion, id, source, typ, channel, contentType, flush, coalesce, key, trace string

	hasData, hasData64 bool
	data               []byte // raw JSON value
	data64             string
}

// structured reads one CloudEvent.
func structured(r *Request) ([]wire.Event, error) {
	if err := checkJSON(r.Body); err != nil {
		return nil, &Error{Kind: InvalidJSON, Detail: err.Error()}
	}
	var bad faults
	e, f := cloudEventOf(r.Body, r.Channel)
	if f != nil {
		bad.add(0, f)
		return nil, bad.err()
	}
	return []wire.Event{e}, nil
}

// batch reads a JSON array of CloudEvents; each names its channel.
func batch(r *Request) ([]wire.Event, error) {
	if err := checkJSON(r.Body); err != nil {
		return nil, &Error{Kind: InvalidJSON, Detail: err.Error()}
	}
	s := scanner{text: r.Body}
	if s.peek() != '[' {
		return nil, &Error{Kind: InvalidJSON, Detail: "a batch is a JSON array"}
	}
	var raws [][]byte
	if err := s.elements(0, func(v []byte) { raws = append(raws, v) }); err != nil {
		return nil, &Error{Kind: InvalidJSON, Detail: err.Error()}
	}
	return each(raws, func(_ int, raw []byte) (wire.Event, *fault) { return cloudEventOf(raw, "") })
}

// each reads the events of a request with many, and gathers what is wrong.
func each(raws [][]byte, read func(index int, raw []byte) (wire.Event, *fault)) ([]wire.Event, error) {
	switch {
	case len(raws) == 0:
		return nil, &Error{Kind: InvalidEvent, Detail: "the request holds no event"}
	case len(raws) > MaxEvents:
		return nil, &Error{Kind: BatchTooLarge, Detail: fmt.Sprintf("the request holds %d events, the limit is %d", len(raws), MaxEvents)}
	}
	var bad faults
	events := make([]wire.Event, 0, len(raws))
	for i, raw := range raws {
		e, f := read(i, raw)
		if f != nil {
			bad.add(i, f)
			continue
		}
		events = append(events, e)
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	return events, nil
}

// cloudEventOf makes an event of a valid JSON value.
func cloudEventOf(raw []byte, channel string) (wire.Event, *fault) {
	var ce cloudEvent
	if f := members(raw, ce.set); f != nil {
		return wire.Event{}, f
	}
	if ce.channel == "" {
		ce.channel = channel
	}
	e, f := ce.event()
	if f != nil {
		return wire.Event{}, f
	}
	if f := ce.setData(&e); f != nil {
		return wire.Event{}, f
	}
	return e, nil
}

// members calls set with every member of the object that raw, a valid JSON
// value, must be, until something is wrong. A repeated name is refused: readers
// differ in which of the two counts.
func members(raw []byte, set func(name, value []byte) *fault) *fault {
	s := scanner{text: raw}
	if s.peek() != '{' {
		return &fault{InvalidEvent, "an event is a JSON object"}
	}
	var bad *fault
	seen := make([][]byte, 0, 8)
	err := s.members(0, func(rawName, value []byte) {
		if bad != nil {
			return
		}
		name := bytesOf(rawName)
		switch {
		case slices.ContainsFunc(seen, func(known []byte) bool { return bytes.Equal(known, name) }):
			bad = &fault{InvalidEvent, fmt.Sprintf("%.40q is there twice", name)}
		case len(seen) == maxMembers:
			bad = &fault{InvalidEvent, fmt.Sprintf("an event has at most %d members", maxMembers)}
		default:
			seen = append(seen, name)
			bad = set(name, value)
		}
	})
	if err != nil {
		return &fault{InvalidJSON, err.Error()}
	}
	return bad
}

// maxMembers bounds the attributes of one event, and with it the search for
// repeats.
const maxMembers = 64

func (ce *cloudEvent) set(name, value []byte) *fault {
	var to *string
	switch string(name) {
	case "specversion":
		to = &ce.specVersion
	case "id":
		to = &ce.id
	case "source":
		to = &ce.source
	case "type":
		to = &ce.typ
	case "channel":
		to = &ce.channel
	case "datacontenttype":
		to = &ce.contentType
	case "sgcoalesce":
		to = &ce.coalesce
	case "sgkey":
		to = &ce.key
	case "traceparent":
		// One that is not understood means nothing; it is no fault of the event.
		ce.trace, _ = stringOf(value)
		return nil
	case "sgflush":
		if b := string(value); b == "true" || b == "false" {
			ce.flush = b
			return nil
		}
		to = &ce.flush
	case "data":
		ce.data, ce.hasData = value, true
		return nil
	case "data_base64":
		to, ce.hasData64 = &ce.data64, true
	default:
		return nil
	}
	text, ok := stringOf(value)
	if !ok && string(value) != "null" {
		return &fault{InvalidEvent, string(name) + " must be a string"}
	}
	*to = text
	return nil
}

// event checks the attributes and gives the event without its data.
func (ce *cloudEvent) event() (wire.Event, *fault) {
	if ce.specVersion != specVersion {
		return wire.Event{}, &fault{InvalidEvent, fmt.Sprintf("specversion must be %q, not %.20q", specVersion, ce.specVersion)}
	}
	for _, required := range []struct{ name, value string }{{"id", ce.id}, {"source", ce.source}, {"type", ce.typ}} {
		if required.value == "" {
			return wire.Event{}, &fault{InvalidEvent, required.name + " is missing"}
		}
	}
	switch ce.flush {
	case "", "true", "false":
	default:
		return wire.Event{}, &fault{InvalidEvent, "sgflush must be true or false"}
	}
	e := wire.Event{Channel: ce.channel, ID: ce.id, Type: ce.typ, Source: ce.source, Flush: ce.flush == "true",
		Trace: wire.ParseTrace(ce.trace)}
	if f := ce.setCoalescing(&e); f != nil {
		return wire.Event{}, f
	}
	return e, checkEvent(&e)
}

// setCoalescing reads the extensions that let parts be delivered as one event.
func (ce *cloudEvent) setCoalescing(e *wire.Event) *fault {
	switch ce.coalesce {
	case "":
		return nil
	case "concat":
		e.Coalesce = wire.Concat
	case "last":
		e.Coalesce = wire.Newest
	default:
		return &fault{InvalidEvent, "sgcoalesce must be concat or last"}
	}
	if ce.key == "" || len(ce.key) > maxCoalesceKeyBytes {
		return &fault{InvalidEvent, fmt.Sprintf("sgkey must have 1 to %d bytes with sgcoalesce", maxCoalesceKeyBytes)}
	}
	e.Key = ce.key
	return nil
}

// maxCoalesceKeyBytes bounds sgkey, which the log keeps.
const maxCoalesceKeyBytes = 128

func (ce *cloudEvent) setData(e *wire.Event) *fault {
	media := mediaType(ce.contentType)
	switch {
	case ce.hasData && ce.hasData64:
		return &fault{InvalidEvent, "data and data_base64 exclude each other"}
	case ce.hasData64:
		data, err := base64.StdEncoding.DecodeString(ce.data64)
		if err != nil {
			return &fault{InvalidEvent, "data_base64 is not base64"}
		}
		return setBytes(e, media, data)
	}
	e.Data = ce.data
	if text, ok := stringOf(ce.data); ok && media != "" && dataKind(media) != wire.JSON {
		e.Kind, e.Data = wire.Text, []byte(text)
	}
	return nil
}

// binaryMode reads a CloudEvent whose attributes are headers and whose body is
// the data.
func binaryMode(r *Request, media string) ([]wire.Event, error) {
	var bad faults
	e, f := binaryEvent(r)
	if f == nil && (len(r.Body) > 0 || (media != "" && dataKind(media) != wire.JSON)) {
		f = setBytes(&e, media, r.Body)
	}
	if f != nil {
		bad.add(0, f)
		return nil, bad.err()
	}
	return []wire.Event{e}, nil
}

func binaryEvent(r *Request) (wire.Event, *fault) {
	ce := cloudEvent{channel: r.Channel}
	for _, attribute := range []struct {
		name string
		to   *string
	}{
		{"Specversion", &ce.specVersion}, {"Id", &ce.id}, {"Source", &ce.source},
		{"Type", &ce.typ}, {"Channel", &ce.channel}, {"Sgflush", &ce.flush},
		{"Sgcoalesce", &ce.coalesce}, {"Sgkey", &ce.key}, {"Traceparent", &ce.trace},
	} {
		values := r.Header["Ce-"+attribute.name]
		if len(values) > 1 {
			return wire.Event{}, &fault{InvalidEvent, "header ce-" + strings.ToLower(attribute.name) + " is there twice"}
		}
		if len(values) == 0 {
			continue
		}
		text, err := url.PathUnescape(unquote(values[0]))
		if err != nil {
			return wire.Event{}, &fault{InvalidEvent, "header ce-" + strings.ToLower(attribute.name) + " is not percent-encoded"}
		}
		*attribute.to = text
	}
	return ce.event()
}

// unquote takes the quotes off a quoted header value.
func unquote(v string) string {
	if len(v) < 2 || v[0] != '"' || v[len(v)-1] != '"' {
		return v
	}
	var b strings.Builder
	inside := v[1 : len(v)-1]
	for i := 0; i < len(inside); i++ {
		if inside[i] == '\\' && i+1 < len(inside) {
			i++
		}
		b.WriteByte(inside[i])
	}
	return b.String()
}
