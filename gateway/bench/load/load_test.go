//go:build linux

package load

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
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
	for end := time.Now().Add(5 * time.Second); c.Counts().Received < 3 && time.Now().Before(end); {
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
	for end := time.Now().Add(5 * time.Second); c.Counts().Lost < 1 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if _, err := c.Latency(); err == nil || !strings.Contains(err.Error(), "503") || c.Counts().Opened != 0 {
		t.Errorf("%+v, %v", c.Counts(), err)
	}
}
