package wire_test

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// message is what a page gets from a stream, with the fields that parsers
// ignore.
type message struct {
	id, name, data string
	meta           string // of the field sg
}

// parse reads a whole stream by the algorithm of the HTML standard (server-sent
// events, "interpreting an event stream"). It was written from the standard and
// shares nothing with the encoders.
func parse(stream []byte) (messages []message, retry string) {
	text := strings.TrimPrefix(decodeUTF8(stream), "\uFEFF")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	var data, name, id, meta strings.Builder
	lines := strings.Split(text, "\n")
	for _, line := range lines[:len(lines)-1] { // what follows the last line end is no line yet
		if line == "" {
			if data.Len() > 0 {
				messages = append(messages, message{
					id: id.String(), name: name.String(), data: strings.TrimSuffix(data.String(), "\n"), meta: meta.String(),
				})
			}
			data.Reset()
			name.Reset()
			meta.Reset()
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		set := func(b *strings.Builder) { b.Reset(); b.WriteString(value) }
		switch field {
		case "event":
			set(&name)
		case "data":
			data.WriteString(value + "\n")
		case "id":
			if !strings.Contains(value, "\x00") {
				set(&id)
			}
		case "retry":
			retry = value
		case "sg":
			set(&meta)
		}
	}
	return messages, retry
}

// decodeUTF8 decodes as a browser does: what is no UTF-8 becomes U+FFFD.
func decodeUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return string(bytes.ToValidUTF8(b, []byte("\uFFFD")))
}
