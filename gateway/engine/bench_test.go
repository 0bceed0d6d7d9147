package engine_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/fanout"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// void takes everything and keeps nothing.
type void struct{}

func (void) TryWrite(b []byte) (int, bool, error) { return len(b), false, nil }

func (void) Close() {}

// audience opens streams on n sinks.
func audience(tb testing.TB, r *rig, n int, names func(i int) []string) {
	for i := range n {
		s, err := r.Open(engine.Request{Subs: subs(tb, names(i)...)})
		if err != nil {
			tb.Fatal(err)
		}
		s.Start(void{})
	}
}

// inFlight is how many appends benchmarks are ahead of the streams.
const inFlight = 64

func one(int) []string { return []string{"a"} }

// delivered waits until so many events have been handed out.
func (r *rig) delivered(tb testing.TB, n uint64) {
	for deadline := time.Now().Add(30 * time.Second); r.Stats().Events.Delivered < n; time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("%d of %d delivered", r.Stats().Events.Delivered, n)
		}
	}
}

// BenchmarkDelivery gives the cost of one event to one stream, apart from the
// socket: append, match, encode, write to 1,000 sinks, counting.
func BenchmarkDelivery(b *testing.B) {
	for _, c := range []struct {
		name            string
		streams, events int // events of one append
		names           func(int) []string
	}{
		{"1000Streams1Event", 1000, 1, one},
		{"1000Streams20Events", 1000, 20, one},
		{"50Streams1Event", 50, 1, one},
		{"1000Groups1Event", 1000, 1, func(i int) []string { return []string{"a", fmt.Sprintf("own.%d", i)} }},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := makeRig(1, func(tun *engine.Tuning) {
				// A batch is closed by its last event, so that no timer is measured.
				tun.Batching = fanout.Batching{Window: time.Hour, MaxEvents: c.events, MaxBytes: 256 << 10}
				tun.Replay.MaxBytes = 32 << 20
			})
			defer r.Close()
			audience(b, r, c.streams, c.names)
			batch := make([]wire.Event, c.events)
			for i := range batch {
				batch[i] = wire.Event{Channel: "a", Data: []byte(`{"amount":1299,"currency":"EUR","customer":"c-000001"}`)}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				r.append(batch...)
				if n%inFlight == inFlight-1 { // no stream gets so far behind that its events are given up
					r.delivered(b, uint64((n+1)*c.streams*c.events))
				}
			}
			r.delivered(b, uint64(b.N*c.streams*c.events))
			b.StopTimer()
			deliveries := float64(r.Stats().Events.Delivered)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/deliveries, "ns/delivery")
		})
	}
}

// TestAllocationsOfADelivery holds the budget: a batch costs a handful of
// allocations for its group, and a delivery none.
func TestAllocationsOfADelivery(t *testing.T) {
	r := makeRig(1, func(tun *engine.Tuning) { tun.Batching.Window = 0 })
	defer r.Close()
	audience(t, r, publisherShare, one) // as many as a publisher writes to itself
	batch := []wire.Event{{Channel: "a", Data: []byte(`{"amount":1299,"currency":"EUR"}`), Time: 1}}
	allocations := testing.AllocsPerRun(2000, func() { r.append(batch...) })
	t.Logf("%.2f allocations for one event to %d streams", allocations, publisherShare)
	if allocations > 6 {
		t.Errorf("%.2f allocations for one event to %d streams, 6 are allowed", allocations, publisherShare)
	}
}

const publisherShare = 60

// TestAnIdleStreamIsSmall holds the budget of engine memory for a stream that
// nothing happens on.
func TestAnIdleStreamIsSmall(t *testing.T) {
	const streams = 2000
	r := makeRig(1)
	defer r.Close()
	set := subs(t, "a")
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for range streams {
		s, err := r.Open(engine.Request{Subs: set, Identity: engine.Identity{SID: "x"}})
		if err != nil {
			t.Fatal(err)
		}
		s.Start(void{})
	}
	each := (int64(heap()) - int64(before)) / streams
	t.Logf("%d bytes for each idle stream", each)
	if each > 1024 {
		t.Errorf("%d bytes for each idle stream, 1024 are allowed", each)
	}
	runtime.KeepAlive(r)
}

// BenchmarkWritable gives the cost of the news that a socket has room again,
// apart from writing to it: for 128 sockets at once, and one by one.
func BenchmarkWritable(b *testing.B) {
	r := makeRig(1)
	defer r.Close()
	var streams []*engine.Stream
	for range 128 {
		s, err := r.Open(engine.Request{Subs: subs(b, "a")})
		if err != nil {
			b.Fatal(err)
		}
		s.Start(void{})
		streams = append(streams, s)
	}
	perStream := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(streams)), "ns/socket")
	}
	b.Run("AtOnce", func(b *testing.B) {
		for range b.N {
			engine.Writable(streams)
		}
		perStream(b)
	})
	b.Run("OneByOne", func(b *testing.B) {
		for range b.N {
			for _, s := range streams {
				s.Writable()
			}
		}
		perStream(b)
	})
}
