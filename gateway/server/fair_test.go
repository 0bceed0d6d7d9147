package server

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
)

// tenant is the services and pages of one tenant, on pipes.
type tenant struct {
	t                 *testing.T
	publisher, reader string // tokens
	web               *http.Client
}

// join makes a tenant whose tokens allow all of its channels.
func (s signer) join(t *testing.T, p *pipes, name string) *tenant {
	web := &http.Transport{MaxIdleConnsPerHost: 16, DialContext: func(context.Context, string, string) (net.Conn, error) { return p.dial(), nil }}
	t.Cleanup(web.CloseIdleConnections)
	return &tenant{t, s.publishing(t, name), s.claiming(t, name, map[string]any{"tenant": name, "sub": []string{">"}}), &http.Client{Transport: web}}
}

// publish sends lines of events and gives the status.
func (n *tenant) publish(lines []byte) int {
	r, err := http.NewRequest("POST", "http://gateway/v2/realtime/events", bytes.NewReader(lines))
	if err != nil {
		n.t.Error(err)
		return 0
	}
	r.Header.Set("Authorization", "Bearer "+n.publisher)
	r.Header.Set("Content-Type", "application/x-ndjson")
	res, err := n.web.Do(r)
	if err != nil {
		n.t.Error(err)
		return 0
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// read opens a stream; it is closed when the test ends.
func (n *tenant) read(channels string) io.Reader {
	r, err := http.NewRequest("GET", "http://gateway/v2/realtime/stream?channels="+channels, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+n.reader)
	res, err := n.web.Do(r)
	if err != nil || res.StatusCode != 200 {
		n.t.Fatal(res, err)
	}
	n.t.Cleanup(func() { _ = res.Body.Close() })
	return res.Body
}

// TestANoisyTenantDelaysAQuietOneNotAtAll has a tenant that publishes at twenty
// times its quota to two hundred streams, beside one with eight channels. Time
// passes here only while something waits: for a window, for a rate, for its turn
// behind another. So what the quiet one's events take beside the noisy one is
// exactly what they take alone. What the noisy one costs in processor time is
// measured elsewhere, on gateways that are processes of their own.
func TestANoisyTenantDelaysAQuietOneNotAtAll(t *testing.T) {
	const quota, channels, lasts, lines = 500, 8, 3 * time.Second, 50
	issuer, document := newSigner(t, func(h *config.Hot) {
		h.Auth.Publishers.Mode, h.Auth.Publishers.JWT = config.ModeJWT, h.Auth.Subscribers.JWT
		h.Limits.Publish = config.Publish{PerPublisherEventsPerSecond: quota, Burst: quota, PerTenantEventsPerSecond: quota}
		h.Connections.MaxPerSubject = 0
	})
	inBubbleOf(t, document, func(t *testing.T, p *pipes) {
		quiet, noisy := issuer.join(t, p, "quiet"), issuer.join(t, p, "noisy")
		var arrived [channels]chan time.Time
		for i := range arrived {
			arrived[i] = make(chan time.Time, 1)
			frames := bufio.NewScanner(quiet.read(fmt.Sprintf("q.%d", i)))
			go func() {
				for frames.Scan() {
					if strings.HasPrefix(frames.Text(), `data: 1`) {
						arrived[i] <- time.Now()
					}
				}
			}()
		}
		measure := func() (slowest time.Duration, events int) {
			var mu sync.Mutex
			var all sync.WaitGroup
			for i := range channels {
				all.Go(func() {
					line := fmt.Appendf(nil, `{"channel":"q.%d","data":1}`, i)
					// Slower than the window, so that no event waits for it.
					for end := time.Now().Add(lasts); time.Now().Before(end); time.Sleep(80 * time.Millisecond) {
						begun := time.Now()
						if status := quiet.publish(line); status != 200 {
							t.Errorf("the quiet tenant got %d", status)
							return
						}
						took := (<-arrived[i]).Sub(begun)
						mu.Lock()
						slowest, events = max(slowest, took), events+1
						mu.Unlock()
					}
				})
			}
			all.Wait()
			return slowest, events
		}
		alone, events := measure()
		for range 200 {
			body := noisy.read("n.>")
			go func() { _, _ = io.Copy(io.Discard, body) }() // until it is closed
		}
		var let, refused int
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			batch := []byte(strings.Repeat(`{"channel":"n.1","data":{"some":"thing that takes a little room"}}`+"\n", lines))
			for tick := time.NewTicker(time.Second * lines / (20 * quota)); ; {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				if noisy.publish(batch) == 200 {
					let += lines
				} else {
					refused += lines
				}
			}
		}()
		beside, again := measure()
		close(stop)
		<-stopped
		t.Logf("slowest of %d alone %s, of %d beside %s; the noisy one got %d of %d through", events, alone, again, beside, let, let+refused)
		if beside != alone || again != events {
			t.Errorf("of %d events the slowest takes %s beside the noisy tenant, and %s of %d alone", again, beside, alone, events)
		}
		if most := quota * (1 + int(lasts.Seconds())); let < most*9/10 || let > most || let+refused < 19*quota*int(lasts.Seconds()) {
			t.Errorf("of %d events the noisy tenant got %d through, its burst and its quota are %d", let+refused, let, most)
		}
	})
}
