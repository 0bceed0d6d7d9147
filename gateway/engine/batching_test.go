package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// TestBatchesKeepTheirPromises holds batching to what protocol and
// documentation promise, for any times of events: none waits longer than the
// window, none waits when its group was quiet for a window, no batch has more
// events than allowed, and as long as no batch is full, one write in a window
// is enough.
func TestBatchesKeepTheirPromises(t *testing.T) {
	rapid.Check(t, inBubble(t, func(rt *rapid.T) {
		window := time.Duration(rapid.IntRange(1, 100).Draw(rt, "window")) * time.Millisecond
		most := rapid.IntRange(1, 30).Draw(rt, "maxEvents")
		r := makeRig(1, func(tun *engine.Tuning) {
			tun.Batching.Window, tun.Batching.MaxEvents = window, most
		})
		defer r.Close()
		c := &client{}
		set, err := wire.NewSubSet([]string{"a"})
		if err != nil {
			rt.Fatal(err)
		}
		c.stream, err = r.Open(engine.Request{Subs: set, Format: wire.Array})
		if err != nil {
			rt.Fatal(err)
		}
		c.stream.Start(c)
		c.got()
		var appended []time.Time
		for range rapid.IntRange(1, 60).Draw(rt, "events") {
			time.Sleep(time.Duration(rapid.IntRange(0, 40).Draw(rt, "pause")) * time.Millisecond)
			appended = append(appended, time.Now())
			r.append(wire.Event{Channel: "a", Data: []byte(`[` + string(rune('0'+len(appended)%10)) + `]`)})
		}
		time.Sleep(window)
		synctest.Wait()
		checkBatches(rt, c.got(), appended, window, most)
	}))
}

func checkBatches(rt *rapid.T, frames []frame, appended []time.Time, window time.Duration, most int) {
	next := 0
	flushed := time.Time{} // of the batch before
	full := false
	for _, f := range frames {
		if f.event != "" || f.comment != "" {
			continue
		}
		n := len(elements(rt, f))
		if n > most {
			rt.Fatalf("%d events in a batch, %d are allowed", n, most)
		}
		first := appended[next]
		if wait := f.at.Sub(first); wait > window {
			rt.Fatalf("an event waited %v, the window is %v", wait, window)
		}
		if quiet := first.Sub(flushed) >= window; quiet && f.at != first {
			rt.Fatalf("an event of a quiet group waited %v", f.at.Sub(first))
		}
		if !full && n < most && f.at.Sub(flushed) < window {
			rt.Fatalf("two writes within %v, the window is %v", f.at.Sub(flushed), window)
		}
		next, flushed, full = next+n, f.at, n == most
	}
	if next != len(appended) {
		rt.Fatalf("%d of %d events written a window after the last", next, len(appended))
	}
}

// elements gives the sequence numbers in an array frame.
func elements(rt *rapid.T, f frame) (list []uint64) {
	var all []struct {
		Seq uint64 `json:"seq"`
	}
	decode(rt, f.data, &all)
	for _, e := range all {
		list = append(list, e.Seq)
	}
	return list
}
