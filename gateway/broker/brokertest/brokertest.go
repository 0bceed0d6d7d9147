// Package brokertest is the one suite that every broker passes. It is called
// from the brokers' own tests; nothing else imports it.
package brokertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Run runs the suite. open makes a log with an epoch of its own for one test;
// the suite closes it.
func Run(t *testing.T, open func(t *testing.T) broker.Log) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *harness)
	}{
		{"InfoOfAnEmptyLogSaysSo", infoOfAnEmptyLog},
		{"TailGetsWhatIsAppendedInOrder", tailInOrder},
		{"ConcurrentAppendsStayContiguous", concurrentAppends},
		{"TimeNeverRunsBackwards", timeMonotone},
		{"RepeatIsAnsweredWithTheFirst", repeatIsDuplicate},
		{"RepeatWithinARequestIsAddedOnce", repeatWithinRequest},
		{"SameIdElsewhereIsAnotherEvent", sameIDElsewhere},
		{"EventsWithoutIdAreNeverRepeats", noIDNoRepeat},
		{"OtherPayloadUnderAKeyAddsNothing", mismatchAddsNothing},
		{"DemandedDurabilityIsKeptOrRefused", durabilityIsAFact},
		{"CancelledAppendAddsNothing", cancelledAppend},
		{"EmptyAppendTellsThatTheLogTakesEvents", emptyAppend},
		{"ReadGivesTheRestOrSaysItIsGone", readOrEvicted},
		{"EvictedNeverClaimsTooLittle", evictedIsSafe},
		{"TailEndsWithItsContext", tailEndsWithContext},
		{"TailEndsWithTheErrorOfItsSink", tailEndsWithSink},
		{"ClosedLogAnswersClosed", closedLog},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, &harness{t: t, log: open(t)})
		})
	}
	t.Run("EveryLogHasAnEpochOfItsOwn", func(t *testing.T) {
		a, b := (&harness{t: t, log: open(t)}).info(), (&harness{t: t, log: open(t)}).info()
		if a.Epoch == b.Epoch || !wire.IsEpoch(a.Epoch) || !wire.IsEpoch(b.Epoch) {
			t.Fatalf("epochs %q and %q", a.Epoch, b.Epoch)
		}
	})
}

func event(channel, id, data string) wire.Event {
	return wire.Event{Channel: channel, ID: id, Source: "/s", Type: "t", Data: []byte(data)}
}

func infoOfAnEmptyLog(t *testing.T, h *harness) {
	defer func() { _ = h.log.Close() }()
	i := h.info()
	if i.Tail != 0 || i.First != 1 || i.Copies < 1 {
		t.Fatalf("%+v", i)
	}
}

func tailInOrder(t *testing.T, h *harness) {
	h.tail()
	base := h.info().Tail
	results := h.append(event("a", "1", `"x"`), event("b", "2", `"y"`), wire.Event{Channel: "a", Kind: wire.Binary, Data: []byte{0, 1}, Flush: true})
	seen := h.saw(4)[1:]
	for i, r := range results {
		rec := seen[i]
		if r.Seq != base+uint64(i)+1 || rec.Seq != r.Seq || rec.Time != r.Time || r.Time == 0 || r.Duplicate {
			t.Fatalf("result %+v, record %+v", r, rec)
		}
	}
	if seen[0].Channel != "a" || seen[0].ID != "1" || seen[0].Source != "/s" || seen[0].Type != "t" || string(seen[0].Data) != `"x"` {
		t.Fatalf("record %+v", seen[0])
	}
	if seen[2].Kind != wire.Binary || !seen[2].Flush || string(seen[2].Data) != "\x00\x01" {
		t.Fatalf("record %+v", seen[2])
	}
	if tail := h.info().Tail; tail != base+3 {
		t.Fatalf("tail %d, want %d", tail, base+3)
	}
}

