package trace

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// maxQueued is how many spans may wait to be sent. One more is counted and
// forgotten: tracing never holds an event up, and never grows.
const maxQueued = 2048

// complainEvery is how often the log tells that the collector is away.
const complainEvery = time.Minute

// queue is the SDK's batches between a bound and a count: which spans it had no
// room for the SDK does not tell, nor what became of a batch.
type queue struct {
	sdk.SpanProcessor
	waiting            *atomic.Int64
	full, sent, failed *atomic.Uint64
}

func newQueue(to sdk.SpanExporter, log *slog.Logger) *queue {
	q := &queue{waiting: new(atomic.Int64), full: new(atomic.Uint64), sent: new(atomic.Uint64), failed: new(atomic.Uint64)}
	q.SpanProcessor = sdk.NewBatchSpanProcessor(&counted{SpanExporter: to, queue: q, log: log},
		sdk.WithMaxQueueSize(maxQueued), sdk.WithMaxExportBatchSize(maxBatch), sdk.WithBatchTimeout(exportPeriod), sdk.WithExportTimeout(exportTimeout))
	return q
}

func (q *queue) counts() Counts { return Counts{q.sent.Load(), q.failed.Load(), q.full.Load()} }

// OnEnd takes a span that has ended.
func (q *queue) OnEnd(s sdk.ReadOnlySpan) {
	if q.waiting.Add(1) > maxQueued {
		q.waiting.Add(-1)
		q.full.Add(1)
		return
	}
	q.SpanProcessor.OnEnd(s)
}

// counted is the exporter. Batches that the collector does not take are counted
// and forgotten: spans are samples, and memory is for events.
type counted struct {
	sdk.SpanExporter
	queue      *queue
	log        *slog.Logger
	complained time.Time
}

// ExportSpans sends a batch. The SDK calls it from one goroutine, and would print
// an error to standard error; it gets none.
func (c *counted) ExportSpans(ctx context.Context, batch []sdk.ReadOnlySpan) error {
	defer c.queue.waiting.Add(-int64(len(batch)))
	err := c.SpanExporter.ExportSpans(ctx, batch)
	if err == nil {
		c.queue.sent.Add(uint64(len(batch)))
		return nil
	}
	c.queue.failed.Add(uint64(len(batch)))
	if time.Since(c.complained) >= complainEvery {
		c.complained = time.Now()
		c.log.Warn("sending spans", "error", err, "failed", c.queue.failed.Load())
	}
	return nil
}
