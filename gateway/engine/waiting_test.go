package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// TestEventsOfAnOpenBatchAreCountedWhileTheyWait: who looks knows how late they
// are before they are written, and not after.
func TestEventsOfAnOpenBatchAreCountedWhileTheyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, func(tun *engine.Tuning) { tun.Batching.Window = time.Minute })
		for range 3 {
			c := &client{}
			var err error
			if c.stream, err = r.Open(engine.Request{Subs: subs(t, "a"), Format: wire.Plain}); err != nil {
				t.Fatal(err)
			}
			c.stream.Start(c)
		}
		r.publish("a", "1") // the leading edge waits for nothing
		if s := r.Stats().Waiting; s.Events != 0 {
			t.Fatalf("%d deliveries wait", s.Events)
		}
		r.publish("a", "2", "3")
		time.Sleep(20 * time.Millisecond)
		s := r.Stats().Waiting
		if s.Events != 6 || s.Counts[20] != 3 {
			t.Errorf("%d deliveries wait, %d writes for 20 ms; want 6 and 3", s.Events, s.Counts[20])
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := r.Stats(); s.Waiting.Events != 0 || s.Waiting.Counts[31] != 0 || s.Events.Delivered != 9 {
			t.Errorf("after the window: %+v, %d delivered", s.Waiting, s.Events.Delivered)
		}
	})
}
