package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
)

// sender publishes as one tenant's service does.
type sender struct {
	url, token string
	client     *http.Client
}

func (s *sender) send(lines []byte) (status int, err error) {
	r, err := http.NewRequest("POST", s.url, bytes.NewReader(lines))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/x-ndjson")
	res, err := s.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// drain opens a stream that is read and not looked at.
func (g *gateway) drain(query, token string) {
	g.t.Helper()
	r, err := http.NewRequest("GET", g.base+"/stream?"+query, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || res.StatusCode != 200 {
		g.t.Fatal(res, err)
	}
	g.t.Cleanup(func() { _ = res.Body.Close() })
	go func() { _, _ = io.Copy(io.Discard, res.Body) }() // until it is closed
}

// TestANoisyTenantDelaysAQuietOneLittle has a tenant that publishes at twenty
// times its quota to two hundred streams, beside one with eight channels. How
// long the quiet one's events take, from before the request to the page, is
// compared with what they took before, in one run. It is the median that has to
// stay: on a machine that does other things, the slowest are those things'.
func TestANoisyTenantDelaysAQuietOneLittle(t *testing.T) {
	const quota, channels, lasts = 500, 8, 2 * time.Second
	g, issuer := issuing(t, nil, func(h *config.Hot) {
		h.Auth.Publishers.Mode, h.Auth.Publishers.JWT = config.ModeJWT, h.Auth.Subscribers.JWT
		h.Limits.Publish = config.Publish{PerPublisherEventsPerSecond: quota, Burst: quota, PerTenantEventsPerSecond: quota}
		h.Connections.MaxPerSubject = 0
	})
	publisher := func(tenant string) *sender {
		return &sender{g.base + "/events", issuer.publishing(t, tenant), &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	}
	quiet := publisher("quiet")
	took := make([]chan time.Time, channels)
	for i := range took {
		s := g.open(fmt.Sprintf("channels=q.%d", i), "Authorization", "Bearer "+issuer.claiming(t, "q", map[string]any{"tenant": "quiet", "sub": []string{">"}}))
		s.next("sg.caught-up")
		took[i] = make(chan time.Time, 1)
		go func() {
			for f := range s.frames {
				if f.event == "" {
					took[i] <- f.at
				}
			}
		}()
	}
	measure := func() []time.Duration {
		var mu sync.Mutex
		var all []time.Duration
		var wg sync.WaitGroup
		for i := range channels {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				line := fmt.Appendf(nil, `{"channel":"q.%d","data":1}`, i)
				// Slower than the window, so that no event waits for it.
				for tick, end := time.NewTicker(80*time.Millisecond), time.Now().Add(lasts); time.Now().Before(end); <-tick.C {
					begun := time.Now()
					if status, err := quiet.send(line); err != nil || status != 200 {
						t.Errorf("the quiet tenant: %d, %v", status, err)
						return
					}
					d := (<-took[i]).Sub(begun)
					mu.Lock()
					all = append(all, d)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		slices.Sort(all)
		return all
	}
	measure() // warms up connections
	alone := measure()
	for range 200 {
		g.drain("channels=n.>", issuer.claiming(t, "n", map[string]any{"tenant": "noisy", "sub": []string{">"}}))
	}
	noisy, stop := publisher("noisy"), make(chan struct{})
	var let, refused atomic.Int64
	var loud sync.WaitGroup
	lines := []byte(strings.Repeat(`{"channel":"n.1","data":{"some":"thing that takes a little room"}}`+"\n", 50))
	for range 4 {
		loud.Go(func() {
			for tick := time.NewTicker(time.Second * 4 * 50 / (20 * quota)); ; {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				if status, _ := noisy.send(lines); status == 200 {
					let.Add(50)
				} else {
					refused.Add(50)
				}
			}
		})
	}
	time.Sleep(time.Second) // its burst is over
	let.Store(0)
	refused.Store(0)
	beside := measure()
	close(stop)
	loud.Wait()
	p := func(all []time.Duration, q float64) time.Duration { return all[int(q*float64(len(all)-1))] }
	ratio := float64(p(beside, 0.99)) / float64(p(alone, 0.99))
	t.Logf("alone p50 %s p99 %s of %d; beside p50 %s p99 %s of %d: ratio %.2f; the noisy one got %d/s of %d/s", p(alone, 0.5), p(alone, 0.99), len(alone),
		p(beside, 0.5), p(beside, 0.99), len(beside), ratio, let.Load()/int64(lasts.Seconds()), (let.Load()+refused.Load())/int64(lasts.Seconds()))
	if n := let.Load() / int64(lasts.Seconds()); n > 2*quota || refused.Load() < 5*let.Load() {
		t.Errorf("the noisy tenant got %d events a second through, and %d were refused in all", n, refused.Load())
	}
	if most := 3*p(alone, 0.5) + 2*time.Millisecond; p(beside, 0.5) > most {
		t.Errorf("the quiet tenant's median is %s beside a noisy one, want %s at most", p(beside, 0.5), most)
	}
}
