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
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/streamgateway/streamgateway/hack/demo/ledger"
)

const (
	batchEvents   = 200 // events of one request; far below the gateway's 1000 events and 1 MiB
	answerBytes   = 1 << 20
	timeout       = 10 * time.Second
	firstWait     = 50 * time.Millisecond
	longestWait   = 10 * time.Second
	batchType     = "application/cloudevents-batch+json"
	reasonBytes   = 500
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
	Outbox   Outbox
	Endpoint string // URL of the gateway's POST /v2/realtime/events
	Client   *http.Client
	Token    func() (string, error) // bearer token, "" for none; asked before every request
	Log      *slog.Logger
	Rand     *rand.Rand // jitter of the waits; used by Run alone
}

// answer is an HTTP answer that is not a success.
type answer struct {
	status     int
	retryAfter time.Duration
	detail     string
}

func (a *answer) Error() string { return fmt.Sprintf("gateway answered %d: %s", a.status, a.detail) }

// final tells whether the same request would be refused for ever. A missing
// right or gateway (401, 403, 404) is not final: it comes with a Role or a Service.
func (a *answer) final() bool {
	return a.status == http.StatusBadRequest || a.status == http.StatusRequestEntityTooLarge || a.status == http.StatusUnprocessableEntity
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
	if a, ok := errors.AsType[*answer](err); ok {
		d = max(d, a.retryAfter)
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
	a, refused := errors.AsType[*answer](err)
	switch {
	case err == nil:
		return len(events), r.Outbox.Delivered(ctx, events[0].Position, events[len(events)-1].Position)
	case !refused || !a.final():
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
	if a, ok := errors.AsType[*answer](err); ok && a.final() {
		r.Log.Error("setting aside an event that the gateway refuses", "position", e.Position, "error", err)
		return r.Outbox.Refused(ctx, e.Position, a.Error())
	}
	return err
}

// publish sends events as one CloudEvents batch. Nil means that the gateway
// holds every one of them.
func (r *Relay) publish(ctx context.Context, events []ledger.Event) error {
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	bodies := make([][]byte, len(events))
	for i, e := range events {
		bodies[i] = e.Body
	}
	body := append(append([]byte("["), bytes.Join(bodies, []byte(","))...), ']')
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.Endpoint, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("making publish request: %w", err)
	}
	req.Header.Set("Content-Type", batchType)
	token, err := r.Token()
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := r.Client.Do(req)
	if err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerBytes))
	if err != nil {
		return fmt.Errorf("reading publish answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return refusal(resp, text)
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

func refusal(resp *http.Response, text []byte) error {
	var problem struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	a := &answer{status: resp.StatusCode, detail: string(text)}
	if json.Unmarshal(text, &problem) == nil && problem.Title != "" {
		a.detail = problem.Title + ": " + problem.Detail
	}
	a.detail = a.detail[:min(len(a.detail), reasonBytes)]
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		a.retryAfter = min(time.Duration(s)*time.Second, time.Minute)
	}
	return a
}
