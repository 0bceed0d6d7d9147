package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/hack/demo/ledger"
	"github.com/streamgateway/streamgateway/hack/demo/publish"
)

// listener is a gateway's publish endpoint as far as the relay can tell: it
// keeps every id it was sent, and answers as told. The real gateway is tested
// against in the package main.
type listener struct {
	mu     sync.Mutex
	ids    []string
	tokens []string
	answer func(w http.ResponseWriter, ids []string)
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var events []struct{ ID string }
	if err := json.NewDecoder(r.Body).Decode(&events); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var ids []string
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens = append(l.tokens, r.Header.Get("Authorization"))
	l.answer(w, ids)
}

func (l *listener) accept(w http.ResponseWriter, ids []string) {
	l.ids = append(l.ids, ids...)
	type result struct {
		ID     string `json:"id"`
		Cursor string `json:"cursor"`
	}
	results := []result{}
	for i, id := range ids {
		results = append(results, result{id, fmt.Sprintf("abcd.%d", i+1)})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"accepted": len(ids), "results": results})
}

func (l *listener) seen() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.ids)
}

type bench struct {
	ledger *ledger.Ledger
	relay  *Relay
	stop   func()
}

// start records the ids, then runs a relay against the listener.
func start(t *testing.T, l *listener, ids ...string) *bench {
	t.Helper()
	if l.answer == nil {
		l.answer = l.accept
	}
	book, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "l.db"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(l)
	b := &bench{ledger: book, relay: &Relay{
		Outbox: book, Gateway: &publish.Gateway{Endpoint: server.URL, Client: server.Client(), Token: publish.FileToken("")},
		Log: slog.New(slog.DiscardHandler), Rand: rand.New(rand.NewPCG(1, 2)),
	}}
	b.record(t, ids...)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.relay.Run(ctx) }()
	b.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(func() { b.stop(); server.Close(); _ = book.Close() })
	return b
}

func (b *bench) record(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := b.ledger.Record(t.Context(), ledger.Revenue{ID: id, Amount: 1, PropertyID: 1}); err != nil {
			t.Fatal(err)
		}
	}
}

func (b *bench) waitFor(t *testing.T, want ledger.Counts) {
	t.Helper()
	var got ledger.Counts
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		var err error
		if got, err = b.ledger.Count(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got == want {
			return
		}
	}
	t.Fatalf("counts = %+v, want %+v", got, want)
}

func TestEventsOfAnEarlierRunGoOutFirstAndNewOnesAtOnce(t *testing.T) {
	l := &listener{}
	b := start(t, l, "a", "b", "c")
	b.waitFor(t, ledger.Counts{Revenues: 3})
	b.record(t, "d")
	b.waitFor(t, ledger.Counts{Revenues: 4})
	if got := l.seen(); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
		t.Errorf("gateway saw %v", got)
	}
}

func TestOutageKeepsOrderAndRepeatsTheSameIds(t *testing.T) {
	l := &listener{}
	failures := 4
	l.answer = func(w http.ResponseWriter, ids []string) {
		if failures--; failures >= 0 {
			l.ids = append(l.ids, ids...) // appended, but the answer got lost
			w.WriteHeader([]int{401, 403, 500, 503}[failures])
			return
		}
		l.accept(w, ids)
	}
	b := start(t, l, "a", "b")
	b.waitFor(t, ledger.Counts{Revenues: 2})
	if got := l.seen(); !slices.Equal(got, []string{"a", "b", "a", "b", "a", "b", "a", "b", "a", "b"}) {
		t.Errorf("gateway saw %v", got)
	}
}

func TestRefusedEventIsSetAsideAndTheOthersGoOn(t *testing.T) {
	l := &listener{}
	l.answer = func(w http.ResponseWriter, ids []string) {
		if slices.Contains(ids, "bad") {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		l.accept(w, ids)
	}
	b := start(t, l, "a", "bad", "c")
	b.waitFor(t, ledger.Counts{Revenues: 3, Refused: 1})
	if got := l.seen(); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("gateway saw %v", got)
	}
}

func TestOnlyACompleteAcknowledgementEmptiesTheOutbox(t *testing.T) {
	for name, text := range map[string]string{
		"a page of some proxy":       "<html>welcome</html>",
		"an empty object":            "{}",
		"an answer for fewer events": `{"accepted":1,"results":[{"id":"a","cursor":"abcd.1"}]}`,
		"an answer without cursors":  `{"accepted":2,"results":[{"id":"a"},{"id":"b"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := acknowledged([]byte(text), 2); err == nil {
				t.Error("taken for an acknowledgement of two events")
			}
		})
	}
}

func TestStopStillDeliversWhatWasCommitted(t *testing.T) {
	l := &listener{}
	b := start(t, l)
	b.record(t, "a")
	b.stop()
	if got := l.seen(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("gateway saw %v", got)
	}
}

func TestPauseGrowsToItsLimitAndHonoursTheGateway(t *testing.T) {
	r := &Relay{Rand: rand.New(rand.NewPCG(1, 2))}
	for failures := range 100 {
		if d := r.pause(failures+1, errors.New("refused")); d <= 0 || d > min(firstWait<<min(failures+1, 10), longestWait) {
			t.Errorf("pause after %d failures = %v", failures+1, d)
		}
	}
	if d := r.pause(1, &publish.Refusal{Status: 503, RetryAfter: 7 * time.Second}); d != 7*time.Second {
		t.Errorf("pause = %v, the gateway asked for 7s", d)
	}
}
