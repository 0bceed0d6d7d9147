package decode

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// checkEvent tells what is wrong with an event's channel and attributes.
func checkEvent(e *wire.Event) *fault {
	if e.Channel == "" {
		return &fault{InvalidChannel, "no channel is named"}
	}
	if err := wire.CheckChannel(e.Channel); err != nil {
		return &fault{InvalidChannel, err.Error()}
	}
	for _, attribute := range []struct{ name, value string }{{"id", e.ID}, {"type", e.Type}, {"source", e.Source}} {
		if detail := checkAttribute(attribute.value); detail != "" {
			return &fault{InvalidEvent, attribute.name + " " + detail}
		}
	}
	if strings.HasPrefix(e.Type, "sg.") {
		return &fault{InvalidEvent, `type must not begin with "sg."`}
	}
	return nil
}

func checkAttribute(v string) string {
	switch {
	case len(v) > MaxAttributeBytes:
		return fmt.Sprintf("has %d bytes, the limit is %d", len(v), MaxAttributeBytes)
	case !utf8.ValidString(v):
		return "must be UTF-8"
	case strings.ContainsFunc(v, unicode.IsControl):
		return "must not hold control characters"
	}
	return ""
}

// plain reads a body that is the data of one event.
func plain(r *Request, media string) ([]wire.Event, error) {
	key, err := idempotencyKey(r)
	if err != nil {
		return nil, err
	}
	e := wire.Event{Channel: r.Channel, ID: key, Type: r.Type}
	f := checkEvent(&e)
	if f == nil {
		f = setBytes(&e, media, r.Body)
	}
	if f != nil {
		var bad faults
		bad.add(0, f)
		return nil, bad.err()
	}
	return []wire.Event{e}, nil
}

// idempotencyKey gives the header of that name, without quotes; "" when the
// request has none.
func idempotencyKey(r *Request) (string, error) {
	const name = "Idempotency-Key"
	values := r.Header[name]
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' {
		key = key[1 : len(key)-1]
	}
	invisible := func(c rune) bool { return c <= ' ' || c > '~' }
	if len(values) > 1 || key == "" || len(key) > MaxKeyBytes || strings.ContainsFunc(key, invisible) {
		return "", &Error{Kind: InvalidParameter, Parameter: name,
			Detail: fmt.Sprintf("%s must be one value of 1 to %d visible ASCII characters", name, MaxKeyBytes)}
	}
	return key, nil
}
