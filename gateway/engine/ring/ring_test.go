package ring

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

var roomy = Replay{TTL: 5 * time.Minute, MaxBytes: 256 << 20}

func subset(t testing.TB, subscriptions ...string) *wire.SubSet {
	t.Helper()
	s, err := wire.NewSubSet(subscriptions)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// publish appends n events to a channel, one by one.
func publish(r *Ring, channel string, n int) {
	for range n {
		r.Append([]wire.Record{{Seq: r.Head() + 1, Event: wire.Event{Channel: channel, Data: []byte(`{"amount":1}`)}}})
	}
}

func TestReplayStopsAtEvictedCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New("k3f9x2", 0, roomy)
		publish(r, "a", 10)
		time.Sleep(roomy.TTL)
		r.Evict(time.Now())
		publish(r, "b", 1)
		var b Batch
		if _, err := r.Replay(subset(t, "a"), 9, r.Head(), 1000, &b); !errors.Is(err, ErrEvicted) {
			t.Fatalf("the tenth event is gone, yet %v", err)
		}
		if next, err := r.Replay(subset(t, "a"), 10, r.Head(), 1000, &b); err != nil || next != 11 {
			t.Fatalf("nothing is lost after the tenth: %d, %v", next, err)
		}
		if next, err := r.Replay(subset(t, "b"), 0, r.Head(), 1000, &b); err != nil || next != 11 || len(b.Elements) != 1 {
			t.Fatalf("a quiet channel is complete however old the cursor: %d, %v", next, err)
		}
	})
}

func TestQuietChannelIsCompleteHoweverOldTheCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New("k3f9x2", 0, roomy)
		publish(r, "quiet", 1)
		for range 20 {
			publish(r, "busy", 100)
			time.Sleep(time.Minute)
			r.Evict(time.Now())
		}
		if lost := r.Complete(subset(t, "quiet"), 1); lost != nil {
			t.Fatalf("lost %v", lost)
		}
		lost := r.Complete(subset(t, "quiet", "busy", "*"), 1)
		if len(lost) != 2 || lost[0].Channel != "busy" || lost[1].Channel != "*" {
			t.Fatalf("lost %v", lost)
		}
	})
}

func TestFreshReplicaCannotProveBelowItsFloor(t *testing.T) {
	r := New("k3f9x2", 500, roomy)
	if lost := r.Complete(subset(t, "a", "b.>"), 499); len(lost) != 2 || !lost[0].Unprovable || lost[0].EvictedUpto != 500 || !lost[1].Unprovable {
		t.Fatalf("lost %+v", lost)
	}
	if lost := r.Complete(subset(t, "a", "b.>"), 500); lost != nil {
		t.Fatalf("lost %+v", lost)
	}
	if r.First() != 501 || r.Head() != 500 {
		t.Fatalf("held are %d to %d", r.First(), r.Head())
	}
}

func TestForgettingAChannelNeverHidesALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New("k3f9x2", 0, roomy)
		publish(r, "a.b", 3)
		for range 4 {
			time.Sleep(roomy.TTL)
			r.Evict(time.Now())
		}
		if s := r.Stats(); s.Channels != 0 || s.FoldedChannels != 1 {
			t.Fatalf("stats %+v", s)
		}
		for _, sub := range []string{"a.b", "a.*", "*.b", ">"} {
			lost := r.Complete(subset(t, sub), 2)
			if len(lost) != 1 || !lost[0].Unprovable || lost[0].EvictedUpto < 3 {
				t.Errorf("%s: lost %+v", sub, lost)
			}
			if lost := r.Complete(subset(t, sub), 3); lost != nil {
				t.Errorf("%s: lost %+v after the last event", sub, lost)
			}
		}
		publish(r, "a.b", 1)
		if lost := r.Complete(subset(t, "a.b"), 2); len(lost) != 1 {
			t.Errorf("the channel came back and hides its loss: %+v", lost)
		}
	})
}

