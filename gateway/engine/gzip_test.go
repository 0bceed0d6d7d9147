package engine_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/fanout"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// take opens a stream of channel a for a client that takes gzip.
func (r *rig) take(t *testing.T, who engine.Identity) *client {
	t.Helper()
	s, err := r.Open(engine.Request{Subs: subs(t, "a", "secrets.x"), Gzip: true, Identity: who})
	if err != nil {
		t.Fatal(err)
	}
	c := &client{stream: s}
	s.Start(c)
	return c
}

// order is an event of about 200 bytes, much like the one before.
func order(n int) string {
	return `{"orderId":"` + strings.Repeat(string(rune('a'+n%26)), 9) + `","status":"paid","customer":{"name":"Anna","tier":"gold"},` +
		`"total":{"amount":1299,"currency":"EUR"},"updatedAt":"2026-11-24T07:00:00.000Z"}`
}

// sentFor gives how many bytes a client got for one event of a channel.
func (r *rig) sentFor(c *client, channel, data string) int {
	before := len(c.packed)
	r.publish(channel, data)
	time.Sleep(time.Second) // so that every event is a batch of its own
	return len(c.packed) - before
}

func TestABatchIsCompressedOnceForAllInStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		for range 20 {
			r.take(t, engine.Identity{})
		}
		time.Sleep(16500 * time.Millisecond) // all heartbeats are behind, or far ahead
		synctest.Wait()
		before := r.Stats().Bytes.Compressed
		for i := range 3 {
			r.publish("a", order(i))
			time.Sleep(100 * time.Millisecond)
		}
		if n := r.Stats().Bytes.Compressed - before; n > 3 {
			t.Errorf("three batches for twenty clients were compressed %d times", n)
		}
	})
}

func TestABatchInARowIsSmallerThanTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		c := r.take(t, engine.Identity{})
		first := r.sentFor(c, "a", order(0))
		if next := r.sentFor(c, "a", order(1)); next > first/2 {
			t.Errorf("%d bytes after %d", next, first)
		}
	})
}

func TestExcludedChannelsAreNeverCompressed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, func(tun *engine.Tuning) { tun.Compression.ExcludeChannels = []string{"secrets.>"} })
		c := r.take(t, engine.Identity{})
		r.sentFor(c, "secrets.x", order(0))
		if n := r.sentFor(c, "secrets.x", order(0)); n < len(order(0)) {
			t.Errorf("a secret of %d bytes takes %d", len(order(0)), n)
		}
		if got := show(c.got()); strings.Count(got, "secrets.x") < 3 {
			t.Errorf("secrets are missing:\n%s", got)
		}
	})
}

func TestAChannelExcludedWhileStreamsRunIsNotReferredTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		c := r.take(t, engine.Identity{})
		r.sentFor(c, "secrets.x", order(0))
		inRow := r.sentFor(c, "a", order(0))
		tun := tuning()
		tun.Compression.ExcludeChannels = []string{"secrets.>"}
		r.Tune(tun)
		if after := r.sentFor(c, "a", order(0)); after < 2*inRow {
			t.Errorf("%d bytes right after the change, %d before: it refers to what is secret now", after, inRow)
		}
	})
}

func TestCompressionIsDecidedWhenAStreamOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		old := r.take(t, engine.Identity{})
		tun := tuning()
		tun.Compression.Mode = fanout.ModeDisabled
		r.Tune(tun)
		if c := r.take(t, engine.Identity{}); c.stream.Gzip() {
			t.Error("a new stream is compressed in mode Disabled")
		}
		r.publish("a", order(0))
		synctest.Wait()
		if got := show(old.got()); !strings.Contains(got, order(0)) {
			t.Errorf("the stream that runs does not go on:\n%s", got)
		}
		if n := r.Stats().Connections.Gzip; n != 1 {
			t.Errorf("%d streams get gzip", n)
		}
	})
}

func TestTheFlagSwitchesCompressionByClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.Flags(engine.Flags{Revision: 1, Of: func(who engine.Identity) (map[string]bool, *wire.End) {
			return map[string]bool{fanout.FlagCompression: who.Client == "in"}, nil
		}})
		in, out := r.take(t, engine.Identity{Client: "in"}), r.take(t, engine.Identity{Client: "out"})
		if !in.stream.Gzip() || out.stream.Gzip() {
			t.Errorf("on: gzip %t, off: gzip %t", in.stream.Gzip(), out.stream.Gzip())
		}
	})
}

func TestAnOrderlyEndCompletesTheMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		c := r.take(t, engine.Identity{})
		for i := range 30 {
			r.publish("a", order(i), order(i+1))
			time.Sleep(7 * time.Second) // heartbeats in between
		}
		if err := r.Drain(t.Context(), engine.Drain{Reason: wire.DrainRollout, Timeout: time.Second}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !c.whole || c.closedAt().IsZero() {
			t.Errorf("complete: %t, closed: %t", c.whole, !c.closedAt().IsZero())
		}
	})
}
