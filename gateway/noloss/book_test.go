package noloss

import "testing"

func TestEventMayBeRepeatedIntoANewEpochButNeverMove(t *testing.T) {
	b := newBook(1)
	e := b.send(0, "c", kindJSON)
	got := Element{Channel: "c", Data: e.data(kindJSON), Cursor: Cursor{"aaaa", 5}}
	if _, ok := b.deliver(e, got); !ok {
		t.Fatal("not recognised")
	}
	b.ack(e, Cursor{"bbbb", 1}) // the first answer was lost with the first pod
	got.Cursor = Cursor{"bbbb", 1}
	b.deliver(e, got)
	if len(b.faults) > 0 {
		t.Errorf("faults %v", b.words)
	}
	b.ack(e, Cursor{"bbbb", 2})
	if b.faults["moved"] != 1 {
		t.Errorf("faults %v, want one move within an epoch", b.faults)
	}
	if _, ok := b.deliver(event{0, 1}, got); ok || b.faults["phantom"] != 1 {
		t.Errorf("faults %v, want a phantom for an event that was never sent", b.faults)
	}
}
