//go:build linux

package load

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestScannerFindsEveryStampHoweverTheStreamIsCut(t *testing.T) {
	mix := NewMix(rand.New(rand.NewPCG(1, 2)))
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		events := rapid.IntRange(0, 12).Draw(t, "events")
		for n := range events {
			stream = append(stream, `: {"at" is no stamp, nor is {"a`...)
			stream = append(mix.Append(stream, uint64(n+1), time.Now().UnixNano()), "\n\n"...)
		}
		var s scanner
		var found []uint64
		for len(stream) > 0 {
			size := rapid.IntRange(1, len(stream)).Draw(t, "piece")
			if rapid.Bool().Draw(t, "small") {
				size = min(size, 7)
			}
			s.scan(stream[:size], func(e stamp) { found = append(found, e.n) })
			stream = stream[size:]
		}
		if len(found) != events {
			t.Fatalf("found %d of %d: %v", len(found), events, found)
		}
		for i, n := range found {
			if n != uint64(i+1) {
				t.Fatalf("found %v", found)
			}
		}
	})
}

func TestChunksGiveTheBodyHoweverItIsCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var wire, want strings.Builder
		for range rapid.IntRange(0, 8).Draw(t, "chunks") {
			piece := rapid.StringMatching(`[a-z\r\n]{1,40}`).Draw(t, "data")
			fmt.Fprintf(&wire, "%x\r\n%s\r\n", len(piece), piece)
			want.WriteString(piece)
		}
		wire.WriteString("0\r\n\r\n")
		var c chunks
		var got []byte
		for text := []byte(wire.String()); len(text) > 0; {
			size := rapid.IntRange(1, len(text)).Draw(t, "piece")
			for rest := text[:size]; len(rest) > 0; {
				data, after, err := c.next(rest)
				if err != nil {
					t.Fatal(err)
				}
				got, rest = append(got, data...), after
			}
			text = text[size:]
		}
		if string(got) != want.String() {
			t.Fatalf("%q, want %q", got, want.String())
		}
	})
}

func TestWindowTellsRepeatsFromLateComers(t *testing.T) {
	var w window
	for i, c := range []struct {
		n    uint64
		want bool
	}{{5, false}, {6, false}, {5, true}, {4, false}, {4, true}, {200, false}, {6, false}, {200, true}, {199, false}} {
		if got := w.repeats(c.n); got != c.want {
			t.Errorf("step %d, number %d: %v", i, c.n, got)
		}
	}
}

// stutter sends every event that is posted twice to every reader.
func stutter(t *testing.T, times int) netip.AddrPort {
	t.Helper()
	events := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			data, _ := io.ReadAll(r.Body)
			events <- string(data)
			return
		}
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case e := <-events:
				for range times {
					fmt.Fprintf(w, "id: x\ndata: %s\n\n", e)
				}
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	return netip.MustParseAddrPort(server.Listener.Addr().String())
}

