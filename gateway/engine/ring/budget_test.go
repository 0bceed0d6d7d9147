package ring

import (
	"fmt"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

func benchRecords(n int) []wire.Record {
	records := make([]wire.Record, n)
	for i := range records {
		records[i].Event = wire.Event{
			Channel: fmt.Sprintf("orders.%d", i%97), ID: "018f-2c", Type: "order.changed", Time: 1795478400123,
			Data: []byte(`{"orderId":4711,"amount":10000,"propertyId":1,"currency":"EUR","committedAt":1795478400120}`),
		}
	}
	return records
}

func TestAppendAllocatesOnlyChunks(t *testing.T) {
	r := New("k3f9x2", 0, Replay{TTL: time.Hour, MaxBytes: 8 << 20})
	records := benchRecords(1000)
	appendAll := func() {
		for i := range records {
			records[i].Seq = r.Head() + uint64(i) + 1
		}
		r.Append(records)
	}
	for range 100 {
		appendAll()
	}
	// A chunk of 1024 events takes a handful of allocations.
	if perEvent := testing.AllocsPerRun(100, appendAll) / float64(len(records)); perEvent > 0.01 {
		t.Fatalf("%.4f allocations per event", perEvent)
	}
}

func TestReplayAllocatesNothingOnceWarm(t *testing.T) {
	if raced {
		t.Skip("under the race detector a sync.Pool drops things at random")
	}
	r := New("k3f9x2", 0, roomy)
	for range 20 {
		records := benchRecords(1000)
		for i := range records {
			records[i].Seq = r.Head() + uint64(i) + 1
		}
		r.Append(records)
	}
	for _, tc := range []struct {
		name string
		subs *wire.SubSet
	}{{"by backlinks", subset(t, "orders.5", "orders.6")}, {"read through", subset(t, "orders.*")}} {
		t.Run(tc.name, func(t *testing.T) {
			var b Batch
			replay := func() {
				if _, err := r.Replay(tc.subs, 0, r.Head(), 64<<10, &b); err != nil || len(b.Elements) == 0 {
					t.Fatalf("%d elements, %v", len(b.Elements), err)
				}
			}
			replay()
			// A collection may empty the pool of working memory.
			if n := testing.AllocsPerRun(200, replay); n > 0.5 {
				t.Fatalf("%v allocations", n)
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d per batch", size), func(b *testing.B) {
			r := New("k3f9x2", 0, Replay{TTL: time.Hour, MaxBytes: 64 << 20})
			records := benchRecords(size)
			b.ReportAllocs()
			for b.Loop() {
				for i := range records {
					records[i].Seq = r.Head() + uint64(i) + 1
				}
				r.Append(records)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/event")
		})
	}
}

// BenchmarkResume replays all that a client missed, in slices of 64 KiB.
func BenchmarkResume(b *testing.B) {
	r := New("k3f9x2", 0, Replay{TTL: time.Hour, MaxBytes: 512 << 20})
	for range 600 {
		records := benchRecords(1000)
		for i := range records {
			records[i].Seq = r.Head() + uint64(i) + 1
		}
		r.Append(records)
	}
	for _, tc := range []struct {
		name string
		subs *wire.SubSet
		back uint64
	}{
		{"nothing missed in 600000", subset(b, "quiet", "still"), 600_000},
		{"200 of 10000 in two channels", subset(b, "orders.5", "orders.6"), 10_000},
		{"12000 of 600000 in two channels", subset(b, "orders.5", "orders.6"), 600_000},
		{"10000 of 10000 by pattern", subset(b, "orders.>"), 10_000},
	} {
		b.Run(tc.name, func(b *testing.B) {
			var batch Batch
			b.ReportAllocs()
			for b.Loop() {
				for at, upto := r.Head()-tc.back, r.Head(); at < upto; {
					next, err := r.Replay(tc.subs, at, upto, 64<<10, &batch)
					if err != nil {
						b.Fatal(err)
					}
					at = next
				}
			}
		})
	}
}

func BenchmarkComplete(b *testing.B) {
	r := New("k3f9x2", 0, Replay{TTL: time.Hour, MaxBytes: 1 << 20})
	for range 100 {
		records := benchRecords(1000)
		for i := range records {
			records[i].Seq = r.Head() + uint64(i) + 1
		}
		r.Append(records)
	}
	for _, tc := range []struct {
		name string
		n    uint64
	}{{"young cursor", r.Head()}, {"old cursor", 1}} {
		b.Run(tc.name, func(b *testing.B) {
			subs := subset(b, "orders.1", "orders.2", "quiet", "other.>")
			for b.Loop() {
				r.Complete(subs, tc.n)
			}
		})
	}
}
