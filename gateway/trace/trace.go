// Package trace records where the time of a published event goes, as spans of
// the trace that the publisher began or of a new one, and sends them to an
// OpenTelemetry collector.
//
// It is OpenTelemetry's SDK in the form that this gateway needs: a share that
// changes while it runs, contexts that are part of events, spans that are counted
// and bounded, and a gRPC call without a gRPC library. It knows nothing of
// events, requests or configuration. Spans are made by gateway/transport and
// gateway/server at four places, and by nobody else. A nil *Tracer and a nil *Span
// are those of a gateway that does not trace, or of a request that is not
// sampled: every method may be called on them and does nothing.
package trace

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Options is what a tracer is made with and keeps.
type Options struct {
	// Endpoint is the collector's OTLP/gRPC address: host:port, or a URL with
	// the scheme http (no TLS, as for host:port) or https.
	Endpoint string
	// Resource describes this process; keys are OpenTelemetry's.
	Resource map[string]string
	Log      *slog.Logger
}

// Counts counts spans since the start.
type Counts struct {
	Sent   uint64
	Failed uint64 // the collector did not take them
	Full   uint64 // came faster than they were sent
}

// Tracer makes spans and sends them. Make it with New, run it with Run.
type Tracer struct {
	share    *share
	queue    *queue
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

const (
	// scopeName says which code made the spans.
	scopeName = "github.com/streamgateway/streamgateway/gateway"

	exportTimeout = 10 * time.Second
	exportPeriod  = time.Second
	maxBatch      = 512
)

// New makes a tracer that samples nothing before Tune. The error is that of an
// endpoint that cannot be read.
func New(o Options) (*Tracer, error) {
	c, err := newCollector(o.Endpoint)
	if err != nil {
		return nil, err
	}
	exporter, err := otlptrace.New(context.Background(), c)
	if err != nil {
		return nil, fmt.Errorf("opening the exporter of spans: %w", err)
	}
	var about []attribute.KeyValue
	for key, value := range o.Resource {
		about = append(about, attribute.String(key, value))
	}
	t := &Tracer{share: &share{}}
	t.queue = newQueue(exporter, o.Log)
	t.provider = sdk.NewTracerProvider(sdk.WithSampler(t.share), sdk.WithSpanProcessor(t.queue), sdk.WithResource(resource.NewSchemaless(about...)))
	t.tracer = t.provider.Tracer(scopeName)
	return t, nil
}

// Run sends spans until ctx ends, then what waits.
func (t *Tracer) Run(ctx context.Context) {
	if t == nil {
		return
	}
	<-ctx.Done()
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), exportPeriod)
	defer stop()
	_ = t.provider.Shutdown(last) // the process ends; nobody is left to tell
}

// Tune takes over the share of traces begun here that are sampled, in percent,
// 0..100. Traces begun elsewhere are sampled as their beginner decided, except
// at 0, where nothing is.
func (t *Tracer) Tune(samplePercent float64) {
	if t != nil {
		t.share.set(samplePercent)
	}
}

// Counts returns the counters.
func (t *Tracer) Counts() Counts {
	if t == nil {
		return Counts{}
	}
	return t.queue.counts()
}

// Start begins the span of a request whose sender's context is parent, or none,
// at a time that may have passed. It is nil when the trace is not sampled.
func (t *Tracer) Start(name string, parent wire.Trace, start time.Time) *Span {
	if t == nil || t.share.none() || !parent.IsZero() && !parent.Sampled {
		return nil
	}
	return t.begin(name, trace.SpanKindServer, parent, start)
}

// Under begins a span that an event's context is the parent of, at a time that
// may have passed. It is nil when the context is not sampled.
func (t *Tracer) Under(name string, parent wire.Trace, start time.Time) *Span {
	if t == nil || t.share.none() || !parent.Sampled {
		return nil
	}
	return t.begin(name, trace.SpanKindInternal, parent, start)
}

func (t *Tracer) begin(name string, kind trace.SpanKind, parent wire.Trace, start time.Time) *Span {
	ctx := context.Background()
	if !parent.IsZero() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: parent.ID, SpanID: parent.Span, TraceFlags: trace.FlagsSampled, Remote: true,
		}))
	}
	_, span := t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithTimestamp(start))
	if !span.IsRecording() {
		return nil
	}
	return &Span{t, span}
}

// Span is one piece of work. It belongs to one goroutine until End.
type Span struct {
	tracer *Tracer
	span   trace.Span
}

// Context is what work that this span causes has as its parent; the zero value
// when it is not sampled.
func (s *Span) Context() wire.Trace {
	if s == nil {
		return wire.Trace{}
	}
	c := s.span.SpanContext()
	return wire.Trace{ID: c.TraceID(), Span: c.SpanID(), Sampled: c.IsSampled()}
}

// Child begins a span below this one.
func (s *Span) Child(name string) *Span {
	if s == nil {
		return nil
	}
	_, child := s.tracer.tracer.Start(trace.ContextWithSpan(context.Background(), s.span), name)
	return &Span{s.tracer, child}
}

// Text adds an attribute. It must hold nothing that is a secret or a client's
// data.
func (s *Span) Text(key, value string) {
	if s != nil {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// Number adds an attribute.
func (s *Span) Number(key string, value int64) {
	if s != nil {
		s.span.SetAttributes(attribute.Int64(key, value))
	}
}

// Fail marks the work as failed.
func (s *Span) Fail() {
	if s != nil {
		s.span.SetStatus(codes.Error, "")
	}
}

// End ends the work now. It is called once.
func (s *Span) End() {
	if s != nil {
		s.span.End()
	}
}

// EndAt is End at a time that has passed.
func (s *Span) EndAt(end time.Time) {
	if s != nil {
		s.span.End(trace.WithTimestamp(end))
	}
}
