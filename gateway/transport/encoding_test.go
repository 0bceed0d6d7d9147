package transport

import (
	"bufio"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/fanout"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

func TestGzipIsTakenByTheMostExactMention(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "identity": false, "gzip": true, "GZIP ": true, "x-gzip": true, "gzip, deflate, br, zstd": true,
		"*": true, "*;q=0": false, "gzip;q=0": false, "gzip;q=0.0, *": false, "*;q=0, gzip;q=0.001": true,
		"br;q=1.0, gzip; q=0.8": true, "gzip;q=x": false, "deflate, br": false, "gzip;level=1;q=0": false,
	} {
		if got := takesGzip(http.Header{"Accept-Encoding": {accept}}); got != want {
			t.Errorf("%q: %t", accept, got)
		}
	}
	if !takesGzip(http.Header{"Accept-Encoding": {"br", "gzip"}}) {
		t.Error("only the first of two header lines is read")
	}
}

// encoded opens a stream over real HTTP, without the client's own decoding.
func encoded(t *testing.T, url, accept string) *http.Response {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Accept", "text/event-stream")
	q.Header.Set("Accept-Encoding", accept)
	res, err := http.DefaultTransport.RoundTrip(q)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

func TestTheEncodingIsThatOfTheRequest(t *testing.T) {
	p := newPod(t)
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	for _, c := range []struct{ name, accept, query, want string }{
		{"a client that takes gzip gets it", "gzip", "", "gzip"},
		{"a client that does not gets plain text", "identity", "", ""},
		{"compress=off wins over the header", "gzip", "&compress=off", ""},
		{"compress=auto asks the header", "gzip", "&compress=auto", "gzip"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := encoded(t, server.URL+"/v2/realtime/stream?channels=a"+c.query, c.accept)
			if got := res.Header.Get("Content-Encoding"); got != c.want {
				t.Errorf("Content-Encoding %q", got)
			}
		})
	}
	if res := encoded(t, server.URL+"/v2/realtime/stream?channels=a&compress=yes", "gzip"); res.StatusCode != http.StatusBadRequest {
		t.Errorf("compress=yes: status %d", res.StatusCode)
	}
}

// TestAGzipStreamIsLiveAndEndsWhole reads events as they come through the
// standard decoder, up to an orderly end with checksum and length.
func TestAGzipStreamIsLiveAndEndsWhole(t *testing.T) {
	p := newPod(t, func(tun *engine.Tuning) {
		tun.Batching.Window = 0
		tun.Connections.Heartbeat = 200 * time.Millisecond
		tun.Compression = fanout.Compression{Mode: "Auto", Level: "Fastest", MinBytes: 64}
	})
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	res := encoded(t, server.URL+"/v2/realtime/stream?channels=a", "gzip")
	z, err := gzip.NewReader(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(z)
	next := func(prefix string) string {
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("waiting for %q: %v", prefix, err)
			}
			if strings.HasPrefix(line, prefix) {
				return line
			}
		}
	}
	next("event: sg.caught-up")
	data := `{"status":"paid","note":"` + strings.Repeat("long enough to be worth it ", 4) + `"}`
	for range 100 {
		p.publish(wire.Event{Channel: "a", Data: []byte(data)})
		if got := next("data: {\"status"); got != "data: "+data+"\n" {
			t.Fatalf("got %q", got)
		}
	}
	next(": hb ")
	go func() {
		_ = p.engine.Drain(t.Context(), engine.Drain{Reason: wire.DrainRollout, Timeout: 5 * time.Second})
	}()
	next("event: sg.end")
	if _, err := io.Copy(io.Discard, lines); err != nil {
		t.Errorf("the end: %v", err)
	}
	if b := p.engine.Stats().Bytes; b.GzipSent*2 > b.GzipRaw || b.Compressed == 0 {
		t.Errorf("%d bytes of %d sent, %d batches compressed", b.GzipSent, b.GzipRaw, b.Compressed)
	}
}
