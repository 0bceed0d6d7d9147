package engine_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// stuck is a sink that never takes a byte.
type stuck struct{}

func (stuck) TryWrite([]byte) (int, bool, error) { return 0, true, nil }
func (stuck) Close()                             {}

// TestADayOfChurnLeavesNothingBehind lives through a day in which streams come,
// go, stall and are forgotten, and every channel is new and soon quiet: what is
// held at its end is what was held after its first two hours.
func TestADayOfChurnLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const step, hour = 30 * time.Second, time.Hour
		r := makeRig(2, func(tun *engine.Tuning) { tun.Replay.MaxBytes = 4 << 20 })
		defer r.Close()
		random := rand.New(rand.NewPCG(24, 60))
		var open []*engine.Stream
		var early, late held
		for begun, n := time.Now(), 0; time.Since(begun) <= 24*hour; n++ {
			r.publish("always", fmt.Sprintf("[%d]", n))
			r.publish(fmt.Sprintf("once.%d", n), "[1]", "[2]")
			for i := range 4 {
				open = append(open, churn(t, r, random, n, i))
			}
			for len(open) > 60 {
				i := random.IntN(len(open))
				open[i].Leave()
				open[i] = open[len(open)-1]
				open = open[:len(open)-1]
			}
			time.Sleep(step)
			r.Evict()
			if early.heap == 0 && time.Since(begun) >= 2*hour {
				early = hold(r)
			}
		}
		late = hold(r)
		t.Logf("after two hours %+v, after a day %+v", early, late)
		if late.Channels > early.Channels+early.Channels/4 || late.groups > 70 || late.Bytes > early.Bytes+early.Bytes/4 {
			t.Errorf("after two hours %+v, after a day %+v", early, late)
		}
		// The heap is two megabytes, some of it the runtime's own; a hundred bytes
		// for each of the ten thousand streams are one more.
		if late.heap > early.heap+1<<20 {
			t.Errorf("heap %d KiB after two hours, %d KiB after a day", early.heap>>10, late.heap>>10)
		}
	})
}

// churn opens one stream: on a channel of all, on one of its own, on a pattern,
// or one whose client takes nothing.
func churn(t *testing.T, r *rig, random *rand.Rand, n, i int) *engine.Stream {
	q := engine.Request{
		Subs:     subs(t, "always", []string{fmt.Sprintf("own.%d.%d", n, i), "once.>", "other"}[random.IntN(3)]),
		Format:   []wire.Format{wire.Plain, wire.Envelope, wire.Array}[random.IntN(3)],
		Position: wire.Position{Where: []wire.Where{wire.Now, wire.Earliest}[random.IntN(2)]},
		Gzip:     random.IntN(2) == 0,
		Identity: engine.Identity{SID: fmt.Sprintf("s%d.%d", n, i)},
	}
	s, err := r.Open(q)
	if err != nil {
		t.Fatal(err)
	}
	if i == 0 {
		s.Start(stuck{})
	} else {
		s.Start(void{})
	}
	return s
}

// held is what an engine holds at a moment.
type held struct {
	Channels, groups int
	Bytes            int64
	heap             uint64
}

func hold(r *rig) held {
	synctest.Wait()
	s := r.Stats()
	runtime.GC()
	runtime.GC() // what pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return held{s.Ring.Channels, s.Subscriptions.Groups, s.Ring.Bytes, m.HeapAlloc}
}

// TestAStormOfReconnectsLosesNothing cuts all streams at once, again and again,
// while events go on, and lets all come back at once from where they were.
func TestAStormOfReconnectsLosesNothing(t *testing.T) {
	const clients, storms = 200, 5
	r := makeRig(2, func(tun *engine.Tuning) { tun.Batching.Window = time.Millisecond })
	var log []string
	var events, storm sync.WaitGroup
	stop := make(chan struct{})
	events.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				log = append(log, []string{"a", "b", "c.x", "z"}[len(log)%4])
				r.publish(log[len(log)-1], fmt.Sprintf("[%d]", len(log)))
				time.Sleep(200 * time.Microsecond)
			}
		}
	})
	var all []*session
	var mu sync.Mutex // of all
	for i := range clients {
		storm.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			from := wire.Position{Where: wire.Now}
			set := subs(t, "a", []string{"b", "c.>"}[i%2])
			for range storms {
				s := reopen(t, r, set, []wire.Format{wire.Plain, wire.Array}[i/2%2], i%3 == 0, from)
				mu.Lock()
				all = append(all, s)
				mu.Unlock()
				time.Sleep(time.Duration(20+random.IntN(20)) * time.Millisecond)
				for s.position().Cursor.Epoch == "" {
					time.Sleep(time.Millisecond) // it is cut in the middle of anything, but not before its first byte
				}
				s.stream.Leave()
				from = s.position()
			}
		})
	}
	storm.Wait()
	close(stop)
	events.Wait()
	r.Close()
	for _, s := range all {
		s.check(t, log)
	}
	if resumes := r.Stats().Resumes; resumes.Fresh != clients || resumes.Complete != clients*(storms-1) {
		t.Errorf("%+v", resumes)
	}
	t.Logf("%d events, %d streams", len(log), len(all))
}

