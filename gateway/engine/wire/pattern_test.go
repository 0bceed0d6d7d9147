package wire_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

func pattern(t testing.TB, s string) wire.Pattern {
	t.Helper()
	p, err := wire.ParsePattern(s)
	if err != nil {
		t.Fatalf("ParsePattern(%q): %v", s, err)
	}
	return p
}

func TestPatternSelectsWholeSegments(t *testing.T) {
	for _, tc := range []struct {
		pattern, channel string
		want             bool
	}{
		{"orders.77", "orders.77", true},
		{"orders.77", "orders.7", false},
		{"orders", "orders.77", false},
		{"orders.*", "orders.77", true},
		{"orders.*", "orders", false},
		{"orders.*", "orders.77.items", false},
		{"*.77", "orders.77", true},
		{"orders.>", "orders.77", true},
		{"orders.>", "orders.77.items", true},
		{"orders.>", "orders", false},
		{">", "orders", true},
		{">", "$sg.canary", false},
		{"*.canary", "$sg.canary", false},
		{"*.>", "$sg.canary", false},
	} {
		if got := pattern(t, tc.pattern).Match(tc.channel); got != tc.want {
			t.Errorf("%q on %q: %v", tc.pattern, tc.channel, got)
		}
	}
}

func TestParsePatternRefusesWildcardsOutOfPlace(t *testing.T) {
	for _, s := range []string{"", ".", "a.>.b", ">.a", "a*", "a.b*", "**", "a.>>", "$sg.>", "a..>", "a.b."} {
		if _, err := wire.ParsePattern(s); err == nil {
			t.Errorf("%q was read", s)
		}
	}
}

func TestZeroPatternSelectsAndCoversNothing(t *testing.T) {
	var zero wire.Pattern
	if zero.Match("a") || zero.Covers(pattern(t, "a")) || pattern(t, ">").Covers(zero) {
		t.Fatal("the zero pattern took part")
	}
}

// names lists all names of up to depth segments over a small alphabet.
func names(segments []string, depth int) []string {
	all := []string{}
	level := []string{""}
	for range depth {
		var next []string
		for _, prefix := range level {
			for _, seg := range segments {
				next = append(next, strings.TrimPrefix(prefix+"."+seg, "."))
			}
		}
		all = append(all, next...)
		level = next
	}
	return all
}

// A pattern of up to three segments is told from every other by names of up to
// four segments over its own alphabet and one more letter.
func TestCoversAgreesWithBruteForce(t *testing.T) {
	channels := names([]string{"a", "b", "z"}, 4)
	var patterns []wire.Pattern
	for _, s := range names([]string{"a", "b", "*", ">"}, 3) {
		if p, err := wire.ParsePattern(s); err == nil {
			patterns = append(patterns, p)
		}
	}
	if len(patterns) < 50 {
		t.Fatalf("only %d patterns", len(patterns))
	}
	for _, p := range patterns {
		for _, q := range patterns {
			want := true
			for _, ch := range channels {
				if q.Match(ch) && !p.Match(ch) {
					want = false
					break
				}
			}
			if got := p.Covers(q); got != want {
				t.Errorf("%q covers %q: %v", p, q, got)
			}
		}
	}
}

func FuzzCoversNeverSaysYesWrongly(f *testing.F) {
	f.Add("a.>", "a.*.b", "a.x.b")
	f.Add("*.b", ">", "a.b")
	f.Add("a.*", "a.>", "a.b.c")
	f.Fuzz(func(t *testing.T, claim, request, channel string) {
		p, err := wire.ParsePattern(claim)
		if err != nil {
			return
		}
		q, err := wire.ParsePattern(request)
		if err != nil {
			return
		}
		if p.Covers(q) && q.Match(channel) && !p.Match(channel) {
			t.Fatalf("%q covers %q, but %q is only in the second", p, q, channel)
		}
		if !p.Covers(p) {
			t.Fatalf("%q does not cover itself", p)
		}
	})
}

func TestSubSetIsSortedAndWithoutRepeats(t *testing.T) {
	s, err := wire.NewSubSet([]string{"orders.>", "b", "a", "b", "orders.*", "orders.>"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.Key(), "a,b,orders.*,orders.>"; got != want {
		t.Fatalf("key %q, want %q", got, want)
	}
	if s.Len() != 4 || len(s.Exact()) != 2 || len(s.Patterns()) != 2 {
		t.Fatalf("%d subscriptions, %d exact, %d patterns", s.Len(), len(s.Exact()), len(s.Patterns()))
	}
	if _, err := wire.NewSubSet([]string{"a", "b c"}); err == nil {
		t.Fatal("a bad name was taken")
	}
}

func TestSubSetMatchesWhatItsMembersMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.StringMatching(`[ab*](\.[ab*]){0,2}(\.>)?`), 1, 6).Draw(t, "subscriptions")
		channel := rapid.StringMatching(`[abc](\.[abc]){0,3}`).Draw(t, "channel")
		s, err := wire.NewSubSet(texts)
		if err != nil {
			t.Fatal(err)
		}
		want := false
		for _, text := range texts {
			p, _ := wire.ParsePattern(text)
			want = want || p.Match(channel)
		}
		if s.Match(channel) != want {
			t.Fatalf("%q on %q: %v", s.Key(), channel, !want)
		}
	})
}
