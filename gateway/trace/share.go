package trace

import (
	"encoding/binary"
	"sync/atomic"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// share samples traces that begin here by a share that changes while it runs, and
// the others as their beginner decided. The SDK's own samplers are made once.
type share struct{ of atomic.Uint64 } // of 2^63; 0 = nothing is sampled

const whole = 1 << 63

func (s *share) set(percent float64) {
	of := percent / 100 * whole
	if percent > 0 {
		of = max(of, 1)
	}
	s.of.Store(uint64(min(of, whole)))
}

func (s *share) none() bool { return s.of.Load() == 0 }

// ShouldSample decides when a span begins.
func (s *share) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	sampled := parent.IsSampled()
	if !parent.IsValid() {
		sampled = binary.BigEndian.Uint64(p.TraceID[8:])>>1 < s.of.Load()
	}
	result := sdk.SamplingResult{Decision: sdk.Drop, Tracestate: parent.TraceState()}
	if sampled {
		result.Decision = sdk.RecordAndSample
	}
	return result
}

// Description names it.
func (s *share) Description() string { return "a share that changes" }
