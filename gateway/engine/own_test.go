package engine_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/fanout"
	"github.com/streamgateway/streamgateway/gateway/engine/ring"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

func (r *rig) listen(t *testing.T, q engine.Request) *client {
	t.Helper()
	s, err := r.Open(q)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{stream: s}
	s.Start(c)
	return c
}

// events counts those that a client got.
func events(c *client) (n int) {
	for _, f := range c.got() {
		if f.data != "" && !strings.HasPrefix(f.event, "sg.") {
			n++
		}
	}
	return n
}

// TestTheGatewaysOwnStreamsAreServedAndInNoNumber lets the gateway publish to
// itself and read that in every way, be slow, cut off and resumed, and finds
// nothing of it in any number but those of memory and time.
func TestTheGatewaysOwnStreamsAreServedAndInNoNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, func(tun *engine.Tuning) {
			tun.Queue.MaxEvents, tun.Replay.TTL, tun.Connections.Heartbeat = 5, time.Minute, time.Hour // no beat of the client counts
		})
		everything := r.listen(t, engine.Request{Subs: subs(t, ">")})
		r.publish("prices", "1")
		synctest.Wait()
		r.Evict()
		before := r.Stats()

		channel := wire.Qualify(wire.OwnTenant, "canary.pod")
		own, err := wire.QualifiedSubSet([]string{channel})
		if err != nil {
			t.Fatal(err)
		}
		plain := r.listen(t, engine.Request{Subs: own})
		packed := r.listen(t, engine.Request{Subs: own, Gzip: true, Format: wire.Array})
		stuck := r.listen(t, engine.Request{Subs: own})
		stuck.block()
		polled := make(chan *engine.Answer, 1)
		go func() {
			a, err := r.Poll(context.Background(), engine.Request{Subs: own, Position: at(r.Head().Seq)}, engine.Poll{Wait: time.Hour, MaxEvents: 10, MaxBytes: 1 << 20})
			if err != nil {
				t.Error(err)
			}
			polled <- a
		}()
		synctest.Wait()
		for range 20 {
			r.publish(channel, `{"n":1}`)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if a := <-polled; len(a.Events) != 1 {
			t.Errorf("the poll got %d events", len(a.Events))
		}
		for name, c := range map[string]*client{"plain": plain, "packed": packed} {
			if n := events(c); n != 20 {
				t.Errorf("%s got %d events", name, n)
			}
		}
		resumed := r.listen(t, engine.Request{Subs: own, Position: wire.Position{Where: wire.At, Cursor: before.Head}})
		synctest.Wait()
		if n := events(resumed); n != 20 {
			t.Errorf("resumed with %d events", n)
		}
		if worst := r.Laggards(10); len(worst) != 0 {
			t.Errorf("laggards: %+v", worst)
		}
		if busiest, _ := r.Activity(time.Minute, 10); len(busiest) != 1 || busiest[0].Channel != "prices" {
			t.Errorf("busiest channels: %+v", busiest)
		}
		r.Evict()
		during := r.Stats()
		if diff := cmp.Diff(before, during, cmpopts.IgnoreFields(ring.Stats{}, "Head", "Bytes", "Held", "Evictions"),
			cmpopts.IgnoreFields(engine.Stats{}, "Head"), cmpopts.IgnoreFields(fanout.Stats{}, "Busy"),
			cmpopts.IgnoreFields(fanout.SegmentStats{}, "Bytes"), cmpopts.IgnoreFields(fanout.SlowStats{}, "PinnedBytes")); diff != "" {
			t.Errorf("numbers moved: %s", diff)
		}
		for _, c := range []*client{plain, packed, stuck, resumed} {
			c.stream.Fail()
		}
		synctest.Wait()
		if after := r.Stats(); after.Connections.Lost != 0 || after.Connections.Closed != 0 || after.Connections.Active != 1 {
			t.Errorf("connections: %+v", after.Connections)
		}
		if n := events(everything); n != 1 {
			t.Errorf("a client of all channels got %d events", n)
		}
	})
}

func TestAnIdleDrainDoesNotWaitForTheGatewaysOwnStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		own, err := wire.QualifiedSubSet([]string{wire.Qualify(wire.OwnTenant, "canary.pod")})
		if err != nil {
			t.Fatal(err)
		}
		r.listen(t, engine.Request{Subs: own})
		synctest.Wait()
		began := time.Now()
		if err := r.Drain(t.Context(), engine.Drain{Spread: 10 * time.Second, Timeout: 30 * time.Second}); err != nil || time.Since(began) > 0 {
			t.Errorf("took %s: %v", time.Since(began), err)
		}
	})
}
