package server

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// heapBytes is what is live after a collection, allocated what was ever made.
func heapBytes() int64 {
	runtime.GC()
	return memStats().HeapAlloc
}

func allocated() int64 { return memStats().TotalAlloc }

func memStats() (m struct{ HeapAlloc, TotalAlloc int64 }) {
	var all runtime.MemStats
	runtime.ReadMemStats(&all)
	m.HeapAlloc, m.TotalAlloc = int64(all.HeapAlloc), int64(all.TotalAlloc)
	return m
}

// A few kilobytes of gzip that hold a hundred megabytes are refused at the limit,
// before the hundred are there: that takes a fraction of what all of them take.
func TestAGzipBombIsRefusedAtTheLimit(t *testing.T) {
	g := start(t, nil)
	var member bytes.Buffer
	zip := gzip.NewWriter(&member)
	_, _ = zip.Write(make([]byte, 1<<20))
	_ = zip.Close()
	bomb := strings.Repeat(member.String(), 100)
	whole := time.Now()
	unzip, err := gzip.NewReader(strings.NewReader(bomb))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, unzip); n != 100<<20 || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	all := time.Since(whole)
	before, began := allocated(), time.Now()
	for _, path := range []string{"/channels/a/events", "/events"} {
		if status := g.publishAs(path, "application/x-ndjson", bomb, []string{"Content-Encoding", "gzip"}); status != 413 {
			t.Errorf("%s: %d", path, status)
		}
	}
	n, took := allocated()-before, time.Since(began)
	t.Logf("refused after %s, all of it takes %s", took, all)
	if n > 32<<20 || took > all {
		t.Errorf("%d MiB were made of %d KB in %s, and all of it takes %s", n>>20, len(bomb)>>10, took, all)
	}
	if status := g.publishAs("/channels/a/events", "text/plain", "x", []string{"Content-Encoding", "gzip, gzip"}); status != 415 {
		t.Errorf("gzip in gzip: %d", status)
	}
}

// A body of a hundred thousand brackets costs no stack.
func TestADeepBodyIsRefusedWhereverJSONIsRead(t *testing.T) {
	g := start(t, nil)
	s := g.open("channels=a")
	sid := s.header.Get("Sg-Session")
	for _, c := range []struct{ method, path, media string }{
		{"POST", "/events", "application/cloudevents+json"},
		{"POST", "/events", "application/cloudevents-batch+json"},
		{"POST", "/events", "application/x-ndjson"},
		{"POST", "/channels/a/events", "application/json"},
		{"POST", "/stream", "application/json"},
		{"PATCH", "/sessions/" + sid, "application/json"},
		{"POST", "/beacon", "text/plain"},
	} {
		for _, bomb := range []string{strings.Repeat("[", 30000), strings.Repeat(`{"a":`, 10000), `{"channels":` + strings.Repeat("[", 15000) + strings.Repeat("]", 15000) + "}"} {
			r, _ := http.NewRequest(c.method, g.base+c.path, strings.NewReader(bomb))
			r.Header.Set("Content-Type", c.media)
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatalf("%s %s: %v", c.method, c.path, err)
			}
			_ = res.Body.Close()
			if res.StatusCode != 400 && res.StatusCode != 422 && (c.path != "/beacon" || res.StatusCode != 204) {
				t.Errorf("%s %s %s: %d", c.method, c.path, c.media, res.StatusCode)
			}
		}
	}
	g.post("a", "1")
	s.next("")
}

