package server

import (
	"encoding/hex"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/trace"
)

// tracing is what the way of an event from the log to the first socket is
// traced with.
type tracing struct {
	tracer *trace.Tracer // nil = off
	// received is when the records at hand came from the log. It belongs to
	// pump.
	received time.Time
	// written is the newest sampled write, for the histogram of writes.
	written atomic.Pointer[prometheus.Exemplar]
}

func (s *Server) openTracing() error {
	endpoint := s.cold.Observability.Tracing.Endpoint
	if endpoint == "" {
		return nil
	}
	resource := map[string]string{
		"service.name": "streamgateway", "service.version": s.options.Version, "service.instance.id": s.options.Pod,
	}
	if g := s.cold.Gateway; g.Name != "" {
		resource["service.name"], resource["service.namespace"] = g.Name, g.Namespace
	}
	tracer, err := trace.New(trace.Options{Endpoint: endpoint, Resource: resource, Log: s.log})
	if err != nil {
		return fmt.Errorf("opening tracing: %w", err)
	}
	s.tracing.tracer = tracer
	return nil
}

func (s *Server) tuneTracing(o config.Observability) { s.tracing.tracer.Tune(o.Tracing.SamplePercent) }

// stored traces sampled records: how long they took into the ring, and from
// there to the first socket. The engine calls it before any stream has them.
func (s *Server) stored(records []wire.Record) {
	for i := range records {
		r := &records[i]
		if !r.Trace.Sampled {
			continue
		}
		parent := r.Trace
		span := s.tracing.tracer.Under("ring", parent, s.tracing.received)
		if span == nil {
			continue // traced by others only
		}
		span.End()
		stored := time.Now()
		s.engine.Watch(r.Seq, r.Channel, func() {
			span := s.tracing.tracer.Under("first write", parent, stored)
			if span == nil {
				return
			}
			now := time.Now()
			span.EndAt(now)
			s.tracing.written.Store(&prometheus.Exemplar{Value: now.Sub(stored).Seconds(), Labels: exemplarOf(parent), Timestamp: now})
		})
	}
}

// exemplarOf leads from a histogram to a trace.
func exemplarOf(t wire.Trace) prometheus.Labels {
	return prometheus.Labels{"trace_id": hex.EncodeToString(t.ID[:])}
}

// acknowledged observes how long an append took.
func (h *histograms) acknowledged(took time.Duration, t wire.Trace) {
	observer := h.ack.WithLabelValues(h.broker)
	if !t.Sampled {
		observer.Observe(took.Seconds())
	} else if with, ok := observer.(prometheus.ExemplarObserver); ok {
		with.ObserveWithExemplar(took.Seconds(), exemplarOf(t))
	}
}
