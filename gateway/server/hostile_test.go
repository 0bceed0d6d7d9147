package server

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// hostileTexts are what a publisher would write to end a frame and begin one of
// its own, in the way of every parser there is.
func hostileTexts() []string {
	frame := func(end string) string {
		return "x" + end + end + "id: zzzz.9" + end + "event: sg.end" + end + "data: {\"reason\":\"forged\",\"status\":500,\"retryMs\":null}" + end + end
	}
	return []string{
		frame("\n"), frame("\r"), frame("\r\n"), frame("\u2028"), frame("\u2029"), frame("\u0085"), frame("\v"), frame("\f"), frame("\x00"),
		"\x00", "\ufeffdata: x", "\x1b[2J", "\n: hb 1\n\n", "\ndata: forged", "\rretry: 1\r", "]\n\n", `"}],"cursor":"zzzz.9","events":[{"seq":1,"data":"`, "</script>",
	}
}

// An event that was published, in whatever way, comes back as it was sent: by
// every format and every way to read, as one event and with no other beside it.
func TestNothingThatAPublisherWritesBecomesAFrameOfItsOwn(t *testing.T) {
	g := start(t, nil)
	sent := publishHostile(g)
	if len(sent) < 100 {
		t.Fatalf("only %d events were taken", len(sent))
	}
	for _, format := range []string{"plain", "typed", "envelope", "array"} {
		for _, compress := range []string{"off", "auto"} {
			t.Run(format+" "+compress, func(t *testing.T) {
				got := g.streamed(t, format, compress, len(sent))
				compare(t, got, sent)
			})
		}
	}
	var poll struct {
		Cursor   string            `json:"cursor"`
		Events   []json.RawMessage `json:"events"`
		Controls []json.RawMessage `json:"controls"`
	}
	g.get(g.base+"/stream?channels=hostile&wait=0&cursor=earliest", &poll)
	if len(poll.Controls) > 0 || strings.Contains(poll.Cursor, "zzzz") {
		t.Errorf("cursor %q, controls %s", poll.Cursor, poll.Controls)
	}
	compare(t, elements(t, poll.Events), sent)
	for _, path := range []string{"events?cursor=earliest", "last?n=100"} {
		var page struct {
			Cursor string            `json:"cursor"`
			Events []json.RawMessage `json:"events"`
		}
		g.get(g.base+"/channels/hostile/"+path, &page)
		if strings.Contains(page.Cursor, "zzzz") {
			t.Errorf("cursor %q", page.Cursor)
		}
		compare(t, elements(t, page.Events), sent[len(sent)-len(page.Events):])
	}
}

// publishHostile tries every hostile text in every field that a publisher
// controls, and gives the data of the events that were taken, in their order.
func publishHostile(g *gateway) (taken []sentEvent) {
	g.t.Helper()
	quote := func(v any) string { text, _ := json.Marshal(v); return string(text) }
	n := 0
	for _, text := range hostileTexts() {
		type attempt struct {
			path, media, body string
			want              sentEvent
			header            []string
		}
		one, same := sentEvent{json: 1.0}, sentEvent{json: text}
		line := func(name string) attempt {
			n++
			short := map[string]any{"channel": "hostile", "data": 1, "id": fmt.Sprint(n)}
			short[name] = text
			return attempt{"/events", "application/x-ndjson", quote(short), one, nil}
		}
		attempts := []attempt{
			{"/channels/hostile/events", "application/json", quote(text), same, nil},
			{"/channels/hostile/events", "application/json", "\n[\r" + quote(text) + ",\t1]\r\n", sentEvent{json: []any{text, 1.0}}, nil},
			{"/channels/hostile/events", "text/plain", text, sentEvent{text: text}, nil},
			{"/channels/hostile/events", "application/octet-stream", text, sentEvent{binary: text}, nil},
			{"/channels/hostile/events?type=" + url.QueryEscape(text), "application/json", "1", one, nil},
			{"/channels/" + url.PathEscape(text) + "/events", "application/json", "1", one, nil},
			{"/events?channel=" + url.QueryEscape(text), "application/x-ndjson", `{"data":1}`, one, nil},
			{"/events", "application/x-ndjson", quote(map[string]any{"channel": "hostile", "data": map[string]any{text: text}}), sentEvent{json: map[string]any{text: text}}, nil},
			line("type"), line("id"), line("channel"),
		}
		for _, name := range []string{"data", "id", "source", "type", "channel", "datacontenttype", "traceparent", "subject", "sgkey"} {
			n++
			ce := map[string]any{"specversion": "1.0", "id": fmt.Sprint(n), "source": "/s", "type": "t", "channel": "hostile", "data": text}
			ce[name] = text
			attempts = append(attempts, attempt{"/events", "application/cloudevents+json", quote(ce), same, nil})
		}
		for _, name := range []string{"Ce-Id", "Ce-Source", "Ce-Type", "Ce-Channel", "Ce-Traceparent"} {
			n++
			header := []string{"Ce-Specversion", "1.0", "Ce-Id", fmt.Sprint(n), "Ce-Source", "/s", "Ce-Type", "t", "Ce-Channel", "hostile", name, url.PathEscape(text)}
			attempts = append(attempts, attempt{"/events", "text/plain", text, sentEvent{text: text}, header})
		}
		for _, a := range attempts {
			status := g.publishAs(a.path, a.media, a.body, a.header)
			switch {
			case status == 200:
				taken = append(taken, a.want)
			case status < 400 || status >= 500:
				g.t.Errorf("%s %.80q: %d", a.path, a.body, status)
			}
		}
	}
	return taken
}

