package transport

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// TestAStuckStreamOfASharedConnectionEndsAlone carries many streams on one
// HTTP/2 connection, as a proxy does. One that is not read is closed after the
// write timeout; the others get everything.
func TestAStuckStreamOfASharedConnectionEndsAlone(t *testing.T) {
	const readers, events = 20, 300
	p := newPod(t, func(tun *engine.Tuning) { tun.Connections.WriteTimeout = 3 * time.Second })
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := httptest.NewUnstartedServer(p)
	server.Config.Protocols = protocols
	server.Start()
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{Protocols: protocols, DisableCompression: true}}
	url := server.URL + Base + "/stream?channels=a"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	open := func() io.ReadCloser {
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(q)
		if err != nil || answer.StatusCode != http.StatusOK || answer.ProtoMajor != 2 {
			t.Fatal(answer, err)
		}
		return answer.Body
	}
	stuck := open()
	defer stuck.Close()
	var got atomic.Int64
	for range readers {
		body := open()
		go func() {
			defer body.Close()
			buf := make([]byte, 64<<10)
			for {
				n, err := body.Read(buf)
				got.Add(int64(strings.Count(string(buf[:n]), "#")))
				if err != nil {
					return
				}
			}
		}()
	}
	for range events { // 5 MB, more than the window of a stream
		p.publish(wire.Event{Channel: "a", Data: []byte(`"#` + strings.Repeat("x", 16<<10) + `"`)})
		time.Sleep(time.Millisecond)
	}
	deadline := time.Now().Add(patience)
	for got.Load() < readers*events || p.engine.Stats().Connections.Ended["timeout"] == 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d events arrived; ended: %v", got.Load(), readers*events, p.engine.Stats().Connections.Ended)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if ended := p.engine.Stats().Connections.Ended; len(ended) != 1 || ended["timeout"] != 1 {
		t.Errorf("ended: %v", ended)
	}
}
