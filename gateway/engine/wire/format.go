package wire

import (
	"errors"
	"fmt"
)

// Format is how events stand in a stream.
type Format uint8

// The formats.
const (
	Plain    Format = iota // one frame per event, data as published
	Typed                  // as Plain, with the event's type as SSE event name
	Envelope               // one frame per event, data is its element
	Array                  // one frame per batch, data is an array of elements
)

// ErrFormat is wrapped by the error of ParseFormat.
var ErrFormat = errors.New("unknown format")

// ParseFormat reads the parameter format; empty is Plain.
func ParseFormat(s string) (Format, error) {
	switch s {
	case "", "plain":
		return Plain, nil
	case "typed":
		return Typed, nil
	case "envelope":
		return Envelope, nil
	case "array":
		return Array, nil
	}
	return 0, fmt.Errorf("%w: must be plain, typed, envelope or array", ErrFormat)
}

// String gives the value of the parameter format.
func (f Format) String() string {
	switch f {
	case Typed:
		return "typed"
	case Envelope:
		return "envelope"
	case Array:
		return "array"
	}
	return "plain"
}
