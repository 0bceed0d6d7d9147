package engine_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/deflate"
	"github.com/streamgateway/streamgateway/gateway/engine/fanout"
	"github.com/streamgateway/streamgateway/gateway/engine/ring"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

const epoch = "k3f9x2"

// tuning is what an empty spec means.
func tuning() engine.Tuning {
	return engine.Tuning{
		Batching: fanout.Batching{Window: 50 * time.Millisecond, MaxEvents: 100, MaxBytes: 256 << 10},
		Queue:    fanout.Queue{MaxEvents: 10000, MaxBytes: 8 << 20, MaxLag: 30 * time.Second, SlowConsumerPolicy: fanout.PolicyDropWithGap},
		Replay:   ring.Replay{Mode: "Enabled", TTL: 5 * time.Minute, MaxBytes: 256 << 20},
		Connections: fanout.Connections{
			MaxPerPod: 10000, MaxSubscriptions: 100, MaxPatterns: 32,
			Heartbeat: 15 * time.Second, WriteTimeout: 30 * time.Second, MaxAge: 2 * time.Hour,
			Retry: 3 * time.Second, RetryJitterPercent: 50,
		},
		Compression: fanout.Compression{Mode: "Auto", Level: deflate.Fastest, MinBytes: 256},
	}
}

// rig is an engine with a log that numbers events.
type rig struct {
	*engine.Engine
	mu  sync.Mutex
	seq uint64
}

// newRig makes one that ends with the test.
func newRig(t testing.TB, loops int, tune ...func(*engine.Tuning)) *rig {
	r := makeRig(loops, tune...)
	t.Cleanup(r.Close)
	return r
}

// makeRig makes one that its maker closes.
func makeRig(loops int, tune ...func(*engine.Tuning)) *rig {
	tun := tuning()
	for _, f := range tune {
		f(&tun)
	}
	e := engine.New(engine.Options{
		Epoch: epoch, Durability: "memory", Loops: loops,
		Rand:    rand.New(rand.NewPCG(1, 2)),
		Buckets: 32, Bucket: func(seconds float64) int { return min(int(seconds*1000), 31) },
	}, tun)
	return &rig{Engine: e}
}

// publish appends events to one channel, in one call.
func (r *rig) publish(channel string, data ...string) {
	events := make([]wire.Event, len(data))
	for i, d := range data {
		events[i] = wire.Event{Channel: channel, Data: []byte(d)}
	}
	r.append(events...)
}

func (r *rig) append(events ...wire.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	records := make([]wire.Record, len(events))
	for i, e := range events {
		r.seq++
		if e.Time == 0 {
			e.Time = time.Now().UnixMilli()
		}
		records[i] = wire.Record{Event: e, Seq: r.seq}
	}
	r.Append(records)
}

// holeEvent is what a hole is marked with.
var holeEvent = wire.Event{Channel: wire.HoleChannel, Data: []byte("null")}

func subs(t testing.TB, names ...string) *wire.SubSet {
	t.Helper()
	s, err := wire.NewSubSet(names)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func at(seq uint64) wire.Position {
	return wire.Position{Where: wire.At, Cursor: wire.Cursor{Epoch: epoch, Seq: seq}}
}
