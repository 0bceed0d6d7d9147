package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/breaker"
	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/report"
	"github.com/streamgateway/streamgateway/gateway/transport"
)

// failing is a log that can be made to fail; the memory log never does.
type failing struct {
	log   appends // nil = answers without results
	fails atomic.Pointer[error]
	asked atomic.Int64
}

func (f *failing) Append(ctx context.Context, events []wire.Event, o broker.AppendOptions) ([]broker.AppendResult, error) {
	f.asked.Add(1)
	if err := f.fails.Load(); err != nil {
		return nil, *err
	}
	if f.log == nil {
		return nil, nil
	}
	return f.log.Append(ctx, events, o)
}

func (f *failing) with(err error) { f.fails.Store(&err) }

func newGuard(log appends) *guard {
	_, hot := config.Default()
	return &guard{log, breaker.New(breaker.Settings(hot.CircuitBreaker), func() float64 { return 0.5 })}
}

func TestAnOutageIsNoticedAndItsEndFoundWithoutPublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &failing{}
		g := newGuard(log)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { g.watch(ctx, slog.New(slog.DiscardHandler)); close(ended) }()
		log.with(broker.ErrUnavailable)
		for range 5 {
			if _, err := g.Append(ctx, nil, broker.AppendOptions{}); !errors.Is(err, broker.ErrUnavailable) {
				t.Fatal(err)
			}
		}
		_, err := g.Append(ctx, nil, broker.AppendOptions{})
		var outage *transport.OutageError
		if err = translate(err); !errors.As(err, &outage) || outage.RetryAfter != 5*time.Second || !errors.Is(err, transport.ErrLogUnavailable) {
			t.Errorf("got %v", err)
		}
		if n := log.asked.Load(); n != 5 {
			t.Errorf("the log was asked %d times, want 5", n)
		}
		time.Sleep(17 * time.Second) // tried after 5 s, and again 10 s later
		if n, s := log.asked.Load(), g.breaker.Stats(); n != 7 || s.State != breaker.Open {
			t.Errorf("the log was asked %d times, and the breaker is %s", n, s.State)
		}
		log.fails.Store(nil)
		time.Sleep(23 * time.Second)
		if s := g.breaker.Stats(); s.State != breaker.Closed || s.Opened != 1 {
			t.Errorf("the breaker is %s after %d outages", s.State, s.Opened)
		}
		stop()
		<-ended
	})
}

func TestWhatTheLogRefusesIsNoOutage(t *testing.T) {
	for _, err := range []error{broker.ErrDurability, &broker.MismatchError{}} {
		log := &failing{}
		log.with(err)
		g := newGuard(log)
		for range 30 {
			_, _ = g.Append(t.Context(), nil, broker.AppendOptions{})
		}
		if s := g.breaker.Stats().State; s != breaker.Closed {
			t.Errorf("%v: the breaker is %s", err, s)
		}
	}
}

func TestPublishersWhoLeaveAreNoOutage(t *testing.T) {
	log := &failing{}
	log.with(context.Canceled)
	g := newGuard(log)
	gone, leave := context.WithCancel(t.Context())
	leave()
	for range 30 {
		_, _ = g.Append(gone, nil, broker.AppendOptions{})
	}
	if s := g.breaker.Stats().State; s != breaker.Closed {
		t.Errorf("the breaker is %s", s)
	}
}

func TestStreamsGoOnWhileTheLogFails(t *testing.T) {
	log := &failing{}
	var g *gateway
	text := (&gateway{t: t}).document(func(h *config.Hot) { h.CircuitBreaker.OpenDuration = 300 * time.Millisecond })
	folder := inFolder(t, config.HotKey, text)
	g = startAltered(t, func(o *Options) { o.Config = folder }, func(s *Server) {
		log.log = s.events
		s.guard.log = log
	})
	s := g.open("channels=prices")
	s.next("sg.caught-up")
	g.post("prices", `"before"`)
	s.next("")
	log.with(errors.New("connection refused"))
	for range 5 {
		if status, body := g.post("prices", `"lost"`); status != 503 || !strings.Contains(body, "broker-unavailable") {
			t.Errorf("an outage is answered %d %s", status, body)
		}
	}
	asked := log.asked.Load()
	res, err := http.Post(g.base+"/channels/prices/events", "application/json", strings.NewReader(`"refused"`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var problem struct {
		Type         string
		RetryAfterMs int64
	}
	if err := json.NewDecoder(res.Body).Decode(&problem); err != nil || !strings.HasSuffix(problem.Type, ":broker-unavailable") ||
		res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" || problem.RetryAfterMs < 1000 {
		t.Errorf("got %d %v %+v, %v", res.StatusCode, res.Header, problem, err)
	}
	if n := log.asked.Load(); n != asked {
		t.Errorf("the log was asked %d times while it is left alone", n-asked)
	}
	r, m := g.report(), g.metrics()
	if r.CircuitBreaker.State == report.CircuitClosed || r.CircuitBreaker.Opened != 1 || !r.Ready {
		t.Errorf("the report says %+v, ready %v", r.CircuitBreaker, r.Ready)
	}
	if m.CircuitBreaker.State == report.CircuitClosed || m.CircuitBreaker.LastOpened == nil || m.Broker.Connected ||
		m.Health.Status != "degraded" || m.Health.Reasons[0] != "circuit-open" {
		t.Errorf("the metrics say %+v %+v %+v", m.CircuitBreaker, m.Broker, m.Health)
	}
	if text := g.scrape("text/plain"); !strings.Contains(text, "sg_breaker_opened_total 1\n") || strings.Contains(text, "sg_breaker_state 0\n") {
		t.Error("the scrape says nothing of it")
	}
	log.fails.Store(nil)
	g.eventually("closed again", func() bool { return g.report().CircuitBreaker.State == report.CircuitClosed })
	if status, body := g.post("prices", `"after"`); status != 200 {
		t.Errorf("got %d %s", status, body)
	}
	if f := s.next(""); f.data != `"after"` {
		t.Errorf("the stream goes on with %s", f.data)
	}
	if m := g.metrics(); m.Health.Status != "ok" || !m.Broker.Connected {
		t.Errorf("the metrics say %+v %+v", m.Broker, m.Health)
	}
}