func reopen(t *testing.T, r *rig, set *wire.SubSet, format wire.Format, packed bool, from wire.Position) *session {
	stream, err := r.Open(engine.Request{Subs: set, Format: format, Gzip: packed, Position: from})
	if err != nil {
		t.Error(err)
		return nil
	}
	if from.Where == wire.At && stream.Cursor() != from.Cursor {
		t.Errorf("resumed at %v, not at %v", stream.Cursor(), from.Cursor)
	}
	s := &session{subs: set, format: format, from: stream.Cursor().Seq}
	s.stream = stream
	stream.Start(s)
	return s
}

// TestTheSamePastIsEncodedOnceForALoop lets streams come back from a few places,
// long after the blocks that they had live are gone, and looks at what they get.
func TestTheSamePastIsEncodedOnceForALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const loops, places, clients = 2, 20, 1200
		r := newRig(t, loops)
		var log []string
		for i := range 200 {
			log = append(log, "a")
			r.publish("a", fmt.Sprintf("[%d]", i+1))
		}
		var all []*session
		for i := range clients {
			from := wire.Position{Where: wire.At, Cursor: wire.Cursor{Epoch: epoch, Seq: uint64(i%places) * 5}}
			all = append(all, reopen(t, r, subs(t, "a"), wire.Plain, i%7 == 0, from))
		}
		synctest.Wait()
		before := r.Stats()
		for _, s := range all {
			if s.last.Seq != 200 {
				t.Fatalf("a client ends at %v", s.last)
			}
			s.stream.Leave()
			s.check(t, log)
		}
		if blocks := before.Bytes.Blocks; blocks > loops*places {
			t.Errorf("%d blocks for %d clients at %d places", blocks, clients, places)
		}
		if s := before.Segments; s.Hits < clients-loops*places || s.Bytes == 0 || s.Bytes > 4<<20 {
			t.Errorf("%+v", s)
		}
		time.Sleep(20 * time.Second)
		r.Evict()
		if s := r.Stats().Segments; s.Bytes != 0 {
			t.Errorf("kept after 20 s: %+v", s)
		}
	})
}

// TestAStormUnderLoadIsReadInFewPieces lets streams come back to one place for
// some seconds while events go on. What was made for the first of them ends long
// before the log does when the last one comes, who is not given a row of crumbs.
func TestAStormUnderLoadIsReadInFewPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, owed, most = 250, 200, 12
		r := newRig(t, 1)
		var log []string
		publish := func() {
			log = append(log, "a")
			r.publish("a", fmt.Sprintf("[%d]", len(log)))
		}
		for range owed {
			publish()
		}
		from := wire.Position{Where: wire.At, Cursor: wire.Cursor{Epoch: epoch}}
		var all []*session
		for i := range clients {
			s := reopen(t, r, subs(t, "a"), wire.Plain, i%25 == 0, from)
			synctest.Wait()
			if n := len(s.writes); n > most {
				t.Fatalf("%d events in %d writes", len(log), n)
			}
			all = append(all, s)
			publish()
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		stats := r.Stats()
		if blocks := stats.Bytes.Blocks - stats.Batches.Batches; blocks > most {
			t.Errorf("the log was read %d times for %d clients", blocks, clients)
		}
		for _, s := range all {
			if s.last.Seq != uint64(len(log)) {
				t.Fatalf("a client ends at %v of %d", s.last, len(log))
			}
			s.stream.Leave()
			s.check(t, log)
		}
	})
}