// sentEvent is the data of an event, as one of the three there are.
type sentEvent struct {
	json         any
	text, binary string
}

func (g *gateway) publishAs(path, media, body string, header []string) int {
	g.t.Helper()
	r, err := http.NewRequest("POST", g.base+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Content-Type", media)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// event is what a reader makes of one event: where it says that it comes from,
// and its data: of an element, or lines of a stream.
type event struct {
	channel, data string
	element       bool
}

// streamed reads a stream's past by the rules of the standard, byte for byte,
// and fails on everything that is not the gateway's.
func (g *gateway) streamed(t *testing.T, format, compress string, n int) (events []event) {
	t.Helper()
	r, _ := http.NewRequest("GET", g.base+"/stream?channels=hostile&cursor=earliest&format="+format+"&compress="+compress, nil)
	r.Header.Set("Accept-Encoding", "gzip")
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body io.Reader = res.Body
	if res.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(res.Body); err != nil {
			t.Fatal(err)
		}
	}
	text := readUntil(t, body, "event: sg.caught-up\n")
	for block := range strings.SplitSeq(text, "\n\n") {
		var name, meta string
		var data []string
		for line := range strings.SplitSeq(block, "\n") {
			field, value, _ := strings.Cut(line, ": ")
			if strings.Contains(line, "\r") || field != "data" && strings.Contains(line, "\x00") {
				t.Errorf("a byte that must not be there: %q", line)
			}
			switch field {
			case "id", "retry", "":
				if strings.Contains(value, "zzzz") {
					t.Errorf("a forged line: %q", line)
				}
			case "event":
				name = value
			case "sg":
				meta = value
			case "data":
				data = append(data, value)
			default:
				t.Errorf("a line of no known field: %q", line)
			}
		}
		if strings.HasPrefix(name, "sg.") {
			if name != "sg.open" && name != "sg.caught-up" {
				t.Errorf("a control that nobody sent: %q", block)
			}
			continue
		}
		if len(data) > 0 {
			events = append(events, eventsOf(t, format, meta, strings.Join(data, "\n"))...)
		}
	}
	if len(events) != n {
		t.Errorf("%d events came, %d were sent", len(events), n)
	}
	return events
}

func readUntil(t *testing.T, from io.Reader, end string) string {
	t.Helper()
	var all bytes.Buffer
	part := make([]byte, 4096)
	for !strings.Contains(all.String(), end) {
		n, err := from.Read(part)
		all.Write(part[:n])
		if err != nil {
			t.Fatalf("the stream ended with %v: %s", err, all.String())
		}
	}
	text := all.String()
	return text[:strings.LastIndex(text, end)]
}

func eventsOf(t *testing.T, format, meta, data string) []event {
	t.Helper()
	switch format {
	case "envelope":
		return elements(t, []json.RawMessage{json.RawMessage(data)})
	case "array":
		var list []json.RawMessage
		if err := json.Unmarshal([]byte(data), &list); err != nil {
			t.Errorf("an array that is none: %v", err)
		}
		return elements(t, list)
	}
	channel, rest, _ := strings.Cut(meta, " ")
	if strings.HasSuffix(rest, "b64") {
		raw, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			t.Error(err)
		}
		data = string(raw)
	}
	return []event{{channel, data, false}}
}

// elements reads events as JSON, and takes nothing beyond the keys there are.
func elements(t *testing.T, list []json.RawMessage) (events []event) {
	t.Helper()
	for _, raw := range list {
		var e struct {
			Seq, Time         int64
			Channel, ID, Type string
			Data              json.RawMessage
			Data64            []byte
			Traceparent       string
			N, First          int64
		}
		read := json.NewDecoder(bytes.NewReader(raw))
		read.DisallowUnknownFields()
		if err := read.Decode(&e); err != nil {
			t.Errorf("an element that is none: %v: %s", err, raw)
		}
		data := string(e.Data)
		if e.Data == nil {
			data = string(e.Data64)
		}
		events = append(events, event{e.Channel, data, true})
	}
	return events
}

// compare holds what was read against what was sent.
func compare(t *testing.T, got []event, sent []sentEvent) {
	t.Helper()
	if len(got) != len(sent) {
		t.Errorf("%d events, want %d", len(got), len(sent))
		return
	}
	for i, e := range got {
		if e.channel != "" && e.channel != "hostile" {
			t.Errorf("event %d says it is of channel %q", i, e.channel)
		}
		if !sent[i].is(e) {
			t.Errorf("event %d: sent %+v, got %q", i, sent[i], e.data)
		}
	}
}

// is tells whether a reader got this data. Lines of text come with another end
// in a stream, and the same in an element.
func (s sentEvent) is(e event) bool {
	var value any
	err := json.Unmarshal([]byte(e.data), &value)
	switch {
	case s.binary != "":
		return e.data == s.binary
	case s.text == "":
		return err == nil && reflect.DeepEqual(value, s.json)
	case e.element:
		return err == nil && value == s.text
	}
	return e.data == strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s.text)
}
