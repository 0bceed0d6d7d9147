package noloss

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Formats are the ways a stream can carry events.
func Formats() []string { return []string{"plain", "typed", "envelope", "array"} }

// Cursor is a position in the log.
type Cursor struct {
	Epoch string
	Seq   uint64
}

func (c Cursor) String() string { return c.Epoch + "." + strconv.FormatUint(c.Seq, 10) }

// ParseCursor reads "epoch.seq", strictly by the protocol's grammar.
func ParseCursor(s string) (Cursor, error) {
	epoch, digits, ok := strings.Cut(s, ".")
	seq, err := strconv.ParseUint(digits, 10, 53)
	wrong := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }
	if !ok || err != nil || strconv.FormatUint(seq, 10) != digits || len(epoch) < 4 || len(epoch) > 16 || strings.ContainsFunc(epoch, wrong) {
		return Cursor{}, fmt.Errorf("%q is no cursor", s)
	}
	return Cursor{epoch, seq}, nil
}

// Element is one event as a subscriber gets it. ID and Type are empty in the
// formats that do not carry them.
type Element struct {
	Cursor  Cursor // Seq is 0 where the frame does not tell it
	TimeMs  int64
	Channel string
	ID      string
	Type    string
	Data    string // JSON as it came, text, or bytes
}

// Elements reads the events of a message that is not a control event. A frame
// without an id of its own (conflated events, before the gap notice that moves
// the cursor) says nothing of its position in the formats without elements.
func Elements(m Message, format string) ([]Element, error) {
	at, err := ParseCursor(m.ID)
	if err != nil {
		return nil, err
	}
	switch format {
	case "plain", "typed":
		if !m.OwnID {
			at.Seq = 0
		}
		e, err := plain(m, at)
		if format == "typed" && m.Event != "message" {
			e.Type = m.Event
		}
		return []Element{e}, err
	case "envelope":
		e, err := envelope([]byte(m.Data), at.Epoch)
		return []Element{e}, err
	case "array":
		var raw []json.RawMessage
		if err := json.Unmarshal([]byte(m.Data), &raw); err != nil {
			return nil, fmt.Errorf("reading array: %w", err)
		}
		elements := make([]Element, len(raw))
		for i := range raw {
			if elements[i], err = envelope(raw[i], at.Epoch); err != nil {
				return nil, err
			}
		}
		if n := len(elements); n == 0 || (m.OwnID && elements[n-1].Cursor != at) {
			return nil, fmt.Errorf("array of %d elements has the id %s of none or not of its last", n, at)
		}
		return elements, nil
	}
	return nil, fmt.Errorf("unknown format %q", format)
}

func plain(m Message, at Cursor) (Element, error) {
	meta := strings.Split(m.Meta, " ")
	if len(meta) < 2 {
		return Element{}, fmt.Errorf("field sg is %q, want channel and time", m.Meta)
	}
	ms, err := strconv.ParseInt(meta[1], 10, 64)
	if err != nil {
		return Element{}, fmt.Errorf("reading time of field sg: %w", err)
	}
	e := Element{Cursor: at, TimeMs: ms, Channel: meta[0], Data: m.Data}
	if slices.Contains(meta[2:], "b64") {
		raw, err := base64.StdEncoding.DecodeString(m.Data)
		if err != nil {
			return Element{}, fmt.Errorf("reading binary data: %w", err)
		}
		e.Data = string(raw)
	}
	return e, nil
}

func envelope(text []byte, epoch string) (Element, error) {
	var in struct {
		Seq     uint64          `json:"seq"`
		Time    int64           `json:"time"`
		Channel string          `json:"channel"`
		ID      string          `json:"id"`
		Type    string          `json:"type"`
		Data    json.RawMessage `json:"data"`
		Data64  *[]byte         `json:"data64"`
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return Element{}, fmt.Errorf("reading element: %w", err)
	}
	e := Element{Cursor: Cursor{epoch, in.Seq}, TimeMs: in.Time, Channel: in.Channel, ID: in.ID, Type: in.Type, Data: string(in.Data)}
	if in.Data64 != nil {
		e.Data = string(*in.Data64)
	}
	if strings.HasPrefix(e.Data, `"`) && in.Data64 == nil {
		if err := json.Unmarshal(in.Data, &e.Data); err != nil {
			return Element{}, fmt.Errorf("reading text of element: %w", err)
		}
	}
	return e, nil
}

// matches tells whether a channel is meant by a name or pattern.
func matches(pattern, channel string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(channel, ".")
	for i, segment := range want {
		if segment == ">" {
			return i < len(have)
		}
		if i >= len(have) || (segment != "*" && segment != have[i]) {
			return false
		}
	}
	return len(want) == len(have)
}
