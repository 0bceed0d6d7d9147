package noloss

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// check runs a short proof against g.
func check(t *testing.T, g *textbook, adjust func(*Options)) Result {
	t.Helper()
	server := httptest.NewServer(g)
	defer func() { server.CloseClientConnections(); server.Close() }()
	o := DefaultOptions()
	o.URL, o.Subscribers, o.Channels, o.Rate, o.Duration, o.Settle, o.Cuts = server.URL, 8, 4, 400, 700*time.Millisecond, 2*time.Second, 20
	if adjust != nil {
		adjust(&o)
	}
	result, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestGatewayThatKeepsItsPromisesPasses(t *testing.T) {
	r := check(t, newTextbook(), nil)
	if !r.Passed || r.Cuts < 20 || r.Connections < 20 || r.Delivered != r.Expected || r.Resumes["complete"] == 0 || r.Latency.Count == 0 {
		t.Errorf("result\n%s", r)
	}
}

func TestLostAcknowledgementsAreRepeatedAndRecognised(t *testing.T) {
	g := newTextbook()
	g.refuse = func(n int) int { return map[bool]int{true: 503}[n%5 == 0] }
	r := check(t, g, nil)
	if !r.Passed || r.Retries == 0 || r.Duplicates == 0 || r.Unknown > 0 {
		t.Errorf("result\n%s", r)
	}
}

// TestBrokenPromisesAreSeen breaks one promise at a time: a checker that passes
// one of these gateways is worth nothing.
func TestBrokenPromisesAreSeen(t *testing.T) {
	third := func(r record) bool { return r.seq%30 == 3 }
	for name, c := range map[string]struct {
		fault string
		spoil func(g *textbook)
	}{
		"an event that is never sent": {"missing", func(g *textbook) {
			g.spoil = func(_ int, r record) []record {
				if third(r) {
					return nil
				}
				return []record{r}
			}
		}},
		"an event that is sent twice": {"repeated", func(g *textbook) {
			g.spoil = func(_ int, r record) []record {
				if third(r) {
					return []record{r, r}
				}
				return []record{r}
			}
		}},
		"an older event again under a new position": {"moved", func(g *textbook) {
			g.spoil = func(_ int, r record) []record {
				g.mu.Lock()
				defer g.mu.Unlock()
				if third(r) && r.kind == "json" {
					r.id, r.data, r.channel = g.records[0].id, g.records[0].data, g.records[0].channel
				}
				return []record{r}
			}
		}},
		"two events in the wrong order": {"disordered", func(g *textbook) {
			held := map[int]record{}
			g.spoil = func(reader int, r record) []record {
				g.mu.Lock()
				defer g.mu.Unlock()
				if third(r) {
					held[reader] = r
					return nil
				}
				if h, ok := held[reader]; ok && h.channel != r.channel {
					delete(held, reader)
					return []record{r, h}
				}
				return []record{r}
			}
		}},
		"a changed byte": {"damaged", func(g *textbook) {
			g.spoil = func(_ int, r record) []record {
				if third(r) && r.kind == "json" {
					r.data = strings.Replace(r.data, "note", "Note", 1)
				}
				return []record{r}
			}
		}},
		"a resume that starts one too late": {"missing", func(g *textbook) {
			g.resume = func(seq int) int { return seq + 1 }
		}},
		"a resume that starts one too early": {"repeated", func(g *textbook) {
			g.resume = func(seq int) int { return max(seq-1, 0) }
		}},
		"an acknowledgement of another position": {"moved", func(g *textbook) {
			g.ack = func(seq int) int { return seq + 1000 }
		}},
		"a named loss in a strict run": {"named", func(g *textbook) {
			g.resume = func(seq int) int { return seq + 1 }
			g.resets = func(int) string {
				g.mu.Lock()
				defer g.mu.Unlock()
				return fmt.Sprintf(`{"reason":"evicted","all":true,"channels":[],"resumeAt":"abcd.%d"}`, len(g.records))
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newTextbook()
			c.spoil(g)
			r := check(t, g, func(o *Options) { o.Settle = 300 * time.Millisecond })
			if r.Passed || r.Faults[c.fault] == 0 {
				t.Errorf("fault %q was not seen:\n%s", c.fault, r)
			}
		})
	}
}

func TestLossThatWasNamedIsNoFaultUnlessStrict(t *testing.T) {
	g := newTextbook()
	g.resume = func(seq int) int { return seq + 2 }
	g.resets = func(int) string {
		g.mu.Lock()
		defer g.mu.Unlock()
		return fmt.Sprintf(`{"reason":"evicted","all":true,"channels":[],"resumeAt":"abcd.%d"}`, len(g.records))
	}
	r := check(t, g, func(o *Options) { o.Strict = false })
	if !r.Passed || r.Named == 0 || r.Controls["sg.reset"] == 0 {
		t.Errorf("result\n%s", r)
	}
}

func TestLossCoversOnlyWhatItNames(t *testing.T) {
	b := newBook(1)
	for _, epoch := range []string{"aaaa", "bbbb", "cccc"} {
		b.age(epoch)
	}
	reset, err := readReset(`{"reason":"evicted","channels":[{"channel":"a.*","evictedUpto":"bbbb.5"}],"resumeAt":"bbbb.9"}`, time.Now(), b)
	if err != nil {
		t.Fatal(err)
	}
	gap, counts, err := readGap(`{"reason":"slow","after":"bbbb.3","upto":"bbbb.7","channels":[{"channel":"a.x","lost":2},{"channel":"b","lost":null}]}`, b)
	if err != nil || len(counts) != 2 || *counts[0].lost != 2 || counts[1].lost != nil {
		t.Fatalf("gap = %+v, %+v, %v", gap, counts, err)
	}
	for name, c := range map[string]struct {
		loss    loss
		channel string
		at      string
		want    bool
	}{
		"reset: up to where it resumes":      {reset, "a.x", "bbbb.9", true},
		"reset: not what comes after":        {reset, "a.x", "bbbb.10", false},
		"reset: not another channel":         {reset, "b", "bbbb.5", false},
		"reset: what an older epoch held":    {reset, "a.x", "aaaa.100", true},
		"reset: not what a newer epoch held": {reset, "a.x", "cccc.1", false},
		"gap: not the last one before":       {gap, "a.x", "bbbb.3", false},
		"gap: the first inside":              {gap, "a.x", "bbbb.4", true},
		"gap: the last inside":               {gap, "b", "bbbb.7", true},
		"gap: not the first after":           {gap, "b", "bbbb.8", false},
		"gap: not another epoch":             {gap, "b", "aaaa.5", false},
		"gap: not another channel":           {gap, "a.y", "bbbb.5", false},
	} {
		t.Run(name, func(t *testing.T) {
			at, err := ParseCursor(c.at)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.loss.covers(c.channel, at, b.age(at.Epoch)); got != c.want {
				t.Errorf("covers = %v", got)
			}
		})
	}
}

func TestAHoleExcusesWhatOtherLogsTookBeforeItWasTold(t *testing.T) {
	b, told := newBook(1), time.Now()
	hole, err := readReset(`{"reason":"log-hole","channels":[],"all":true,"resumeAt":"aaaa.9"}`, told, b)
	if err != nil {
		t.Fatal(err)
	}
	other, err := readReset(`{"reason":"evicted","channels":[],"all":true,"resumeAt":"aaaa.9"}`, told, b)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		loss loss
		at   string
		sent time.Duration // after it was told
		want bool
	}{
		"sent before, to another log":     {hole, "bbbb.100", -time.Second, true},
		"sent after it, to another log":   {hole, "bbbb.101", time.Second, false},
		"in this log, before it":          {hole, "aaaa.9", -time.Second, true},
		"in this log, behind it":          {hole, "aaaa.10", -time.Second, false},
		"another reset names no such log": {other, "bbbb.100", -time.Second, false},
	} {
		at, err := ParseCursor(c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.loss.excuses(entry{channel: "a", cursor: at, sent: told.Add(c.sent)}, b.age(at.Epoch)); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestPayloadNamesItselfInEveryForm(t *testing.T) {
	for n := range 2000 {
		for _, k := range []kind{kindJSON, kindText, kindBinary} {
			e := event{n % 7, n}
			if got, ok := recognise(e.data(k)); !ok || got != e {
				t.Fatalf("recognise(%q) = %v, %v", e.data(k), got, ok)
			}
		}
	}
	for _, foreign := range []string{"", "{}", `{"id":"x"}`, `{"id":"p1-01"}`, `{"id":"p-1--1"}`, "p1-1"} {
		if e, ok := recognise(foreign); ok {
			t.Errorf("recognise(%q) = %v", foreign, e)
		}
	}
}

func TestCursorGrammarIsStrict(t *testing.T) {
	for text, want := range map[string]bool{
		"abcd.0": true, "k3f9x2.1041": true, "abcd.9007199254740991": true, "abcd.9007199254740992": false, "abc.1": false,
		"abcdabcdabcdabcd1.1": false, "abcd.01": false, "abcd.": false, "abcd": false, "ABCD.1": false, "abcd.+1": false, "abcd.1.2": false,
	} {
		if c, err := ParseCursor(text); (err == nil) != want || (want && c.String() != text) {
			t.Errorf("ParseCursor(%q) = %v, %v", text, c, err)
		}
	}
}

func TestFrameWithoutAnIDTellsNoPosition(t *testing.T) {
	for format, c := range map[string]struct {
		data string
		seq  uint64
	}{
		"plain":    {`{"id":"p0-0"}`, 0},
		"envelope": {`{"seq":7,"time":1,"channel":"c","id":"p0-0","data":{}}`, 7},
		"array":    {`[{"seq":7,"time":1,"channel":"c","id":"p0-0","data":{}}]`, 7},
	} {
		m := Message{Event: "message", Data: c.data, Meta: "c 1", ID: "abcd.5"}
		if e, err := Elements(m, format); err != nil || len(e) != 1 || e[0].Cursor.Seq != c.seq {
			t.Errorf("%s: %+v, %v", format, e, err)
		}
		m.OwnID = true
		if e, err := Elements(m, format); format == "plain" && e[0].Cursor.Seq != 5 || format == "array" && err == nil {
			t.Errorf("%s with an id: %+v, %v", format, e, err)
		}
	}
}

func TestPatternsMatchBySegments(t *testing.T) {
	channels := []string{"a", "a.b", "a.b.c", "b"}
	for pattern, want := range map[string][]string{
		"a": {"a"}, "a.*": {"a.b"}, "a.>": {"a.b", "a.b.c"}, ">": channels, "*": {"a", "b"}, "*.b": {"a.b"}, "a.*.c": {"a.b.c"}, "c": nil,
	} {
		var got []string
		for _, c := range channels {
			if matches(pattern, c) {
				got = append(got, c)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s matches %v, want %v", pattern, got, want)
		}
	}
}

func TestSummaryTakesPercentilesOfTheValues(t *testing.T) {
	var d []time.Duration
	for i := range 200 {
		d = append(d, time.Duration(200-i)*time.Millisecond)
	}
	if l := Summarize(d); l != (Latency{Count: 200, Avg: 100.5, P50: 100, P95: 190, P99: 198, Max: 200}) {
		t.Errorf("latency = %+v", l)
	}
	if l := Summarize(nil); l != (Latency{}) {
		t.Errorf("latency of nothing = %+v", l)
	}
}

func TestOptionsThatProveNothingAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Options){
		"no publisher": func(o *Options) { o.Publishers = 0 }, "no rate": func(o *Options) { o.Rate = 0 },
		"no format": func(o *Options) { o.Formats = nil }, "an unknown format": func(o *Options) { o.Formats = []string{"xml"} },
	} {
		o := DefaultOptions()
		spoil(&o)
		if _, err := Run(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