func TestCrowdCountsEventsOnceAndNamesDuplicates(t *testing.T) {
	at := stutter(t, 2)
	c, err := NewCrowd(1)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Open(at, 0, 1, func(int) []byte { return []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n") }); err != nil {
		t.Fatal(err)
	}
	plain := func(string) string { return "" }
	p, err := NewPublisher(Target{Server: at, Path: func(string) string { return "/" }, Header: plain}, NewMix(rand.New(rand.NewPCG(1, 1))).Append, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	c.Reset(p.Next() + 1) // the first event is a probe
	if err := p.Paced(t.Context(), 100, 4, 1, func(int) string { return "" }); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); c.Counts().Received < 3 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
	if got := c.Counts(); got.Received != 3 || got.Duplicates != 3 || got.Opened != 1 || got.Lost != 0 || got.Reached != 1 || got.WireBytes < 8*150 {
		t.Errorf("%+v", got)
	}
	if h, err := c.Latency(); err != nil || h.TotalCount() != 3 || h.Max() > 5_000_000 {
		t.Errorf("%d latencies, %v", h.TotalCount(), err)
	}
}

func TestRefusedStreamIsAnErrorAndNotASilentZero(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = http.ReadRequest(bufio.NewReader(conn))
		fmt.Fprint(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
	}()
	c, err := NewCrowd(1)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Open(netip.MustParseAddrPort(l.Addr().String()), 0, 1, func(int) []byte { return []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n") }); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); c.Counts().Lost < 1 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if _, err := c.Latency(); err == nil || !strings.Contains(err.Error(), "503") || c.Counts().Opened != 0 {
		t.Errorf("%+v, %v", c.Counts(), err)
	}
}

func TestPollersAskAgainFromTheCursorTheyGotUntilNothingIsLeft(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		at, _ := strconv.Atoi(r.URL.Query().Get("cursor")) // 0 = the first request, which gives position 1
		if at == 0 {
			fmt.Fprint(w, `{"cursor":"1","events":[]}`)
			return
		}
		if at > 5 { // events 1 to 5 are all there are
			fmt.Fprintf(w, `{"cursor":"%d","events":[],"more":false}`, at)
			return
		}
		fmt.Fprintf(w, `{"events":[{"data":%s,"kind":1}}],"cursor":"%d","more":%t}`, appendStamp(nil, uint64(at), time.Now().UnixNano()), at+1, at < 5)
	}))
	defer server.Close()
	at := netip.MustParseAddrPort(server.Listener.Addr().String())
	p := Poll(t.Context(), at, 3, time.Hour, func(_ int, cursor string) []byte {
		return []byte("GET /?cursor=" + cursor + " HTTP/1.1\r\nHost: x\r\n\r\n")
	})
	p.Close() // the others' second requests are minutes away and must not be waited for; the first may have asked for all before
	if got, err := p.Polled(); err != nil || got.Received > 5 || got.Requests > 3+6 {
		t.Errorf("%+v, %v", got, err)
	}
	p = Poll(t.Context(), at, 3, 10*time.Millisecond, func(_ int, cursor string) []byte {
		return []byte("GET /?cursor=" + cursor + " HTTP/1.1\r\nHost: x\r\n\r\n")
	})
	defer p.Close()
	got, err := p.Polled()
	for end := time.Now().Add(time.Minute); got.Received < 15 && err == nil && time.Now().Before(end); got, err = p.Polled() {
		time.Sleep(time.Millisecond)
	}
	if err != nil || got.Received != 15 || got.Latency.TotalCount() != 15 || got.Requests < 3*6 || got.Down < got.Up || asked.Load() < 18 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestInflatersDecodeAndCountWhatCameOverTheWire(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			t.Error("gzip was not asked for")
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		for n := range 100 {
			_, _ = z.Write(AppendSized([]byte("data: "), uint64(n+1), time.Now().UnixNano(), 200))
			_ = z.Flush()
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	f, err := Inflate(netip.MustParseAddrPort(server.Listener.Addr().String()), 2, func(int) []byte {
		return AcceptGzip([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !f.Await(200, 5*time.Second) {
		t.Error("not all events were decoded")
	}
	if events, bytes, compressed, err := f.Received(); err != nil || events != 200 || bytes > 200*150 || bytes < 2000 || compressed != 2 {
		t.Errorf("%d events, %d bytes, %d compressed, %v", events, bytes, compressed, err)
	}
}

func TestPublishingEndsWithTheFirstRequestThatFails(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	same := func(text string) func(string) string { return func(string) string { return text } }
	p, err := NewPublisher(Target{Server: netip.MustParseAddrPort(server.Listener.Addr().String()), Path: same("/"), Header: same("")},
		func(dst []byte, n uint64, at int64) []byte { return AppendSized(dst, n, at, 64) }, 1)
	if err != nil {
		t.Fatal(err)
	}
	err = p.Paced(t.Context(), 10_000, 1000, 1, func(int) string { return "a" })
	if err == nil || asked.Load() != 3 {
		t.Errorf("%d requests, %v", asked.Load(), err)
	}
	if err := p.Close(); err != nil || len(p.free) != 0 {
		t.Errorf("closing: %v", err)
	}
}