func concurrentAppends(t *testing.T, h *harness) {
	h.tail()
	const publishers, requests, perRequest = 8, 25, 4
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			last := uint64(0)
			for r := range requests {
				var events []wire.Event
				for i := range perRequest {
					events = append(events, event(fmt.Sprint("p", p), fmt.Sprint(r, "-", i), "1"))
				}
				results, err := h.try(events...)
				if err != nil {
					t.Error(err)
					return
				}
				for _, res := range results {
					if res.Seq <= last {
						t.Errorf("publisher %d got %d after %d", p, res.Seq, last)
					}
					last = res.Seq
				}
			}
		})
	}
	wg.Wait()
	seen := h.saw(1 + publishers*requests*perRequest)
	for i := 1; i < len(seen); i++ {
		if seen[i].Seq != seen[i-1].Seq+1 {
			t.Fatalf("%d follows %d", seen[i].Seq, seen[i-1].Seq)
		}
	}
}

func timeMonotone(t *testing.T, h *harness) {
	h.tail()
	ahead := time.Now().Add(time.Minute).UnixMilli()
	h.append(wire.Event{Channel: "a", Time: ahead, Data: []byte("1")}, wire.Event{Channel: "a", Data: []byte("2")})
	h.append(wire.Event{Channel: "a", Data: []byte("3")})
	seen := h.saw(4)
	for i := 1; i < len(seen); i++ {
		if seen[i].Time < seen[i-1].Time {
			t.Fatalf("time runs from %d to %d", seen[i-1].Time, seen[i].Time)
		}
	}
}

func repeatIsDuplicate(t *testing.T, h *harness) {
	h.tail()
	first := h.append(event("a", "1", `"x"`))[0]
	h.append(event("a", "2", `"y"`))
	again := h.append(event("a", "1", `"x"`), event("a", "3", `"z"`))
	if !again[0].Duplicate || again[0].Seq != first.Seq || again[0].Time != first.Time {
		t.Fatalf("first %+v, again %+v", first, again[0])
	}
	if again[1].Duplicate || again[1].Seq != first.Seq+2 {
		t.Fatalf("the new one beside it: %+v", again[1])
	}
	h.saw(4)
}

func repeatWithinRequest(t *testing.T, h *harness) {
	h.tail()
	r := h.append(event("a", "1", `"x"`), event("a", "1", `"x"`))
	if r[0].Duplicate || !r[1].Duplicate || r[0].Seq != r[1].Seq {
		t.Fatalf("%+v", r)
	}
	h.saw(2)
}

func sameIDElsewhere(t *testing.T, h *harness) {
	h.tail()
	other := event("a", "1", `"x"`)
	other.Source = "/other"
	// Were the parts of a key just joined, these would be equal.
	joined := wire.Event{Channel: "a", Source: "/s1", ID: "2", Data: []byte("1")}
	shifted := wire.Event{Channel: "a", Source: "/s", ID: "12", Data: []byte("1")}
	for _, r := range h.append(event("a", "1", `"x"`), event("b", "1", `"x"`), other, joined, shifted) {
		if r.Duplicate {
			t.Fatalf("%+v", r)
		}
	}
	h.saw(6)
}

func noIDNoRepeat(t *testing.T, h *harness) {
	h.tail()
	e := wire.Event{Channel: "a", Data: []byte("1")}
	for _, r := range append(h.append(e, e), h.append(e)...) {
		if r.Duplicate {
			t.Fatalf("%+v", r)
		}
	}
	h.saw(4)
}

func mismatchAddsNothing(t *testing.T, h *harness) {
	h.tail()
	h.append(event("a", "1", `"x"`))
	kind := event("a", "1", `"x"`)
	kind.Kind = wire.Text
	for _, request := range [][]wire.Event{
		{event("a", "new", "1"), event("a", "1", `"other"`)},
		{event("a", "new", "1"), kind},
		{event("a", "new", "1"), event("a", "new", "2")},
	} {
		results, err := h.try(request...)
		var mismatch *broker.MismatchError
		if !errors.As(err, &mismatch) || mismatch.Index != 1 || len(results) != 0 {
			t.Fatalf("%+v, %v", results, err)
		}
	}
	if r := h.append(event("a", "new", "1")); r[0].Duplicate {
		t.Fatal("something of a refused request was kept")
	}
	h.saw(3)
}