func TestForgottenChannelsGiveTheirMemoryBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New("k3f9x2", 0, roomy)
		for round := range 3 {
			for i := range 2000 {
				publish(r, fmt.Sprintf("tenant%d/round%d.user%d", i%3, round, i), 1)
			}
			for range 8 {
				time.Sleep(roomy.TTL / 2)
				r.Evict(time.Now())
			}
		}
		s := r.Stats()
		if s.Channels != 0 || s.FoldedChannels != 6000 || s.Events != 0 || s.Bytes != 0 {
			t.Fatalf("stats %+v", s)
		}
		pages := 0
		for _, p := range *r.table.pages.Load() {
			if p != nil {
				pages++
			}
		}
		if pages > 1 || len(r.table.roots) != 0 {
			t.Fatalf("%d pages and %d branches are left", pages, len(r.table.roots))
		}
	})
}

func TestMemoryBoundHoldsBetweenEvictions(t *testing.T) {
	r := New("k3f9x2", 0, Replay{TTL: time.Hour, MaxBytes: 1 << 20})
	data := []byte(`"` + strings.Repeat("x", 300) + `"`)
	for i := range uint64(20000) {
		r.Append([]wire.Record{{Seq: i + 1, Event: wire.Event{Channel: "a", Data: data}}})
		if got := r.bytes; got > 1<<20 {
			t.Fatalf("%d bytes after event %d", got, i+1)
		}
	}
	s := r.Stats()
	if !s.Short || s.EvictedBytes == 0 || s.EvictedAge != 0 {
		t.Fatalf("stats %+v", s)
	}
	if s.Bytes < 3<<18 {
		t.Fatalf("only %d bytes are used", s.Bytes)
	}
}

func TestShortageEndsWhenTheWindowIsHeldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New("k3f9x2", 0, Replay{TTL: time.Minute, MaxBytes: 100 << 10})
		publish(r, "a", 2000)
		if !r.Stats().Short {
			t.Fatal("events of this minute are gone, yet not short")
		}
		time.Sleep(time.Minute)
		r.Evict(time.Now())
		if s := r.Stats(); s.Short {
			t.Fatalf("all of the last minute is held, yet short: %+v", s)
		}
	})
}

func TestQuietLogTakesLittleMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New("k3f9x2", 0, Replay{TTL: 5 * time.Minute, MaxBytes: 1 << 20})
		for range 100 {
			publish(r, "a", 1)
			time.Sleep(20 * time.Second)
			r.Evict(time.Now())
		}
		if s := r.Stats(); s.Short || s.Bytes > 256<<10 || s.Held < 4*time.Minute {
			t.Fatalf("stats %+v", s)
		}
	})
}

func TestAppendOfAHolePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("a hole was taken")
		}
	}()
	r := New("k3f9x2", 0, roomy)
	r.Append([]wire.Record{{Seq: 2, Event: wire.Event{Channel: "a"}}})
}

func TestCountSaysWhenItCouldNotFinish(t *testing.T) {
	r := New("k3f9x2", 0, roomy)
	publish(r, "a", 100)
	if got := r.Count(subset(t, "a"), 0, 100, 60); len(got) != 1 || got[0].Exact || got[0].Events != 60 {
		t.Fatalf("%+v", got)
	}
}

// chained is the data of an event that names the one before it in its channel,
// so that a reader can tell by itself that none is missing.
type chained struct{ Prev uint64 }