// Headers and queries beyond all measure are refused without being kept.
func TestHugeHeadersAndQueriesAreRefused(t *testing.T) {
	g := start(t, nil)
	main, _ := g.Addresses()
	parameters := strings.Repeat("&a=1", 10000)
	for name, c := range map[string]struct {
		request  string
		statuses []string // "" = the connection is just closed
	}{
		"a header of a MiB":                  {"GET /v2/realtime/time HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", []string{"431", ""}},
		"a hundred thousand headers":         {"GET /v2/realtime/time HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 100000) + "\r\n", []string{"431", ""}},
		"a name of a MiB":                    {"GET /v2/realtime/time HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("x", 1<<20), []string{"431", ""}},
		"ten thousand parameters":            {"GET /v2/realtime/stream?channels=a" + parameters + " HTTP/1.1\r\nHost: x\r\n\r\n", []string{"431", "414"}},
		"two thousand parameters":            {"GET /v2/realtime/stream?channels=a" + parameters[:8000] + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []string{"200", "414"}},
		"three thousand parameters":          {"GET /v2/realtime/stream?channels=a" + parameters[:12000] + " HTTP/1.1\r\nHost: x\r\n\r\n", []string{"414"}},
		"ten thousand parameters of a page":  {"GET /v2/realtime/channels/a/events?limit=1" + parameters + " HTTP/1.1\r\nHost: x\r\n\r\n", []string{"431", "414"}},
		"ten thousand channels":              {"GET /v2/realtime/stream?channels=" + strings.Repeat("a,", 4000) + " HTTP/1.1\r\nHost: x\r\n\r\n", []string{"414", "400", "422"}},
		"two lengths":                        {"POST /v2/realtime/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", []string{"400"}},
		"a length and chunks":                {"POST /v2/realtime/channels/a/events HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{"400", "200"}},
		"a line feed in a header of its own": {"GET /v2/realtime/time HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\nSet-Cookie: b\r\n\r\n", []string{"200", "400"}},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			status, answer := raw(t, main, c.request)
			if !slices.Contains(c.statuses, status) {
				t.Errorf("%q, want one of %q: %.300s", status, c.statuses, answer)
			}
			if strings.Contains(answer, "\nSet-Cookie") {
				t.Errorf("a forged header: %s", answer)
			}
			if d := time.Since(began); d >= headerTimeout {
				t.Errorf("held for %s", d)
			}
		})
	}
	if g.status(g.base+"/time") != 200 {
		t.Error("does not answer any more")
	}
}

// raw sends bytes and gives the status of what comes back, "" when nothing
// does, with its first bytes.
func raw(t *testing.T, address, request string) (status, answer string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * headerTimeout)) // one that is held is told as that
	sent := make(chan struct{})
	go func() { defer close(sent); _, _ = io.WriteString(c, request) }() // refused before its end
	got := make([]byte, 2048)
	n, _ := io.ReadAtLeast(c, got, 64)
	answer = string(got[:n])
	_ = c.Close()
	<-sent
	if _, rest, ok := strings.Cut(answer, " "); ok && len(rest) > 3 {
		status = rest[:3]
	}
	return status, answer
}

// One client that invents channels, as a publisher and as a reader, costs the
// others nothing, and memory that is given back.
func TestFiftyThousandChannelsOfOneClientHurtNobody(t *testing.T) {
	g := start(t, nil)
	other := g.open("channels=quiet")
	other.next("sg.caught-up")
	before := heapBytes()
	for i := range 50 {
		var lines strings.Builder
		for j := range 1000 {
			fmt.Fprintf(&lines, "{\"channel\":\"flood.%d.%d\",\"data\":1}\n", i, j)
		}
		if status := g.publishAs("/events", "application/x-ndjson", lines.String(), nil); status != 200 {
			t.Fatalf("batch %d: %d", i, status)
		}
	}
	if grown := heapBytes() - before; grown > 48<<20 {
		t.Errorf("50,000 channels take %d MiB", grown>>20)
	}
	names := make([]string, 101)
	for i := range names {
		names[i] = fmt.Sprintf("flood.0.%d", i)
	}
	if status := g.status(g.base + "/stream?errors=http&channels=" + strings.Join(names, ",")); status != 422 {
		t.Errorf("a stream of 101 channels: %d", status)
	}
	flood := g.open("channels=" + strings.Join(names[:100], ","))
	flood.next("sg.caught-up")
	add, _ := json.Marshal(map[string]any{"add": names[100:]})
	r, _ := http.NewRequest("PATCH", g.base+"/sessions/"+flood.header.Get("Sg-Session"), bytes.NewReader(add))
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 422 {
		t.Errorf("a change to 101 channels: %d", res.StatusCode)
	}
	// The fastest of ten: others may hold the processor now and then, what
	// channels cost is paid each time.
	fastest := patience
	for range 10 {
		began := time.Now()
		g.post("quiet", "1")
		other.next("")
		fastest = min(fastest, time.Since(began))
	}
	if fastest > time.Second {
		t.Errorf("the other client's event took %s", fastest)
	}
}
