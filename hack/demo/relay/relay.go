// Package relay carries the outbox to the gateway: at least once, in order,
// woken by each commit. A repeat carries the same CloudEvents source and id, so
// that the gateway recognises it, and an event counts as delivered only when the
// gateway's answer says so.
//
// It is the only part that publishes. main starts it beside the web server.
package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/streamgateway/streamgateway/hack/demo/ledger"
	"github.com/streamgateway/streamgateway/hack/demo/publish"
)

const (
	batchEvents   = 200 // events of one request; far below the gateway's 1000 events and 1 MiB
	firstWait     = 50 * time.Millisecond
	longestWait   = 10 * time.Second
	settleTimeout = 2 * time.Second
)

// Outbox is what the relay needs of the ledger.
type Outbox interface {
	Pending(ctx context.Context, limit int) ([]ledger.Event, error)
	Delivered(ctx context.Context, first, last int64) error
	Refused(ctx context.Context, position int64, reason string) error
	Committed() <-chan struct{}
}

// Relay publishes what waits in Outbox. All fields are required.
type Relay struct {
	Outbox  Outbox
	Gateway *publish.Gateway
	Log     *slog.Logger
	Rand    *rand.Rand // jitter of the waits; used by Run alone
}

// Run publishes until ctx ends, then once more what is waiting (for 2 s at
// most), so that an orderly stop leaves no revenue untold for the length of a
// restart. What it cannot deliver stays in the outbox.
func (r *Relay) Run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		sent, err := r.step(ctx)
		var wait <-chan time.Time
		switch {
		case err == nil && sent > 0:
			failures = 0
			continue
		case err == nil:
			failures = 0
		case ctx.Err() != nil:
			continue
		default:
			failures++
			d := r.pause(failures, err)
			r.Log.Warn("publishing revenue events, will try again", "error", err, "attempt", failures, "wait", d)
			wait = time.After(d)
		}
		r.sleep(ctx, wait)
	}
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer stop()
	for {
		if sent, err := r.step(last); sent == 0 || err != nil {
			return
		}
	}
}

// sleep waits for a commit, or after a failure only for its time: commits must
// not turn a back-off into a storm.
func (r *Relay) sleep(ctx context.Context, wait <-chan time.Time) {
	committed := r.Outbox.Committed()
	if wait != nil {
		committed = nil
	}
	select {
	case <-ctx.Done():
	case <-committed:
	case <-wait:
	}
}

// pause is the wait after so many failures in a row: exponential, with full
// jitter, and never under what the gateway asked for.
func (r *Relay) pause(failures int, err error) time.Duration {
	ceiling := min(firstWait<<min(failures, 10), longestWait)
	d := time.Duration(r.Rand.Int64N(int64(ceiling))) + 1
	if a, ok := errors.AsType[*publish.Refusal](err); ok {
		d = max(d, a.RetryAfter)
	}
	return d
}

// step publishes one batch and returns how many events it settled. Events that
// the gateway refuses for good are found by sending them one by one.
func (r *Relay) step(ctx context.Context) (int, error) {
	events, err := r.Outbox.Pending(ctx, batchEvents)
	if err != nil || len(events) == 0 {
		return 0, err
	}
	err = r.publish(ctx, events)
	a, refused := errors.AsType[*publish.Refusal](err)
	switch {
	case err == nil:
		return len(events), r.Outbox.Delivered(ctx, events[0].Position, events[len(events)-1].Position)
	case !refused || !a.Final():
		return 0, err
	}
	for i, e := range events {
		if err := r.single(ctx, e); err != nil {
			return i, err
		}
	}
	return len(events), nil
}

func (r *Relay) single(ctx context.Context, e ledger.Event) error {
	err := r.publish(ctx, []ledger.Event{e})
	if err == nil {
		return r.Outbox.Delivered(ctx, e.Position, e.Position)
	}
	if a, ok := errors.AsType[*publish.Refusal](err); ok && a.Final() {
		r.Log.Error("setting aside an event that the gateway refuses", "position", e.Position, "error", err)
		return r.Outbox.Refused(ctx, e.Position, a.Error())
	}
	return err
}

// publish sends events as one CloudEvents batch. Nil means that the gateway
// holds every one of them.
func (r *Relay) publish(ctx context.Context, events []ledger.Event) error {
	bodies := make([][]byte, len(events))
	for i, e := range events {
		bodies[i] = e.Body
	}
	body := append(append([]byte("["), bytes.Join(bodies, []byte(","))...), ']')
	text, err := r.Gateway.Post(ctx, body)
	if err != nil {
		return err
	}
	return acknowledged(text, len(events))
}

// acknowledged checks that the answer speaks of every event. A 200 that came
// from something else than a gateway must not empty the outbox.
func acknowledged(text []byte, want int) error {
	var ack struct {
		Accepted   int `json:"accepted"`
		Duplicates int `json:"duplicates"`
		Results    []struct {
			Cursor string `json:"cursor"`
		} `json:"results"`
	}
	if err := json.Unmarshal(text, &ack); err != nil {
		return fmt.Errorf("reading publish answer: %w", err)
	}
	if len(ack.Results) != want {
		return fmt.Errorf("publishing: %d events acknowledged, %d sent", len(ack.Results), want)
	}
	for i, result := range ack.Results {
		if result.Cursor == "" {
			return fmt.Errorf("publishing: event %d acknowledged without a cursor", i)
		}
	}
	return nil
}