// TestReadersMissNothingWhileTheLogMoves runs resuming readers against a
// writer and a janitor that evicts below their feet.
func TestReadersMissNothingWhileTheLogMoves(t *testing.T) {
	r := New("k3f9x2", 0, Replay{TTL: 10 * time.Millisecond, MaxBytes: 150 << 10})
	channels := []string{"a", "b", "a.x", "a.y", "b.x", "a.x.1"}
	var done atomic.Bool
	var readers, others sync.WaitGroup
	others.Go(func() {
		last := map[string]uint64{}
		rng := rand.New(rand.NewPCG(1, 1))
		for seq := uint64(1); !done.Load(); {
			var batch []wire.Record
			for range 1 + rng.IntN(50) {
				// "b.x" is rare, so that its backlinks reach far.
				ch := channels[rng.IntN(len(channels))]
				if ch == "b.x" && rng.IntN(200) > 0 {
					ch = "a"
				}
				data, err := json.Marshal(chained{last[ch]})
				if err != nil {
					t.Error(err)
					return
				}
				batch = append(batch, wire.Record{Seq: seq, Event: wire.Event{Channel: ch, Data: data}})
				last[ch] = seq
				seq++
			}
			r.Append(batch)
			if rng.IntN(20) == 0 {
				runtime.Gosched()
			}
		}
	})
	others.Go(func() {
		for !done.Load() {
			r.Evict(time.Now())
			time.Sleep(100 * time.Microsecond)
		}
	})
	var delivered, evicted atomic.Int64
	for i, subs := range []*wire.SubSet{subset(t, "b.x"), subset(t, "a", "b.x"), subset(t, "a.*", "a.x.1"), subset(t, ">")} {
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(2, uint64(i)))
			for start := time.Now(); time.Since(start) < time.Second; {
				n, lost := chase(t, r, subs, rng)
				delivered.Add(n)
				evicted.Add(lost)
			}
		})
	}
	readers.Wait()
	done.Store(true)
	others.Wait()
	if delivered.Load() == 0 || evicted.Load() == 0 || r.Stats().EvictedAge+r.Stats().EvictedBytes == 0 {
		t.Fatalf("%d delivered, %d evicted: nothing was tried", delivered.Load(), evicted.Load())
	}
}

// chase resumes once at a random place and follows the chains of the channels.
func chase(t *testing.T, r *Ring, subs *wire.SubSet, rng *rand.Rand) (delivered, evicted int64) {
	head, slices, maxBytes := r.Head(), 20, 1000+rng.IntN(60000)
	at := head - min(head, rng.Uint64N(5000))
	if rng.IntN(10) > 0 {
		// At the very edge, where the next eviction comes between any two steps.
		at, slices, maxBytes = r.First()-1, 1, 1000
	}
	start, last := at, map[string]uint64{}
	var b Batch
	for range slices {
		next, err := r.Replay(subs, at, r.Head(), maxBytes, &b)
		if err != nil {
			return delivered, evicted + 1
		}
		for _, e := range b.Elements {
			var c chained
			if err := json.Unmarshal(e.Data, &c); err != nil {
				t.Errorf("event %d is damaged: %v", e.Seq, err)
				return
			}
			if prev, seen := last[e.Channel]; e.Seq <= at || (seen && c.Prev != prev) || (!seen && c.Prev > start) {
				t.Errorf("channel %s: after %d (start %d) came %d, whose predecessor is %d", e.Channel, prev, start, e.Seq, c.Prev)
				return
			}
			last[e.Channel] = e.Seq
			delivered++
		}
		at = next
	}
	return delivered, evicted
}

func TestPatternOfTooManyChannelsIsNamedLostRatherThanSearched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New("k3f9x2", 0, roomy)
		publish(r, "other", 1)
		time.Sleep(roomy.TTL)
		r.Evict(time.Now())
		for i := range maxWalk + 10 {
			publish(r, fmt.Sprintf("users.%d", i), 1)
		}
		if lost := r.Complete(subset(t, "users.*"), 0); len(lost) != 1 || !lost[0].Unprovable || lost[0].EvictedUpto != 1 {
			t.Fatalf("%+v", lost)
		}
		if lost := r.Complete(subset(t, "users.*", "other"), 1); lost != nil {
			t.Fatalf("nothing is gone after the first event: %+v", lost)
		}
		// As many channels as events: the pattern is still replayed whole.
		var b Batch
		if next, err := r.Replay(subset(t, "users.*"), 1, r.Head(), 64<<20, &b); err != nil || next != r.Head() || len(b.Elements) != maxWalk+10 {
			t.Fatalf("%d elements up to %d, %v", len(b.Elements), next, err)
		}
	})
}
