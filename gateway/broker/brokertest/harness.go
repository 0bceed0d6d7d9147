package brokertest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// patience is how long a test waits for a log that is not ready or behind.
const patience = 10 * time.Second

// harness is a log with what its tail has seen.
type harness struct {
	t   *testing.T
	log broker.Log

	mu   sync.Mutex
	seen []wire.Record
	stop func() error // ends the tail and gives its error
}

func (h *harness) info() broker.Info {
	h.t.Helper()
	info, err := h.log.Info(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return info
}

// tail starts to gather records and returns when the log takes events.
func (h *harness) tail() {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	after := h.info().Tail
	go func() {
		ended <- h.log.Tail(ctx, after, func(records []wire.Record) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.seen = append(h.seen, records...)
			return nil
		})
	}()
	h.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	h.t.Cleanup(func() { _ = h.stop(); _ = h.log.Close() })
	h.append(wire.Event{Channel: "ready", Data: []byte("1")})
	h.saw(1)
}

// append publishes as a publisher does: what is unavailable is tried again.
func (h *harness) append(events ...wire.Event) []broker.AppendResult {
	h.t.Helper()
	results, err := h.try(events...)
	if err != nil {
		h.t.Fatal(err)
	}
	return results
}

func (h *harness) try(events ...wire.Event) ([]broker.AppendResult, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		results, err := h.log.Append(context.Background(), events, broker.AppendOptions{})
		if !errors.Is(err, broker.ErrUnavailable) || time.Now().After(deadline) {
			return results, err
		}
	}
}

// saw waits until the tail has seen n records and returns them.
func (h *harness) saw(n int) []wire.Record {
	h.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		h.mu.Lock()
		seen := slices.Clone(h.seen)
		h.mu.Unlock()
		if len(seen) >= n {
			if len(seen) > n {
				h.t.Fatalf("the tail saw %d records, want %d", len(seen), n)
			}
			return seen
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("the tail saw %d records, want %d", len(seen), n)
		}
	}
}
