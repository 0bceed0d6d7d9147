package memory

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/broker/brokertest"
	"github.com/streamgateway/streamgateway/gateway/broker/keys"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

func TestMemoryPassesTheSuite(t *testing.T) {
	brokertest.Run(t, func(t *testing.T) broker.Log {
		l, err := New(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
}

// tailed makes a log whose records go nowhere, inside a bubble.
func tailed(t *testing.T) *Log {
	t.Helper()
	l, err := New(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() { _ = l.Tail(ctx, 0, func([]wire.Record) error { return nil }) }()
	synctest.Wait()
	return l
}

func add(t *testing.T, l *Log, id string) broker.AppendResult {
	t.Helper()
	r, err := l.Append(t.Context(), []wire.Event{{Channel: "a", ID: id, Data: []byte("1")}}, broker.AppendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r[0]
}

func TestKeyIsKnownForJustTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := tailed(t)
		first := add(t, l, "1")
		time.Sleep(keys.Span - time.Nanosecond)
		if r := add(t, l, "1"); !r.Duplicate || r.Seq != first.Seq {
			t.Fatalf("just inside the window: %+v", r)
		}
		time.Sleep(time.Nanosecond)
		second := add(t, l, "1")
		if second.Duplicate {
			t.Fatalf("at its end: %+v", second)
		}
		// The window runs from the event, not from its last repeat.
		time.Sleep(keys.Span - time.Nanosecond)
		if r := add(t, l, "1"); !r.Duplicate || r.Seq != second.Seq {
			t.Fatalf("the second one's window: %+v", r)
		}
	})
}

func TestKeysGoWithoutFurtherAppends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := tailed(t)
		for i := range 10000 {
			add(t, l, fmt.Sprint(i))
		}
		time.Sleep(keys.Span + 5*time.Second)
		if s := l.Stats(); s.Keys != 0 || s.Early != 0 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestKeysAreBoundedAndTheOldestGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := tailed(t)
		l.keys = keys.New(keys.Span, 3)
		for i := range 5 {
			add(t, l, fmt.Sprint(i))
		}
		if s := l.Stats(); s.Keys != 3 || s.Early != 2 {
			t.Fatalf("%+v", s)
		}
		if !add(t, l, "4").Duplicate || !add(t, l, "2").Duplicate || add(t, l, "1").Duplicate {
			t.Fatal("the newest three must be known, and no other")
		}
	})
}

func TestAppendWithoutATailIsUnavailable(t *testing.T) {
	l, err := New(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), []wire.Event{{Channel: "a"}}, broker.AppendOptions{}); !errors.Is(err, broker.ErrUnavailable) {
		t.Fatal(err)
	}
	if info, _ := l.Info(t.Context()); info.Tail != 0 {
		t.Fatalf("%+v", info)
	}
}

func TestTailFromElsewhereThanTheEndIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l, err := New(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		none := func([]wire.Record) error { return nil }
		go func() { ended <- l.Tail(ctx, 0, none) }()
		synctest.Wait()
		add(t, l, "1")
		if err := l.Tail(t.Context(), 1, none); err == nil {
			t.Fatal("a second tail was taken")
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		var gone *broker.EvictedError
		if err := l.Tail(t.Context(), 0, none); !errors.As(err, &gone) || gone.First != 2 {
			t.Fatal(err)
		}
		if err := l.Tail(t.Context(), 2, none); err == nil || errors.As(err, &gone) {
			t.Fatal(err)
		}
	})
}

func TestEpochComesFromTheGivenRandomness(t *testing.T) {
	for _, tc := range []struct {
		random []byte
		want   string
	}{{make([]byte, 6), "0000000000"}, {bytes.Repeat([]byte{0xff}, 6), "2rrvthnxtr"}} {
		l, err := New(bytes.NewReader(tc.random))
		if err != nil || l.epoch != tc.want || !wire.IsEpoch(l.epoch) {
			t.Fatalf("%q, %v", l.epoch, err)
		}
	}
	if _, err := New(bytes.NewReader(nil)); err == nil {
		t.Fatal("no randomness was taken for some")
	}
}

func TestSinkSeesRecordsBeforeTheAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := New(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var seen uint64
		go func() {
			_ = l.Tail(ctx, 0, func(r []wire.Record) error { seen = r[len(r)-1].Seq; return nil })
		}()
		synctest.Wait()
		if r := add(t, l, "1"); seen != r.Seq {
			t.Fatalf("acked %d, seen %d", r.Seq, seen)
		}
		cancel()
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d per request", size), func(b *testing.B) {
			l, err := New(rand.Reader)
			if err != nil {
				b.Fatal(err)
			}
			l.sink = func([]wire.Record) error { return nil }
			events := make([]wire.Event, size)
			for i := range events {
				events[i] = wire.Event{Channel: "finance.revenue", Source: "/finance", Data: bytes.Repeat([]byte("x"), 100)}
			}
			id := 0
			b.ReportAllocs()
			for b.Loop() {
				for i := range events {
					id++
					events[i].ID = fmt.Sprint(id)
				}
				if _, err := l.Append(b.Context(), events, broker.AppendOptions{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/event")
		})
	}
}
