package noloss

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// textbook is a gateway as short as can be, whose promises can be broken one by
// one: the checker is tested against it, and must see each. mend and break are
// done by its fields, set before it serves.
type textbook struct {
	mu      sync.Mutex
	epoch   string
	records []record
	ids     map[string]int
	changed chan struct{} // closed and replaced at every append

	spoil   func(subscriber int, r record) []record // what a subscriber gets for a record; nil: the record
	resume  func(seq int) int                       // where a reader starts that asked for this position
	ack     func(seq int) int                       // the position that a publisher is told
	resets  func(readers int) string                // data of sg.reset for a reader that resumes; "": none
	refuse  func(request int) int                   // status for the n-th publish request, after appending; 0: none
	readers int
	writes  int
}

type record struct {
	seq                     int
	channel, id, kind, data string
}

func newTextbook() *textbook {
	return &textbook{epoch: "abcd", ids: map[string]int{}, changed: make(chan struct{})}
}

func (g *textbook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/stream") {
		g.stream(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	g.publish(w, decode(r, body))
}

// decode reads the four forms that a publisher of this package sends.
func decode(r *http.Request, body []byte) (records []record) {
	var in struct {
		Channel, ID string
		Data        json.RawMessage
	}
	switch kind := r.Header.Get("Content-Type"); {
	case strings.HasPrefix(kind, "application/cloudevents-batch"):
		var batch []json.RawMessage
		_ = json.Unmarshal(body, &batch)
		body = bytes.Join(func() (raw [][]byte) {
			for _, b := range batch {
				raw = append(raw, b)
			}
			return raw
		}(), []byte("\n"))
		fallthrough
	case kind == "application/x-ndjson":
		lines := bufio.NewScanner(bytes.NewReader(body))
		for lines.Scan() {
			_ = json.Unmarshal(lines.Bytes(), &in)
			records = append(records, record{channel: in.Channel, id: in.ID, kind: "json", data: string(in.Data)})
		}
		return records
	case r.Header.Get("Ce-Id") != "":
		return []record{{channel: r.Header.Get("Ce-Channel"), id: r.Header.Get("Ce-Id"), kind: "json", data: string(body)}}
	}
	kind := map[string]string{"text/plain; charset=utf-8": "text", "application/json": "json"}[r.Header.Get("Content-Type")]
	channel := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v2/realtime/channels/"), "/events")
	return []record{{channel: channel, id: r.Header.Get("Idempotency-Key"), kind: kind, data: string(body)}}
}

func (g *textbook) publish(w http.ResponseWriter, records []record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	type result struct {
		ID        string `json:"id"`
		Cursor    string `json:"cursor"`
		Duplicate bool   `json:"duplicate"`
	}
	var results []result
	duplicates := 0
	for _, r := range records {
		seq, known := g.ids[r.id]
		if !known {
			seq = len(g.records) + 1
			r.seq = seq
			g.ids[r.id] = seq
			g.records = append(g.records, r)
		} else {
			duplicates++
		}
		told := seq
		if g.ack != nil {
			told = g.ack(seq)
		}
		results = append(results, result{r.id, fmt.Sprintf("%s.%d", g.epoch, told), known})
	}
	close(g.changed)
	g.changed = make(chan struct{})
	g.writes++
	if g.refuse != nil {
		if status := g.refuse(g.writes); status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"accepted": len(records), "duplicates": duplicates, "results": results})
}

func (g *textbook) stream(w http.ResponseWriter, r *http.Request) {
	patterns := strings.Split(r.URL.Query().Get("channels"), ",")
	format := r.URL.Query().Get("format")
	w.Header().Set("Content-Type", "text/event-stream")
	g.mu.Lock()
	reader := g.readers
	g.readers++
	next, resume := len(g.records), "fresh"
	if at, err := ParseCursor(r.Header.Get("Last-Event-ID")); err == nil {
		next, resume = int(at.Seq), "complete"
		if g.resume != nil {
			next = g.resume(next)
		}
	}
	g.mu.Unlock()
	fmt.Fprintf(w, "retry: 10\n\nevent: sg.open\ndata: {\"resume\":%q}\n\n", resume)
	if g.resets != nil && resume != "fresh" {
		if data := g.resets(reader); data != "" {
			fmt.Fprintf(w, "event: sg.reset\ndata: %s\n\n", data)
		}
	}
	for caughtUp := false; ; {
		g.mu.Lock()
		fresh, changed := slices.Clone(g.records[min(next, len(g.records)):]), g.changed
		g.mu.Unlock()
		for _, rec := range fresh {
			next = rec.seq
			out := []record{rec}
			if g.spoil != nil {
				out = g.spoil(reader, rec)
			}
			for _, o := range out {
				if slices.ContainsFunc(patterns, func(p string) bool { return matches(p, o.channel) }) {
					_, _ = io.WriteString(w, o.frame(g.epoch, format))
				}
			}
		}
		if !caughtUp {
			fmt.Fprintf(w, "id: %s.%d\nevent: sg.caught-up\ndata: {}\n\n", g.epoch, next)
			caughtUp = true
		}
		w.(http.Flusher).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func (r record) frame(epoch, format string) string {
	head := fmt.Sprintf("id: %s.%d\n", epoch, r.seq)
	if format == "plain" || format == "typed" {
		flag, data := "", strings.ReplaceAll(r.data, "\n", "\ndata: ")
		if r.kind == "" {
			flag, data = " b64", base64.StdEncoding.EncodeToString([]byte(r.data))
		}
		return fmt.Sprintf("%ssg: %s %d%s\ndata: %s\n\n", head, r.channel, time.Now().UnixMilli(), flag, data)
	}
	data, _ := json.Marshal(r.data)
	field := "data"
	switch r.kind {
	case "json":
		data = []byte(r.data)
	case "":
		field = "data64"
		data, _ = json.Marshal([]byte(r.data))
	}
	element := fmt.Sprintf(`{"seq":%d,"time":1,"channel":%q,"id":%q,%q:%s}`, r.seq, r.channel, r.id, field, data)
	if format == "array" {
		element = "[" + element + "]"
	}
	return head + "data: " + element + "\n\n"
}
