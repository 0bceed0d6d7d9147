package wire

import (
	"slices"
	"strings"
)

// SubSet is what one connection reads: channels and patterns, sorted and
// without repeats. It is immutable and may be shared.
type SubSet struct {
	exact    []string
	patterns []Pattern
	key      string
}

// NewSubSet makes a set of channels and patterns of the default tenant, as
// clients write them; order and repeats do not matter. The error wraps
// ErrChannel and names the first bad subscription. How many are allowed is the
// caller's to check, by Len and len(Patterns()).
func NewSubSet(subscriptions []string) (*SubSet, error) {
	return newSubSet(subscriptions, ParsePattern)
}

// QualifiedSubSet makes a set of names with their tenant, as All gives them.
func QualifiedSubSet(subscriptions []string) (*SubSet, error) {
	return newSubSet(subscriptions, ParseQualified)
}

func newSubSet(subscriptions []string, parse func(string) (Pattern, error)) (*SubSet, error) {
	s := &SubSet{}
	for _, text := range subscriptions {
		p, err := parse(text)
		if err != nil {
			return nil, err
		}
		if p.IsExact() {
			s.exact = append(s.exact, text)
		} else {
			s.patterns = append(s.patterns, p)
		}
	}
	slices.Sort(s.exact)
	s.exact = slices.Compact(s.exact)
	slices.SortFunc(s.patterns, func(a, b Pattern) int { return strings.Compare(a.text, b.text) })
	s.patterns = slices.Compact(s.patterns)
	s.key = strings.Join(s.All(), ",")
	return s, nil
}

// Key is equal for equal sets, and only for those.
func (s *SubSet) Key() string { return s.key }

// Len counts the subscriptions; a pattern counts as one.
func (s *SubSet) Len() int { return len(s.exact) + len(s.patterns) }

// Tenant is the tenant of all of its names; "" is the default one.
func (s *SubSet) Tenant() string {
	switch {
	case len(s.exact) > 0:
		return tenantOf(s.exact[0])
	case len(s.patterns) > 0:
		return tenantOf(s.patterns[0].text)
	}
	return ""
}

// Exact gives the sorted channel names, with their tenant. The caller must not
// change the slice.
func (s *SubSet) Exact() []string { return s.exact }

// Patterns gives the sorted patterns that have a wildcard. The caller must not
// change the slice.
func (s *SubSet) Patterns() []Pattern { return s.patterns }

// All gives the channels, then the patterns, with their tenant and in a slice
// of its own. UnqualifiedAll makes of it what clients know.
func (s *SubSet) All() []string {
	all := make([]string, 0, s.Len())
	all = append(all, s.exact...)
	for _, p := range s.patterns {
		all = append(all, p.text)
	}
	return all
}

// Match tells whether an event of a channel, given with its tenant, belongs to
// the set, in O(log channels + patterns).
func (s *SubSet) Match(channel string) bool {
	if _, ok := slices.BinarySearch(s.exact, channel); ok {
		return true
	}
	for _, p := range s.patterns {
		if p.Match(channel) {
			return true
		}
	}
	return false
}
