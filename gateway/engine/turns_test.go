package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// TestABigGroupIsServedBeyondThePublishersTurn has more members in a group
// than a publisher writes to itself, and than one loop takes: the loops finish
// what it began, also when new blocks come before they are through.
func TestABigGroupIsServedBeyondThePublishersTurn(t *testing.T) {
	for _, loops := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, loops, func(tun *engine.Tuning) { tun.Batching.Window = 0 })
			clients := make([]*client, 1300)
			for i := range clients {
				clients[i] = &client{}
				s, err := r.Open(engine.Request{Subs: subs(t, "a")})
				if err != nil {
					t.Fatal(err)
				}
				clients[i].stream = s
				s.Start(clients[i])
			}
			for i := range 5 {
				r.append(wire.Event{Channel: "a", Data: fmt.Appendf(nil, "[%d]", i+1)})
			}
			synctest.Wait() // no time passes
			for i, c := range clients {
				next := uint64(1)
				for _, f := range c.got() {
					for _, seq := range seqs(t, f) {
						if seq != next {
							t.Fatalf("client %d got %d, want %d", i, seq, next)
						}
						next++
					}
				}
				if next != 6 {
					t.Fatalf("client %d lacks %d events", i, 6-next)
				}
			}
			if groups := r.Stats().Subscriptions.Groups; groups != loops {
				t.Errorf("the group is on %d loops, want %d", groups, loops)
			}
		})
	}
}

// TestNothingWaitsForADeliverThatDoesNotCome adds an event for a publisher that
// is stuck with its ack.
func TestNothingWaitsForADeliverThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		c := &client{}
		s, err := r.Open(engine.Request{Subs: subs(t, "a")})
		if err != nil {
			t.Fatal(err)
		}
		c.stream = s
		s.Start(c)
		synctest.Wait()
		for n := 1; n <= 3; n++ {
			c.got() // so far
			begun := time.Now()
			r.seq++
			r.Add([]wire.Record{{Seq: r.seq, Event: wire.Event{Channel: "a", Data: []byte("1")}}})
			synctest.Wait()
			if early := c.got(); len(early) > 0 {
				t.Fatalf("event %d delivered by Add: %s", n, show(early))
			}
			time.Sleep(5 * time.Millisecond)
			synctest.Wait()
			got := c.got()
			if len(got) != 1 || got[0].at.Sub(begun) != 5*time.Millisecond {
				t.Fatalf("event %d: %s", n, show(got))
			}
			time.Sleep(time.Second)
		}
	})
}