func durabilityIsAFact(t *testing.T, h *harness) {
	h.tail()
	info := h.info()
	for want := broker.Memory; want <= broker.Fsync; want++ {
		results, err := h.log.Append(t.Context(), []wire.Event{{Channel: "a", Data: []byte("1")}}, broker.AppendOptions{RequireDurability: want})
		switch {
		case want > info.Durability:
			if !errors.Is(err, broker.ErrDurability) || len(results) != 0 {
				t.Fatalf("%s demanded: %+v, %v", want, results, err)
			}
		case err != nil || results[0].Durability < want || results[0].Copies < 1:
			t.Fatalf("%s demanded: %+v, %v", want, results, err)
		}
	}
	h.saw(1 + int(info.Durability) + 1)
}

func cancelledAppend(t *testing.T, h *harness) {
	h.tail()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.log.Append(ctx, []wire.Event{event("a", "1", "1")}, broker.AppendOptions{}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if r := h.append(event("a", "1", "1")); r[0].Duplicate {
		t.Fatal("the cancelled request was kept")
	}
	h.saw(2)
}

func emptyAppend(t *testing.T, h *harness) {
	h.tail()
	before := h.info().Tail
	if r := h.append(); len(r) != 0 || h.info().Tail != before {
		t.Fatalf("%+v, tail %d became %d", r, before, h.info().Tail)
	}
	h.saw(1)
}

func readOrEvicted(t *testing.T, h *harness) {
	h.tail()
	h.append(event("a", "1", "1"), event("a", "2", "1"), event("b", "3", "1"))
	info := h.info()
	for after := uint64(0); after <= info.Tail; after++ {
		records, more, err := h.log.Read(t.Context(), after, 2)
		var gone *broker.EvictedError
		if after+1 < info.First {
			if !errors.As(err, &gone) || gone.First != info.First {
				t.Fatalf("after %d: %v, first is %d", after, err, info.First)
			}
			continue
		}
		want := min(2, int(info.Tail-after))
		if err != nil || len(records) != want || more != (info.Tail-after > 2) {
			t.Fatalf("after %d: %d records, more %v, %v", after, len(records), more, err)
		}
		for i := range records {
			if records[i].Seq != after+uint64(i)+1 {
				t.Fatalf("after %d came %d", after, records[i].Seq)
			}
		}
	}
}

func evictedIsSafe(t *testing.T, h *harness) {
	h.tail()
	h.append(event("a", "1", "1"), event("b", "2", "1"), event("a", "3", "1"))
	first := h.info().First
	for _, rec := range h.saw(4) {
		seq, _, err := h.log.Evicted(t.Context(), rec.Channel)
		if err != nil {
			t.Fatal(err)
		}
		if rec.Seq < first && seq < rec.Seq {
			t.Fatalf("%d of %s is gone, claimed is %d", rec.Seq, rec.Channel, seq)
		}
	}
}

func tailEndsWithContext(t *testing.T, h *harness) {
	h.tail()
	if err := h.stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func tailEndsWithSink(t *testing.T, h *harness) {
	defer func() { _ = h.log.Close() }()
	broken := errors.New("sink is broken")
	ended := make(chan error, 1)
	go func() { ended <- h.log.Tail(context.Background(), 0, func([]wire.Record) error { return broken }) }()
	for {
		select {
		case err := <-ended:
			if !errors.Is(err, broken) {
				t.Fatal(err)
			}
			return
		case <-time.After(time.Millisecond):
			// The outcome is not the point here: with no sink it is refused.
			_, _ = h.log.Append(context.Background(), []wire.Event{{Channel: "a"}}, broker.AppendOptions{})
		}
	}
}

func closedLog(t *testing.T, h *harness) {
	h.tail()
	after := h.info().Tail
	if err := h.log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.log.Append(t.Context(), []wire.Event{event("a", "1", "1")}, broker.AppendOptions{}); !errors.Is(err, broker.ErrClosed) {
		t.Fatalf("append: %v", err)
	}
	if err := h.log.Tail(t.Context(), after, func([]wire.Record) error { return nil }); !errors.Is(err, broker.ErrClosed) {
		t.Fatalf("tail: %v", err)
	}
	if err := h.log.Close(); err != nil {
		t.Fatalf("closing again: %v", err)
	}
}
