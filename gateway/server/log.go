package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamgateway/streamgateway/gateway/breaker"
	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/transport"
)

// appender lets the publish endpoint write to whichever broker there is.
type appender struct {
	log    appends
	info   broker.Info
	engine *engine.Engine
}

// Deliver wakes the streams that wait for what was appended.
func (a appender) Deliver() { a.engine.Deliver() }

// Append translates results and errors; transport does not know brokers.
func (a appender) Append(ctx context.Context, events []wire.Event, require string) (transport.Ack, error) {
	ack := transport.Ack{Epoch: a.info.Epoch, Durability: a.info.Durability.String(), Copies: a.info.Copies}
	var options broker.AppendOptions
	if require != "" {
		wanted, err := broker.ParseDurability(require)
		if err != nil {
			return ack, err
		}
		options.RequireDurability = wanted
	}
	results, err := a.log.Append(ctx, events, options)
	ack.Events = make([]transport.AckEvent, len(results))
	weakest := a.info.Durability
	for i, r := range results {
		ack.Events[i] = transport.AckEvent{Seq: r.Seq, Duplicate: r.Duplicate}
		// An ack states what holds for all of its events.
		if i == 0 || r.Durability < weakest {
			weakest = r.Durability
			ack.Durability, ack.Copies = weakest.String(), r.Copies
		}
	}
	return ack, translate(err)
}

func translate(err error) error {
	var mismatch *broker.MismatchError
	var open *breaker.OpenError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &open):
		return &transport.OutageError{RetryAfter: open.RetryAfter}
	case errors.Is(err, broker.ErrDurability):
		return transport.ErrDurability
	case errors.As(err, &mismatch):
		return &transport.MismatchError{Index: mismatch.Index}
	}
	return fmt.Errorf("%w: %w", transport.ErrLogUnavailable, err)
}

// pump carries records from the log into the engine until ctx ends. Those of a
// log that is elsewhere come after their publisher's ack, or have none here:
// then the streams are served at once.
func (s *Server) pump(ctx context.Context) error {
	err := s.events.Tail(ctx, s.info.First-1, func(records []wire.Record) error {
		s.tracing.received = time.Now()
		s.engine.Add(records)
		if s.stream != nil {
			s.engine.Deliver()
		}
		return nil
	})
	if ctx.Err() != nil || errors.Is(err, broker.ErrClosed) {
		return nil
	}
	return fmt.Errorf("following the log: %w", err)
}

// awaitLog returns when the log takes events, and the engine has all that was
// in it at the start: the first publisher shall not be met with an outage, and
// the first reader shall find what it could find elsewhere.
func (s *Server) awaitLog(ctx context.Context, failed <-chan error) error {
	const longest = 100 * time.Millisecond
	for pause := time.Millisecond; ; pause = min(2*pause, longest) {
		_, err := s.events.Append(ctx, nil, broker.AppendOptions{})
		switch {
		case err == nil && s.engine.Head().Seq >= s.info.Tail:
			return nil
		case err != nil && !errors.Is(err, broker.ErrUnavailable):
			return err
		}
		select {
		case <-time.After(pause):
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
