// Package trace records where the time of a published event goes, as spans of
// the trace that the publisher began or of a new one, and sends them to an
// OpenTelemetry collector.
//
// It knows trace contexts, OTLP and gRPC's wire form, and nothing of events,
// requests or configuration. It is not a tracing library: spans are made by
// gateway/transport and gateway/server at four places, and by nobody else. A
// nil *Tracer and a nil *Span are those of a gateway that does not trace, or of
// a request that is not sampled: every method may be called on them and does
// nothing.
package trace

import (
	"encoding/binary"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Options is what a tracer is made with and keeps.
type Options struct {
	// Endpoint is the collector's OTLP/gRPC address: host:port, or a URL with
	// the scheme http (no TLS, as for host:port) or https.
	Endpoint string
	// Resource describes this process; keys are OpenTelemetry's.
	Resource map[string]string
	// Random gives uniform bits; it must be safe for concurrent use.
	Random func() uint64
	Log    *slog.Logger
}

// Counts counts spans since the start.
type Counts struct {
	Sent   uint64
	Failed uint64 // the collector did not take them
	Full   uint64 // came faster than they were sent
}

// Tracer makes spans and sends them. Make it with New, run it with Run.
type Tracer struct {
	random   func() uint64
	share    atomic.Uint64 // of 2^63: traces begun here that are sampled; 0 = nothing is
	spans    chan *Span
	export   exporter
	resource []byte
	log      *slog.Logger

	sent, failed, full atomic.Uint64
}

// maxQueued is how many spans may wait to be sent. One more is counted and
// forgotten: tracing never holds an event up, and never grows.
const maxQueued = 2048

// New makes a tracer that samples nothing before Tune. The error is that of an
// endpoint that cannot be read.
func New(o Options) (*Tracer, error) {
	e, err := newExporter(o.Endpoint)
	if err != nil {
		return nil, err
	}
	return &Tracer{
		random: o.Random, spans: make(chan *Span, maxQueued), export: e,
		resource: appendResource(nil, o.Resource), log: o.Log,
	}, nil
}

// Tune takes over the share of traces begun here that are sampled, in percent,
// 0..100. Traces begun elsewhere are sampled as their beginner decided, except
// at 0, where nothing is.
func (t *Tracer) Tune(samplePercent float64) {
	if t == nil {
		return
	}
	share := samplePercent / 100 * (1 << 63)
	if samplePercent > 0 {
		share = max(share, 1)
	}
	t.share.Store(uint64(min(share, 1<<63)))
}

// Counts returns the counters.
func (t *Tracer) Counts() Counts {
	if t == nil {
		return Counts{}
	}
	return Counts{t.sent.Load(), t.failed.Load(), t.full.Load()}
}

// Kinds of spans, as OTLP numbers them.
type kind uint64

const (
	kindInternal kind = 1
	kindServer   kind = 2
)

// Start begins the span of a request whose sender's context is parent, or none,
// at a time that may have passed. It is nil when the trace is not sampled.
func (t *Tracer) Start(name string, parent wire.Trace, start time.Time) *Span {
	if t == nil {
		return nil
	}
	share := t.share.Load()
	switch {
	case share == 0, !parent.IsZero() && !parent.Sampled:
		return nil
	case parent.IsZero():
		if t.random()>>1 >= share {
			return nil
		}
		binary.BigEndian.PutUint64(parent.ID[:8], t.random())
		binary.BigEndian.PutUint64(parent.ID[8:], t.random()|1) // an id is never 0
	}
	return t.span(name, kindServer, parent, start)
}

// Under begins a span that an event's context is the parent of, at a time that
// may have passed. It is nil when the context is not sampled.
func (t *Tracer) Under(name string, parent wire.Trace, start time.Time) *Span {
	if t == nil || !parent.Sampled || t.share.Load() == 0 {
		return nil
	}
	return t.span(name, kindInternal, parent, start)
}

func (t *Tracer) span(name string, k kind, parent wire.Trace, start time.Time) *Span {
	s := &Span{tracer: t, name: name, kind: k, parent: parent.Span, start: start, context: wire.Trace{ID: parent.ID, Sampled: true}}
	binary.BigEndian.PutUint64(s.context.Span[:], t.random()|1)
	return s
}

// Span is one piece of work. It belongs to one goroutine until End.
type Span struct {
	tracer     *Tracer
	name       string
	kind       kind
	context    wire.Trace
	parent     [8]byte // zero = it is the first of its trace
	start, end time.Time
	attributes []attribute
	failed     bool
}

type attribute struct {
	key    string
	text   string // where number is none
	number int64
}

const isText = math.MinInt64

// Context is what work that this span causes has as its parent; the zero value
// when it is not sampled.
func (s *Span) Context() wire.Trace {
	if s == nil {
		return wire.Trace{}
	}
	return s.context
}

// Child begins a span below this one.
func (s *Span) Child(name string) *Span {
	if s == nil {
		return nil
	}
	return s.tracer.span(name, kindInternal, s.context, time.Now())
}

// Text adds an attribute. It must hold nothing that is a secret or a client's
// data.
func (s *Span) Text(key, value string) {
	if s != nil {
		s.attributes = append(s.attributes, attribute{key, value, isText})
	}
}

// Number adds an attribute.
func (s *Span) Number(key string, value int64) {
	if s != nil {
		s.attributes = append(s.attributes, attribute{key: key, number: value})
	}
}

// Fail marks the work as failed.
func (s *Span) Fail() {
	if s != nil {
		s.failed = true
	}
}

// End ends the work now. It is called once.
func (s *Span) End() { s.EndAt(time.Now()) }

// EndAt is End at a time that has passed.
func (s *Span) EndAt(end time.Time) {
	if s == nil {
		return
	}
	s.end = end
	select {
	case s.tracer.spans <- s:
	default:
		s.tracer.full.Add(1)
	}
}
