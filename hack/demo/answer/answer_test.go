package answer

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/hack/demo/publish"
)

// gateway keeps what it takes, once for each id; some requests it refuses.
type gateway struct {
	mu      sync.Mutex
	refuse  int // so many requests
	taken   map[string]bool
	events  []event
	changed chan struct{}
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var batch []event
	if err := json.NewDecoder(r.Body).Decode(&batch); err != nil || r.Header.Get("Content-Type") != "application/cloudevents-batch+json" || r.Header.Get("Authorization") != "Bearer t" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refuse > 0 {
		g.refuse--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	for _, e := range batch {
		if !g.taken[e.ID] {
			g.taken[e.ID], g.events = true, append(g.events, e)
		}
	}
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

func (g *gateway) said() (text, last string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.events {
		text, last = text+e.Data, e.Type
	}
	return text, last
}

func speaker(t *testing.T, refuse int) (*Speaker, *gateway) {
	t.Helper()
	g := &gateway{refuse: refuse, taken: map[string]bool{}, changed: make(chan struct{}, 1)}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	return &Speaker{Gateway: &publish.Gateway{Endpoint: server.URL, Client: server.Client(), Token: func() (string, error) { return "t", nil }}, Log: slog.New(slog.DiscardHandler)}, g
}

func TestAnAnswerIsSaidInOrderAlsoToAGatewayThatWasAway(t *testing.T) {
	s, g := speaker(t, 1)
	const text = "one two  three, four.\nfive"
	channel, err := s.Start(t.Context(), "a1", text)
	if err != nil || channel != "answers.a1" {
		t.Fatal(channel, err)
	}
	s.Wait()
	if said, last := g.said(); said != text || last != TypeDone {
		t.Errorf("said %q, last %s", said, last)
	}
	for _, e := range g.events[:len(g.events)-1] {
		if e.Type != TypeToken || e.Coalesce != "concat" || e.Key == "" || e.Channel != channel {
			t.Errorf("%+v", e)
		}
	}
	if s.Cancel("a1") {
		t.Error("an answer that is over can be cancelled")
	}
}

func TestACancelledAnswerEndsWithItsLastEvent(t *testing.T) {
	s, g := speaker(t, 0)
	if _, err := s.Start(t.Context(), "a1", strings.Repeat("word ", 10000)); err != nil {
		t.Fatal(err)
	}
	<-g.changed
	if !s.Cancel("a1") {
		t.Error("the answer is not known")
	}
	s.Wait()
	if said, last := g.said(); last != TypeDone || len(said) > 5000 {
		t.Errorf("%d bytes were said, last %s", len(said), last)
	}
}

func TestOnlySoManyAnswersAreGivenAtOnce(t *testing.T) {
	s, _ := speaker(t, 0)
	for i := range maxAtOnce {
		if _, err := s.Start(t.Context(), string(rune('a'+i)), strings.Repeat("word ", 10000)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Start(t.Context(), "more", "word"); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	for i := range maxAtOnce {
		s.Cancel(string(rune('a' + i)))
	}
	done := make(chan struct{})
	go func() { s.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("cancelled answers go on")
	}
}
