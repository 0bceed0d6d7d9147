package decode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// maxDepth bounds the nesting of publishers' JSON, so that no reader of it
// needs a deep stack.
const maxDepth = 128

// scanner walks JSON text without making values of it.
type scanner struct {
	text []byte
	at   int // offset of the next byte
}

// checkJSON tells what keeps text from being one JSON value in UTF-8.
func checkJSON(text []byte) error {
	if !utf8.Valid(text) {
		return errors.New("JSON must be UTF-8")
	}
	s := scanner{text: text}
	if err := s.value(0); err != nil {
		return err
	}
	return s.end()
}

func (s *scanner) end() error {
	s.space()
	if s.at < len(s.text) {
		return s.unexpected("the end")
	}
	return nil
}

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// peek gives the next byte that is no white space; 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.at == len(s.text) {
		return 0
	}
	return s.text[s.at]
}

func (s *scanner) unexpected(wanted string) error {
	if s.at >= len(s.text) {
		return fmt.Errorf("JSON ends at byte %d, expected %s", s.at, wanted)
	}
	return fmt.Errorf("JSON has %q at byte %d, expected %s", s.text[s.at], s.at, wanted)
}

func (s *scanner) value(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("JSON is nested deeper than %d", maxDepth)
	}
	switch c := s.peek(); c {
	case '{':
		return s.members(depth, nil)
	case '[':
		return s.elements(depth, nil)
	case '"':
		return s.str()
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		if c == '-' || isDigit(c) {
			return s.number()
		}
		return s.unexpected("a value")
	}
}

// members walks an object and calls visit, if any, with each raw name and raw
// value.
func (s *scanner) members(depth int, visit func(name, value []byte)) error {
	s.at++
	if s.peek() == '}' {
		s.at++
		return nil
	}
	for {
		if s.peek() != '"' {
			return s.unexpected("a name")
		}
		from := s.at
		if err := s.str(); err != nil {
			return err
		}
		name := s.text[from:s.at]
		if s.peek() != ':' {
			return s.unexpected("a colon")
		}
		s.at++
		s.space()
		from = s.at
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if visit != nil {
			visit(name, s.text[from:s.at])
		}
		if done, err := s.more('}'); done || err != nil {
			return err
		}
	}
}

// elements walks an array and calls visit, if any, with each raw value.
func (s *scanner) elements(depth int, visit func(value []byte)) error {
	s.at++
	if s.peek() == ']' {
		s.at++
		return nil
	}
	for {
		s.space()
		from := s.at
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if visit != nil {
			visit(s.text[from:s.at])
		}
		if done, err := s.more(']'); done || err != nil {
			return err
		}
	}
}

// more steps over a comma, or over the closing byte: then it is done.
func (s *scanner) more(closing byte) (done bool, err error) {
	switch s.peek() {
	case ',':
		s.at++
		return false, nil
	case closing:
		s.at++
		return true, nil
	}
	return false, s.unexpected("a comma or a closing bracket")
}

func (s *scanner) literal(word string) error {
	for i := range len(word) {
		if s.at == len(s.text) || s.text[s.at] != word[i] {
			return s.unexpected(word)
		}
		s.at++
	}
	return nil
}

func (s *scanner) str() error {
	for s.at++; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return nil
		case c < ' ':
			return s.unexpected("no control character in a string")
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		}
	}
	return s.unexpected("a closing quote")
}

// escape steps to the last byte of an escape.
func (s *scanner) escape() error {
	s.at++
	if s.at == len(s.text) {
		return s.unexpected("an escape")
	}
	switch s.text[s.at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			s.at++
			if s.at == len(s.text) || !isHex(s.text[s.at]) {
				return s.unexpected("four hex digits")
			}
		}
		return nil
	}
	return s.unexpected("an escape")
}

func (s *scanner) number() error {
	if s.text[s.at] == '-' {
		s.at++
	}
	if s.at < len(s.text) && s.text[s.at] == '0' {
		s.at++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.at < len(s.text) && s.text[s.at] == '.' {
		s.at++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if s.at < len(s.text) && (s.text[s.at] == 'e' || s.text[s.at] == 'E') {
		s.at++
		if s.at < len(s.text) && (s.text[s.at] == '+' || s.text[s.at] == '-') {
			s.at++
		}
		return s.digits()
	}
	return nil
}

func (s *scanner) digits() error {
	from := s.at
	for s.at < len(s.text) && isDigit(s.text[s.at]) {
		s.at++
	}
	if s.at == from {
		return s.unexpected("a digit")
	}
	return nil
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

func isHex(b byte) bool {
	return isDigit(b) || 'a' <= b && b <= 'f' || 'A' <= b && b <= 'F'
}

// stringOf gives the string that a valid raw value is; ok is false when it is
// something else.
func stringOf(raw []byte) (text string, ok bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	return string(bytesOf(raw)), true
}

// bytesOf gives what a valid raw string says, in raw's own memory where it has
// no escapes.
func bytesOf(raw []byte) []byte {
	inside := raw[1 : len(raw)-1]
	if bytes.IndexByte(inside, '\\') < 0 {
		return inside
	}
	var text string
	// It cannot fail: raw has been scanned as a JSON string.
	_ = json.Unmarshal(raw, &text)
	return []byte(text)
}
