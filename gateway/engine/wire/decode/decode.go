// Package decode reads what publishers send: CloudEvents in binary, structured
// and batch mode, NDJSON, and plain bodies. A request becomes events or one
// error; there is no half.
//
// It knows no HTTP server, no rights and no log: the publish endpoint
// (gateway/transport) hands it headers and a whole body, and turns its Error
// into a problem answer.
package decode

import (
	"cmp"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Limits of one request.
const (
	MaxEventBytes     = 64 << 10 // data of one event, decoded, unless the Request says otherwise
	MaxBatchBytes     = 1 << 20  // body, decompressed
	MaxEvents         = 1000
	MaxAttributeBytes = 256 // id, type and source, each
	MaxKeyBytes       = 128 // Idempotency-Key
)

// Request is a publish request. The events that come of it share Body's
// memory.
type Request struct {
	// Header holds the request's headers under their canonical names, as
	// net/http does: Content-Type, Ce-*, Idempotency-Key.
	Header map[string][]string
	// Plain says that the request names its channel in the path, so that the
	// body is the data of one event.
	Plain bool
	// Channel is the channel of the path, or the parameter channel.
	Channel string
	// Type is the parameter type; only with Plain.
	Type string
	Body []byte
	// MaxEventBytes bounds the data of one event; 0 = the constant of that name.
	MaxEventBytes int
}

func (r *Request) header(name string) string {
	if v := r.Header[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Events reads the whole request. Every error is an *Error.
func Events(r Request) ([]wire.Event, error) {
	events, err := read(&r)
	if err != nil {
		return nil, err
	}
	var bad faults
	limit := cmp.Or(r.MaxEventBytes, MaxEventBytes)
	for i := range events {
		if n := len(events[i].Data); n > limit {
			bad.add(i, &fault{EventTooLarge, fmt.Sprintf("data has %d bytes, the limit is %d", n, limit)})
		}
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	return events, nil
}

// read tells by the headers how the body is to be read, and reads it.
func read(r *Request) ([]wire.Event, error) {
	if len(r.Body) > MaxBatchBytes {
		return nil, &Error{Kind: BatchTooLarge, Detail: fmt.Sprintf("the body has %d bytes, the limit is %d", len(r.Body), MaxBatchBytes)}
	}
	media := mediaType(r.header("Content-Type"))
	cloud := strings.HasPrefix(media, "application/cloudevents")
	binary := len(r.Header["Ce-Specversion"]) > 0
	switch {
	case r.Plain && (cloud || binary || media == typeNDJSON):
		return nil, &Error{Kind: UnsupportedMediaType, Detail: "one channel's endpoint takes plain bodies; CloudEvents and NDJSON go to /v2/realtime/events"}
	case r.Plain:
		return plain(r, media)
	case media == typeStructured:
		return structured(r)
	case media == typeBatch:
		return batch(r)
	case cloud:
		return nil, &Error{Kind: UnsupportedMediaType, Detail: "CloudEvents are read in JSON format: " + typeStructured + " or " + typeBatch}
	case binary:
		return binaryMode(r, media)
	case media == typeNDJSON:
		return lines(r)
	}
	return nil, &Error{Kind: UnsupportedMediaType, Detail: "send CloudEvents (" + typeStructured + ", " + typeBatch +
		", or any type with ce- headers) or " + typeNDJSON + "; plain bodies go to /v2/realtime/channels/{channel}/events"}
}

// Media types that say how a body is to be read.
const (
	typeStructured = "application/cloudevents+json"
	typeBatch      = "application/cloudevents-batch+json"
	typeNDJSON     = "application/x-ndjson"
)

// mediaType gives the type without its parameters, in lower case; "" when
// there is none that can be read.
func mediaType(contentType string) string {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil && media == "" {
		return ""
	}
	return media
}

// dataKind says how data of a media type is carried.
func dataKind(media string) wire.DataKind {
	switch {
	case media == "application/json", media == "text/json", strings.HasSuffix(media, "+json"):
		return wire.JSON
	case strings.HasPrefix(media, "text/"):
		return wire.Text
	}
	return wire.Binary
}

// setBytes makes data the event's data, carried as its media type asks.
func setBytes(e *wire.Event, media string, data []byte) *fault {
	e.Kind, e.Data = dataKind(media), data
	switch e.Kind {
	case wire.JSON:
		if err := checkJSON(data); err != nil {
			return &fault{InvalidJSON, "data: " + err.Error()}
		}
	case wire.Text:
		if !utf8.Valid(data) {
			return &fault{InvalidEvent, "text must be UTF-8"}
		}
	}
	return nil
}
