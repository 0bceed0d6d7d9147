package main

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// crowd is streams that follow one channel, wherever the Service leads.
type crowd struct {
	service atomic.Pointer[string] // address
	closed  atomic.Bool
	readers sync.WaitGroup
	live    atomic.Int64

	mu        sync.Mutex
	sent      []time.Time     // by number
	gaps      []time.Duration // of those that are cut off: from the end to sg.caught-up of the next
	beyond    []time.Duration // the same without the wait that the server asked for
	late      []time.Duration // the latest event of each stream
	lost      int             // events that a stream did not get and that sg.reset named
	unnamed   int             // or that nobody named
	repeated  int
	moved     int // streams that moved at least once
	moves     int
	forgotten int // streams that had to reset
}

// publish sends one event to where the Service leads.
func (c *crowd) publish(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	n := len(c.sent)
	c.sent = append(c.sent, time.Now())
	c.mu.Unlock()
	c.post(t, strconv.Itoa(n))
}

// post repeats a publish until it is acknowledged.
func (c *crowd) post(t *testing.T, data string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		request, err := http.NewRequest(http.MethodPost, "http://"+*c.service.Load()+"/v2/realtime/channels/c/events", strings.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", "event-"+data)
		res, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("event %s was not taken: %v", data, err)
		}
	}
}

func newCrowd(t *testing.T, n int, service string) *crowd {
	t.Helper()
	c := &crowd{}
	c.service.Store(&service)
	for i := range n {
		c.readers.Add(1)
		go (&reader{c: c}).follow(i%2 == 1)
	}
	for deadline := time.Now().Add(2 * time.Minute); c.live.Load() < int64(n); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d streams are live", c.live.Load(), n)
		}
	}
	return c
}

// run publishes for so long, and says at which moment to act.
func (c *crowd) run(t *testing.T, length time.Duration, at map[int]func()) {
	t.Helper()
	const perSecond = 2
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	for i := range int(length.Seconds() * perSecond) {
		if act := at[i/perSecond]; act != nil && i%perSecond == 0 {
			act()
		}
		c.publish(t)
		<-tick.C
	}
	time.Sleep(3 * time.Second)
	c.closed.Store(true)
	c.post(t, "null") // wakes every reader
	c.readers.Wait()
}
