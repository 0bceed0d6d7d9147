package noloss

import (
	"slices"
	"testing"
	"time"
)

func parse(pieces ...string) ([]Message, *parser) {
	var p parser
	var got []Message
	for _, piece := range pieces {
		p.feed([]byte(piece), func(m Message) { m.At = time.Time{}; got = append(got, m) })
	}
	return got, &p
}

func TestParserFollowsTheStandard(t *testing.T) {
	for name, c := range map[string]struct {
		stream string
		want   []Message
		lastID string
	}{
		"one line of data":                     {"data: a\n\n", []Message{{Event: "message", Data: "a"}}, ""},
		"only one space after the colon goes":  {"data:  a\ndata:b\n\n", []Message{{Event: "message", Data: " a\nb"}}, ""},
		"CR, LF and CRLF all end a line":       {"data: a\rdata: b\r\ndata: c\n\r\n", []Message{{Event: "message", Data: "a\nb\nc"}}, ""},
		"a byte order mark is no field":        {"\xef\xbb\xbfdata: a\n\n", []Message{{Event: "message", Data: "a"}}, ""},
		"comments and unknown fields":          {": hb\nfoo: x\nsg: ch 12\ndata: a\n\n", []Message{{Event: "message", Data: "a", Meta: "ch 12"}}, ""},
		"a field without a colon":              {"data\n\n", []Message{{Event: "message"}}, ""},
		"no data is no event but moves the id": {"id: e.4\n\ndata: a\n\n", []Message{{Event: "message", Data: "a", ID: "e.4"}}, "e.4"},
		"an empty checkpoint is an event":      {"id: e.9\nevent: sg.cp\ndata:\n\n", []Message{{Event: "sg.cp", ID: "e.9", OwnID: true}}, "e.9"},
		"the id stays, name and data do not":   {"id: 1\nevent: x\ndata: a\n\ndata: b\n\n", []Message{{Event: "x", Data: "a", ID: "1", OwnID: true}, {Event: "message", Data: "b", ID: "1"}}, "1"},
		"an id with NUL is ignored":            {"id: 1\ndata: a\n\nid: 2\x00\ndata: b\n\n", []Message{{Event: "message", Data: "a", ID: "1", OwnID: true}, {Event: "message", Data: "b", ID: "1"}}, "1"},
		"an unfinished frame leaves no id":     {"id: 1\ndata: a\n\nid: 2\ndata: b\n", []Message{{Event: "message", Data: "a", ID: "1", OwnID: true}}, "1"},
		"an empty id clears it":                {"id: 1\n\nid\ndata: a\n\n", []Message{{Event: "message", Data: "a", OwnID: true}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, p := parse(c.stream)
			if !slices.Equal(got, c.want) || p.lastID != c.lastID {
				t.Errorf("messages %+v, last id %q; want %+v, %q", got, p.lastID, c.want, c.lastID)
			}
			var pieces []string
			for _, b := range []byte(c.stream) {
				pieces = append(pieces, string([]byte{b}))
			}
			if cut, _ := parse(pieces...); !slices.Equal(cut, c.want) {
				t.Errorf("byte by byte %+v, want %+v", cut, c.want)
			}
		})
	}
}

func TestParserTakesRetryOnlyAsDigits(t *testing.T) {
	_, p := parse("retry: 1500\n", "retry: 2s\n", "retry: -1\n", "retry\n")
	if p.retry != 1500*time.Millisecond {
		t.Errorf("retry = %v", p.retry)
	}
}

func FuzzParserGivesTheSameForEveryCut(f *testing.F) {
	f.Add("id: e.1\nsg: c 1\ndata: a\r\n\r\ndata: b\rdata\n\n", 7)
	f.Fuzz(func(t *testing.T, stream string, at int) {
		at = max(0, min(at, len(stream)))
		whole, _ := parse(stream)
		cut, _ := parse(stream[:at], stream[at:])
		if !slices.Equal(whole, cut) {
			t.Errorf("whole %+v, cut at %d %+v", whole, at, cut)
		}
	})
}
