package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/streamgateway/streamgateway/gateway/breaker"
	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// appends is the part of a log that publishers use.
type appends interface {
	Append(ctx context.Context, events []wire.Event, o broker.AppendOptions) ([]broker.AppendResult, error)
}

// guard is a log behind its circuit breaker.
type guard struct {
	log     appends
	breaker *breaker.Breaker
}

const (
	guardPeriod   = time.Second
	probePatience = 5 * time.Second
)

// Append adds events, or fails with *breaker.OpenError without asking the log.
func (g *guard) Append(ctx context.Context, events []wire.Event, o broker.AppendOptions) ([]broker.AppendResult, error) {
	pass, err := g.breaker.Enter()
	if err != nil {
		return nil, err
	}
	outcome := breaker.Failed // should the log panic
	defer func() { pass.Leave(outcome) }()
	results, err := g.log.Append(ctx, events, o)
	outcome = outcomeOf(ctx, err)
	return results, err
}

// outcomeOf tells whose fault an error is: a log that refuses a request works.
func outcomeOf(ctx context.Context, err error) breaker.Result {
	var mismatch *broker.MismatchError
	switch {
	case err == nil, errors.Is(err, broker.ErrDurability), errors.As(err, &mismatch):
		return breaker.Succeeded
	case errors.Is(ctx.Err(), context.Canceled): // the publisher left
		return breaker.Unknown
	}
	return breaker.Failed
}

// watch tries a log that was left alone without waiting for a publisher, who
// may not come back for hours, and tells of outages once, until ctx ends.
func (g *guard) watch(ctx context.Context, log *slog.Logger) {
	var told uint64 // outages
	down := false
	every(ctx, guardPeriod, func() {
		if g.breaker.Stats().State == breaker.HalfOpen {
			try, stop := context.WithTimeout(ctx, probePatience)
			_, _ = g.Append(try, nil, broker.AppendOptions{}) // the breaker keeps what comes of it
			stop()
		}
		stats := g.breaker.Stats()
		if stats.Opened > told {
			told, down = stats.Opened, true
			log.Error("the log fails; publishes are refused, streams go on", "outages", stats.Opened)
		}
		if down && stats.State == breaker.Closed {
			down = false
			log.Info("the log takes events again")
		}
	})
}
