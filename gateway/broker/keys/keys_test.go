package keys

import (
	"fmt"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

func TestMemoryOfManyKeysIsGivenBack(t *testing.T) {
	w := New(Span, 1<<20)
	for i := range 2 * Slice {
		w.Note(&wire.Event{Channel: "a", ID: fmt.Sprint(i)}, uint64(i+1), 1, 0, 0)
	}
	if w.Len() != 2*Slice {
		t.Fatalf("%d keys are known", w.Len())
	}
	w.Expire(Span, 2*Slice)
	if w.Len() != 0 || w.peak != 0 || w.entries != nil {
		t.Errorf("%d keys are known, memory is kept for %d", w.Len(), w.peak)
	}
}

func TestEventIsNotedOnceAndAgesFromItsOwnTime(t *testing.T) {
	w := New(Span, 10)
	e := wire.Event{Channel: "a", ID: "1", Data: []byte("x")}
	w.Note(&e, 7, 70, time.Second, 2*time.Second)
	w.Note(&e, 9, 90, 3*time.Second, 3*time.Second)
	if w.Check([]wire.Event{e}, 4*time.Second) != -1 {
		t.Fatal("it was taken for another one")
	}
	if first, known := w.Lookup(0, 4*time.Second); !known || first.Seq != 7 || first.Time != 70 {
		t.Errorf("%+v, %v", first, known)
	}
	if _, known := w.Lookup(0, Span+time.Second); known {
		t.Error("it is known for longer than its span")
	}
	w.Note(&e, 11, 110, -Span, 0)
	w.Note(&wire.Event{Channel: "a"}, 12, 120, 0, 0)
	if w.Len() != 1 {
		t.Errorf("%d keys are known: too old ones and none at all were noted", w.Len())
	}
}

func TestSameIsWhatARepeatMayNotChange(t *testing.T) {
	one := wire.Event{Channel: "a", ID: "1", Type: "t", Data: []byte("x"), Time: 1}
	for _, tc := range []struct {
		change func(*wire.Event)
		same   bool
	}{
		{func(e *wire.Event) { e.Time = 2 }, true},
		{func(e *wire.Event) { e.Data = []byte("y") }, false},
		{func(e *wire.Event) { e.Type = "u" }, false},
		{func(e *wire.Event) { e.Kind = wire.Text }, false},
	} {
		other := one
		tc.change(&other)
		if Same(&one, &other) != tc.same {
			t.Errorf("%+v and %+v", one, other)
		}
	}
}
