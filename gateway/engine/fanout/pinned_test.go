package fanout

import (
	"bytes"
	"testing"

	"github.com/streamgateway/streamgateway/gateway/engine/ring"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// sipper takes three bytes of the first block of events and no more.
type sipper struct {
	taken, closed bool
}

func (s *sipper) TryWrite(b []byte) (int, bool, error) {
	if len(b) < 500 {
		return len(b), false, nil // what opens the stream
	}
	n := 0
	if !s.taken {
		s.taken, n = true, 3
	}
	return n, true, nil
}

func (s *sipper) Close() { s.closed = true }

// TestBlocksThatStalledClientsHoldAreBounded stalls clients in the middle of one
// block, and then others, each in the middle of a block of its own.
func TestBlocksThatStalledClientsHoldAreBounded(t *testing.T) {
	const event, own, budget = 1000, 6, 5000
	log := ring.New("k3f9x2", 0, ring.Replay{Mode: "Enabled", TTL: 1 << 40, MaxBytes: 1 << 30})
	f := New(Options{Ring: log, Epoch: "k3f9x2", Loops: 1, Buckets: 1, Bucket: func(float64) int { return 0 }},
		Tuning{Queue: Queue{MaxEvents: 1000, MaxBytes: 1 << 20, MaxLag: 1 << 40}, Replay: true,
			Connections: Connections{Heartbeat: 1 << 40, WriteTimeout: 1 << 40, MaxAge: 1 << 50}})
	defer f.Close()
	start := func(channel string) *sipper {
		s, err := f.Open(Request{Subs: subSet([]string{channel})})
		if err != nil {
			t.Fatal(err)
		}
		sink := &sipper{}
		s.Start(sink)
		return sink
	}
	seq := uint64(0)
	publish := func(channel string) {
		seq++
		log.Append([]wire.Record{{Seq: seq, Event: wire.Event{Channel: channel, Data: bytes.Repeat([]byte("x"), event), Kind: wire.Text}}})
		f.Post()
		f.Deliver()
	}
	sweep := func() (pinned int) {
		l := f.loops[0]
		l.call(func() { l.unpin(budget); pinned = l.pinned })
		return pinned
	}
	var shared, alone []*sipper
	for range 50 {
		shared = append(shared, start("shared"))
	}
	publish("shared")
	one := sweep()
	if one < event || one > 2*event {
		t.Fatalf("50 clients in the middle of one block hold %d bytes", one)
	}
	for i := range own {
		channel := string(rune('a' + i))
		alone = append(alone, start(channel))
		publish(channel)
	}
	pinned := sweep()
	if pinned > budget || pinned < one {
		t.Errorf("%d bytes are held, budget %d, a block has %d", pinned, budget, one)
	}
	for _, s := range shared {
		if s.closed {
			t.Fatal("a client was closed that holds a block with 49 others")
		}
	}
	closed := uint64(0)
	for i, s := range alone {
		if s.closed {
			closed++
		} else if i == 0 || i < own-1 && alone[i+1].closed {
			t.Errorf("client %d was left open, and not one that stalled later", i)
		}
	}
	if d := f.Stats().Slow.Disconnected; closed == own || d != closed {
		t.Errorf("%d closed, %d counted as too slow", closed, d)
	}
}
