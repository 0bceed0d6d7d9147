package wire

import (
	"fmt"
	"strings"
)

// Pattern selects channels of one tenant: segments as in a channel name, where
// "*" stands for exactly one segment and a last ">" for one or more. A channel
// name is a pattern that selects itself. The zero Pattern selects nothing.
type Pattern struct {
	text string // qualified
	at   int    // where the tenant ends; 0 = the default one
}

// ParsePattern reads a pattern as clients write it, of the default tenant; the
// error wraps ErrChannel.
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

// ParseQualified reads a pattern with its tenant, as it stands inside of a
// gateway. What clients write is read by ParsePattern and put In their tenant.
func ParseQualified(s string) (Pattern, error) {
	tenant, plain, qualified := strings.Cut(s, tenantEnd)
	if !qualified {
		tenant, plain = "", s
	} else if err := checkSegment(tenant); err != nil && tenant != OwnTenant {
		return Pattern{}, fmt.Errorf("tenant: %w", err)
	}
	p, err := ParsePattern(plain)
	if err != nil {
		return Pattern{}, err
	}
	return p.In(tenant), nil
}

// In gives the same pattern for a tenant, whose name must have been checked.
func (p Pattern) In(tenant string) Pattern {
	text := Qualify(tenant, p.Unqualified())
	return Pattern{text: text, at: len(text) - len(p.Unqualified())}
}

// String gives the pattern with its tenant.
func (p Pattern) String() string { return p.text }

// Unqualified gives the pattern as the tenant's clients write it.
func (p Pattern) Unqualified() string { return p.text[p.at:] }

// Tenant gives the tenant, "" for the default one.
func (p Pattern) Tenant() string {
	if p.at == 0 {
		return ""
	}
	return p.text[:p.at-1]
}

// IsExact tells whether p selects just the channel of its own name.
func (p Pattern) IsExact() bool { return !strings.ContainsAny(p.text, "*>") }

// First gives the first segment of p, with the tenant; ok is false when it is a
// wildcard.
func (p Pattern) First() (segment string, ok bool) {
	plain, _, _ := strings.Cut(p.Unqualified(), ".")
	segment, _, _ = strings.Cut(p.text, ".")
	return segment, plain != "*" && plain != ">"
}

// Match tells whether p selects a channel, given with its tenant, in
// O(segments) and without allocating. A first segment that begins with "$" is the gateway's own: no
// wildcard selects it.
func (p Pattern) Match(channel string) bool {
	if p.text == "" || !strings.HasPrefix(channel, p.text[:p.at]) {
		return false
	}
	pat, name := p.text[p.at:], channel[p.at:]
	if name == "" || name[0] == '$' && (pat[0] == '*' || pat[0] == '>') || strings.Contains(name, tenantEnd) {
		return false
	}
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
	if p.text == "" || q.text == "" || p.text[:p.at] != q.text[:q.at] {
		return false
	}
	pat, ask := p.text[p.at:], q.text[q.at:]
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
