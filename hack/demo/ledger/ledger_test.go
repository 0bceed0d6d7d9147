package ledger

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
)

func open(t *testing.T, path string) *Ledger {
	t.Helper()
	l, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestRevenueAndEventOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c.db") // a name that a careless URL would break
	l := open(t, path)
	want := Revenue{ID: "r1", Amount: 10000, PropertyID: 1, CreatedMs: 1795478400123}
	if err := l.Record(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	events, err := open(t, path).Pending(t.Context(), 10)
	if err != nil || len(events) != 1 {
		t.Fatalf("pending = %v, %v, want one event", events, err)
	}
	var got struct {
		SpecVersion, ID, Source, Type, Channel, Time string
		Data                                         Revenue
	}
	if err := json.Unmarshal(events[0].Body, &got); err != nil {
		t.Fatal(err)
	}
	if got.Data != want || got.ID != "r1" || got.Type != Type || got.Channel != Channel || got.Source != Source ||
		got.SpecVersion != "1.0" || got.Time != "2026-11-24T00:00:00.123Z" {
		t.Errorf("event = %+v", got)
	}
}

func TestFailedRevenueLeavesNoEvent(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	if err := l.Record(t.Context(), Revenue{ID: "same", Amount: 1, PropertyID: 1}); err != nil {
		t.Fatal(err)
	}
	if err := l.Record(t.Context(), Revenue{ID: "same", Amount: 2, PropertyID: 1}); err == nil {
		t.Fatal("a second revenue with the same id was stored")
	}
	if c, err := l.Count(t.Context()); err != nil || c != (Counts{Revenues: 1, Waiting: 1}) {
		t.Errorf("counts = %+v, %v", c, err)
	}
}

func TestOutboxKeepsCommitOrderAndForgetsOnlyWhatWasDelivered(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	for i := range 5 {
		if err := l.Record(t.Context(), Revenue{ID: fmt.Sprint(i), Amount: 1, PropertyID: 1}); err != nil {
			t.Fatal(err)
		}
	}
	first, err := l.Pending(t.Context(), 2)
	if err != nil || len(first) != 2 || first[0].Position >= first[1].Position {
		t.Fatalf("pending = %v, %v", first, err)
	}
	if err := l.Delivered(t.Context(), first[0].Position, first[1].Position); err != nil {
		t.Fatal(err)
	}
	rest, err := l.Pending(t.Context(), 10)
	if err != nil || len(rest) != 3 || rest[0].Position != first[1].Position+1 {
		t.Fatalf("pending = %v, %v", rest, err)
	}
	if err := l.Refused(t.Context(), rest[0].Position, "422: invalid-event"); err != nil {
		t.Fatal(err)
	}
	if err := l.Delivered(t.Context(), rest[0].Position, rest[2].Position); err != nil {
		t.Fatal(err)
	}
	if c, err := l.Count(t.Context()); err != nil || c != (Counts{Revenues: 5, Refused: 1}) {
		t.Errorf("counts = %+v, %v: a refused event must stay to be looked at", c, err)
	}
}

func TestCommitWakesTheRelayAndManyWritersAllSucceed(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := l.Record(t.Context(), Revenue{ID: fmt.Sprint(i), Amount: 1, PropertyID: 1}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	select {
	case <-l.Committed():
	default:
		t.Error("no wake-up after 20 commits")
	}
	if c, err := l.Count(t.Context()); err != nil || c.Waiting != 20 {
		t.Errorf("counts = %+v, %v", c, err)
	}
}
