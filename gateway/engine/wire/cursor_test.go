package wire_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

func TestParseCursorReadsOneSpellingOnly(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       wire.Cursor
		ok         bool
	}{
		{"the start", "k3f9x2.0", wire.Cursor{Epoch: "k3f9x2", Seq: 0}, true},
		{"a position", "k3f9x2.1041", wire.Cursor{Epoch: "k3f9x2", Seq: 1041}, true},
		{"the greatest position", "abcd.9007199254740991", wire.Cursor{Epoch: "abcd", Seq: wire.MaxSeq}, true},
		{"the longest epoch", "0123456789abcdef.7", wire.Cursor{Epoch: "0123456789abcdef", Seq: 7}, true},
		{"nothing", "", wire.Cursor{}, false},
		{"no dot", "k3f9x2", wire.Cursor{}, false},
		{"no seq", "k3f9x2.", wire.Cursor{}, false},
		{"a leading zero", "k3f9x2.07", wire.Cursor{}, false},
		{"a sign", "k3f9x2.+7", wire.Cursor{}, false},
		{"above 2^53-1", "k3f9x2.9007199254740992", wire.Cursor{}, false},
		{"seventeen digits", "k3f9x2.10000000000000000", wire.Cursor{}, false},
		{"a short epoch", "abc.1", wire.Cursor{}, false},
		{"a long epoch", "0123456789abcdefg.1", wire.Cursor{}, false},
		{"capitals", "K3F9X2.1", wire.Cursor{}, false},
		{"space after", "k3f9x2.1 ", wire.Cursor{}, false},
		{"a second dot", "k3f9x2.1.2", wire.Cursor{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := wire.ParseCursor(tc.text)
			if got != tc.want || (err == nil) != tc.ok {
				t.Fatalf("ParseCursor(%q) = %v, %v", tc.text, got, err)
			}
			if err != nil && !errors.Is(err, wire.ErrCursor) {
				t.Fatalf("error %v is no ErrCursor", err)
			}
		})
	}
}

func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"k3f9x2.1041", "abcd.0", "abcd.9007199254740991", "abcd.9007199254740992", "a.1", "ab\ncd.1", "k3f9x2.01"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := wire.ParseCursor(text)
		if err != nil {
			return
		}
		if c.String() != text || c.Seq > wire.MaxSeq || !wire.IsEpoch(c.Epoch) {
			t.Fatalf("%q was read as %#v", text, c)
		}
		if b, err := c.AppendText(nil); err != nil || string(b) != text {
			t.Fatalf("AppendText gives %q, %v", b, err)
		}
	})
}

func TestPositionTakesTheHeaderBeforeTheParameter(t *testing.T) {
	at := func(seq uint64) wire.Position {
		return wire.Position{Where: wire.At, Cursor: wire.Cursor{Epoch: "k3f9x2", Seq: seq}}
	}
	for _, tc := range []struct {
		name, header, parameter string
		want                    wire.Position
		ok                      bool
	}{
		{"neither", "", "", wire.Position{Where: wire.Now}, true},
		{"now", "", "now", wire.Position{Where: wire.Now}, true},
		{"earliest", "", "earliest", wire.Position{Where: wire.Earliest}, true},
		{"parameter alone", "", "k3f9x2.5", at(5), true},
		{"header wins", "k3f9x2.9", "k3f9x2.5", at(9), true},
		{"header wins over a bad parameter", "k3f9x2.9", "what", at(9), true},
		{"a malformed header is a reset", "42", "k3f9x2.5", wire.Position{Where: wire.Malformed}, true},
		{"a header cannot say now", "now", "", wire.Position{Where: wire.Malformed}, true},
		{"a malformed parameter is an error", "", "42", wire.Position{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := wire.ParsePosition(tc.header, tc.parameter)
			if got != tc.want || (err == nil) != tc.ok {
				t.Fatalf("got %+v, %v", got, err)
			}
		})
	}
}

func TestChannelNamesKeepTheGrammar(t *testing.T) {
	for _, tc := range []struct {
		name, channel string
		ok            bool
	}{
		{"one segment", "orders", true},
		{"all allowed bytes", "aZ09_-:@.b", true},
		{"twelve segments", "a.b.c.d.e.f.g.h.i.j.k.l", true},
		{"thirteen segments", "a.b.c.d.e.f.g.h.i.j.k.l.m", false},
		{"a segment of 64", strings.Repeat("a", 64), true},
		{"a segment of 65", strings.Repeat("a", 65), false},
		{"200 bytes", strings.Repeat("a", 64) + "." + strings.Repeat("b", 64) + "." + strings.Repeat("c", 64) + ".ddddd", true},
		{"201 bytes", strings.Repeat("a", 64) + "." + strings.Repeat("b", 64) + "." + strings.Repeat("c", 64) + ".dddddd", false},
		{"nothing", "", false},
		{"an empty segment", "a..b", false},
		{"a dot at the end", "a.", false},
		{"a wildcard", "a.*", false},
		{"a reserved name", "$sg.canary", false},
		{"a space", "a b", false},
		{"a line feed", "a\nb", false},
		{"an umlaut", "grün", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := wire.CheckChannel(tc.channel)
			if (err == nil) != tc.ok {
				t.Fatalf("CheckChannel(%q) = %v", tc.channel, err)
			}
			if err != nil && !errors.Is(err, wire.ErrChannel) {
				t.Fatalf("error %v is no ErrChannel", err)
			}
		})
	}
}

// FuzzNames holds names and patterns to their grammar, written as expressions.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"orders.77", "a.*.>", ">", "*", "a.>.b", "a..b", "$sg.canary", "a\nb", strings.Repeat("a.", 12) + "b", "grün"} {
		f.Add(seed)
	}
	const segment = `[A-Za-z0-9_:@-]{1,64}`
	channel := regexp.MustCompile(`^` + segment + `(\.` + segment + `)*$`)
	pattern := regexp.MustCompile(`^(>|(\*|` + segment + `)(\.(\*|` + segment + `))*(\.>)?)$`)
	f.Fuzz(func(t *testing.T, name string) {
		fits := len(name) <= 200 && strings.Count(name, ".") < 12 && !strings.HasSuffix(name, "\n")
		if err := wire.CheckChannel(name); (err == nil) != (fits && channel.MatchString(name)) {
			t.Fatalf("channel %q: %v", name, err)
		}
		p, err := wire.ParsePattern(name)
		if (err == nil) != (fits && pattern.MatchString(name)) {
			t.Fatalf("pattern %q: %v", name, err)
		}
		if err == nil && (p.String() != name || p.IsExact() != channel.MatchString(name) || p.IsExact() && !p.Match(name)) {
			t.Fatalf("pattern %q was read as %q", name, p)
		}
	})
}
