package engine_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/fanout"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// TestTheLawHoldsUnderConcurrency runs everything at once on real goroutines:
// a publisher, a janitor, hot changes, readers of statistics, and clients that
// come, stall and go. It is there for the race detector, and holds what every
// client saw against the log.
func TestTheLawHoldsUnderConcurrency(t *testing.T) {
	r := makeRig(3, func(tun *engine.Tuning) { tun.Queue.MaxEvents = 10 })
	var log []string // channel by seq-1
	var sessions []*session
	var mu sync.Mutex // of sessions
	var clients, others sync.WaitGroup
	stop := make(chan struct{})
	loop := func(group *sync.WaitGroup, seed uint64, step func(*rand.Rand)) {
		group.Go(func() {
			random := rand.New(rand.NewPCG(seed, 0))
			for {
				select {
				case <-stop:
					return
				default:
					step(random)
				}
			}
		})
	}
	loop(&others, 1, func(random *rand.Rand) {
		var batch []wire.Event
		for range 1 + random.IntN(5) {
			channel := []string{"a", "b", "c.x", "z"}[random.IntN(4)]
			log = append(log, channel)
			batch = append(batch, wire.Event{Channel: channel, Data: fmt.Appendf(nil, "[%d]", len(log))})
		}
		r.append(batch...)
		time.Sleep(time.Duration(random.IntN(300)) * time.Microsecond)
	})
	loop(&others, 2, func(random *rand.Rand) {
		tun := tuning()
		tun.Queue.MaxEvents = 2 + random.IntN(20)
		tun.Queue.SlowConsumerPolicy = []string{fanout.PolicyConflate, fanout.PolicyDropWithGap, fanout.PolicyDisconnect}[random.IntN(3)]
		tun.Batching.Window = time.Duration(random.IntN(3)) * time.Millisecond
		tun.Replay.MaxBytes = int64(64<<10) << random.IntN(3)
		r.Tune(tun)
		r.Evict()
		r.Stats()
		time.Sleep(2 * time.Millisecond)
	})
	for i := range 8 {
		loop(&clients, uint64(10+i), func(random *rand.Rand) {
			s := openAny(t, r, random)
			mu.Lock()
			sessions = append(sessions, s)
			mu.Unlock()
			for range random.IntN(5) {
				time.Sleep(time.Duration(random.IntN(4000)) * time.Microsecond)
				s.setMood(random.IntN(4))
				s.stream.Writable()
			}
			s.stream.Leave()
		})
	}
	time.Sleep(time.Second)
	close(stop)
	clients.Wait()
	others.Wait()
	r.Close()
	for _, s := range sessions {
		s.check(t, log)
	}
	t.Logf("%d events, %d streams, %+v", len(log), len(sessions), r.Stats().Slow)
}

// openAny opens a stream on any channels from any position.
func openAny(t *testing.T, r *rig, random *rand.Rand) *session {
	names := []string{"a", "b", "c.>", "c.x"}
	random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	q := engine.Request{
		Subs: subs(t, names[:1+random.IntN(3)]...), Format: []wire.Format{wire.Plain, wire.Envelope, wire.Array}[random.IntN(3)],
		Position: wire.Position{Where: []wire.Where{wire.Now, wire.Earliest}[random.IntN(2)]},
	}
	if random.IntN(2) == 0 {
		q.Position = at(random.Uint64N(r.Head().Seq + 1))
	}
	stream, err := r.Open(q)
	if err != nil {
		t.Error(err)
		return nil
	}
	s := &session{subs: q.Subs, format: q.Format, from: stream.Cursor().Seq, rand: rand.New(rand.NewPCG(random.Uint64(), 0))}
	s.stream = stream
	s.setMood(random.IntN(4))
	stream.Start(s)
	return s
}
