package wire

import (
	"fmt"
	"strings"
)

// Pattern selects channels: segments as in a channel name, where "*" stands
// for exactly one segment and a last ">" for one or more. A channel name is a
// pattern that selects itself. The zero Pattern selects nothing.
type Pattern struct{ text string }

// ParsePattern reads a pattern; the error wraps ErrChannel.
func ParsePattern(s string) (Pattern, error) {
	err := checkName(s, func(seg string, last bool) error {
		switch {
		case seg == "*":
			return nil
		case seg == ">" && last:
			return nil
		case seg == ">":
			return fmt.Errorf("%w: \">\" must be the last segment", ErrChannel)
		}
		return checkSegment(seg)
	})
	if err != nil {
		return Pattern{}, err
	}
	return Pattern{text: s}, nil
}

// String gives the pattern as it was written.
func (p Pattern) String() string { return p.text }

// IsExact tells whether p selects just the channel of its own name.
func (p Pattern) IsExact() bool { return !strings.ContainsAny(p.text, "*>") }

// First gives the first segment of p; ok is false when it is a wildcard.
func (p Pattern) First() (segment string, ok bool) {
	seg, _, _ := strings.Cut(p.text, ".")
	return seg, seg != "*" && seg != ">"
}

// Match tells whether p selects channel, in O(segments) and without
// allocating. A first segment that begins with "$" is the gateway's own: no
// wildcard selects it.
func (p Pattern) Match(channel string) bool {
	if p.text == "" || channel == "" {
		return false
	}
	if channel[0] == '$' && (p.text[0] == '*' || p.text[0] == '>') {
		return false
	}
	pat, name := p.text, channel
	for {
		seg, patRest, patMore := strings.Cut(pat, ".")
		if seg == ">" {
			return true
		}
		have, nameRest, nameMore := strings.Cut(name, ".")
		if seg != "*" && seg != have {
			return false
		}
		if !patMore || !nameMore {
			return patMore == nameMore
		}
		pat, name = patRest, nameRest
	}
}

// Covers tells whether every channel that q selects is also selected by p:
// the test of a request against a right. It never says yes wrongly. It says no
// to the few pairs that are equal only because of the limits of names, such as
// twelve "*" against eleven "*" and ">".
func (p Pattern) Covers(q Pattern) bool {
	if p.text == "" || q.text == "" {
		return false
	}
	pat, ask := p.text, q.text
	for {
		seg, patRest, patMore := strings.Cut(pat, ".")
		if seg == ">" {
			return true
		}
		want, askRest, askMore := strings.Cut(ask, ".")
		if want == ">" || (seg != "*" && seg != want) {
			return false
		}
		if !patMore || !askMore {
			return patMore == askMore
		}
		pat, ask = patRest, askRest
	}
}
