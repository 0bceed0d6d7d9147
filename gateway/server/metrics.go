package server

import (
	"math"
	"time"

	"github.com/streamgateway/streamgateway/gateway/breaker"
	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/fanout"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/report"
	"github.com/streamgateway/streamgateway/gateway/transport"
)

// metrics fills the JSON that clients may read.
func (s *Server) metrics() transport.Metrics {
	stats, past := s.engine.Stats(), s.history.oldest()
	now := s.sampleOf(stats)
	m := transport.Metrics{
		Version: transport.Protocol, Time: time.Now().UnixMilli(), Scope: "pod", Pod: s.options.Pod,
		UptimeSeconds: int64(time.Since(s.start).Seconds()),
	}
	s.fillStreams(&m, stats)
	s.fillEvents(&m, stats, now, past)
	s.fillLog(&m, stats)
	minute := now.browsers.since(past.browsers)
	fillBrowsers(&m, now.browsers, minute)
	s.fillHealth(&m, stats, minute)
	return m
}

func (s *Server) fillStreams(m *transport.Metrics, stats engine.Stats) {
	_, peak, rejected := s.streams.Counts()
	m.RateLimit.Connect, m.RateLimit.Delivery = s.streams.Refused().Rate, stats.Slow.Held
	m.RateLimit.Publish, m.RateLimit.Patch = s.publish.RateLimited(), s.sessions.RateLimited()
	c := &m.Connections
	c.Active, c.Peak, c.Total = stats.Connections.Active, peak, stats.Connections.Opened
	c.Rejected, c.Closed, c.Slow = rejected+s.gate.Refused(), stats.Connections.Closed, stats.Slow.Now
	c.LongPoll = stats.Connections.Polls
	c.ByEncoding.Identity, c.ByEncoding.Gzip = c.Active-stats.Connections.Gzip, stats.Connections.Gzip
	u := &m.Subscriptions
	u.Active, u.Channels = stats.Subscriptions.Active, stats.Subscriptions.Channels
	u.Patterns, u.Groups = stats.Subscriptions.Patterns, stats.Subscriptions.Groups
	b := &m.Backpressure
	b.SlowDetected, b.Gaps, b.GapEvents = stats.Slow.Detected, stats.Slow.Gaps, stats.Slow.GapEvents
	b.Conflated, b.Disconnected = stats.Slow.Conflated, stats.Slow.Disconnected
	b.MaxLagEvents, b.MaxLagMs, b.QueueBytes = stats.Slow.MaxLagEvents, stats.Slow.MaxLagMs, stats.Slow.QueueBytes
}

func (s *Server) fillEvents(m *transport.Metrics, stats engine.Stats, now, past sample) {
	published := s.publish.Counts()
	e := &m.Events
	e.Published, e.PublishRejected, e.DuplicatesSuppressed = published.Events, published.Rejected, published.Duplicates
	e.Delivered, e.Skipped = stats.Events.Delivered, stats.Events.Dropped
	if seconds := now.at.Sub(past.at).Seconds(); seconds > 0 {
		e.PublishRate = round(float64(now.published-past.published)/seconds, 1)
		e.DeliverRate = round(float64(now.delivered-past.delivered)/seconds, 1)
	}
	running, _ := s.config.now()
	tuning := tuningOf(running.revision.Hot, s.flags.Load())
	b := &m.Batching
	b.WindowMs, b.MaxEvents = tuning.Batching.Window.Milliseconds(), tuning.Batching.MaxEvents
	b.Batches, b.LeadingEdge = stats.Batches.Batches, stats.Batches.LeadingEdge
	b.ClosedBy.Time, b.ClosedBy.Count = stats.Batches.ByTime, stats.Batches.ByCount
	b.ClosedBy.Bytes, b.ClosedBy.Flush = stats.Batches.ByBytes, stats.Batches.ByFlush
	if b.Batches > 0 {
		b.AvgEvents = round(float64(stats.Batches.Events)/float64(b.Batches), 2)
	}
	b.P95Events = sizeQuantile(now.sizes, past.sizes, 0.95)
	l := &m.LatencyMs.PublishToWrite
	minute := now.latency.Since(past.latency)
	if n := minute.Count(); n > 0 {
		l.Avg = round(minute.Sum/float64(n)*1000, 3)
	}
	l.P50, l.P95, l.P99 = ms(minute, 0.5), ms(minute, 0.95), ms(minute, 0.99)
	z := &m.Compression
	z.RawBytes, z.SentBytes, z.SharedWrites, z.Ratio = stats.Bytes.Raw, stats.Bytes.Sent, stats.Bytes.Shared, 1
	z.Blocks = stats.Bytes.Compressed
	if z.RawBytes > 0 {
		z.Ratio = round(float64(z.SentBytes)/float64(z.RawBytes), 3)
	}
}

func (s *Server) fillLog(m *transport.Metrics, stats engine.Stats) {
	running, _ := s.config.now()
	r := &m.Replay
	r.BufferSeconds = int64(running.revision.Hot.Replay.TTL.Seconds())
	r.HeldSeconds, r.Events, r.Bytes = int64(stats.Ring.Held.Seconds()), stats.Ring.Events, stats.Ring.Bytes
	r.Oldest = wire.Cursor{Epoch: stats.Head.Epoch, Seq: stats.Ring.First}.String()
	r.Head = stats.Head.String()
	r.Resumes.Fresh, r.Resumes.Complete = stats.Resumes.Fresh, stats.Resumes.Complete
	r.Resumes.Partial, r.Resumes.Reset = stats.Resumes.Partial, stats.Resumes.Reset
	r.ReplayedEvents = stats.Events.Replayed
	c := &m.Cleanup
	c.Runs, c.EvictedEvents = stats.Ring.Evictions, stats.Ring.EvictedAge+stats.Ring.EvictedBytes+stats.Ring.EvictedMemory
	c.FoldedChannels, c.LastRun = stats.Ring.FoldedChannels, s.alive.at.Load().UnixMilli()
	b := &m.Broker
	circuit := s.guard.breaker.Stats()
	log := s.logState()
	b.Kind, b.Connected = s.kind, circuit.State == breaker.Closed && log.Connected
	b.LagEvents, b.Repairs = log.Lag, log.Repairs
	b.Durability, b.Epoch = s.info.Durability.String(), s.info.Epoch
	m.CircuitBreaker.State, m.CircuitBreaker.Opened = circuit.State.String(), circuit.Opened
	if circuit.Opened > 0 {
		ms := circuit.LastOpened.UnixMilli()
		m.CircuitBreaker.LastOpened = &ms
	}
}

// fillBrowsers tells what pages report; the reports count since the start.
func fillBrowsers(m *transport.Metrics, all, minute browserTotals) {
	b := &m.LatencyMs.Browser
	b.Reports, b.P95 = all.reports, ms(minute.latency, 0.95)
	if n := minute.latency.Count(); n > 0 {
		b.Avg = round(minute.average/float64(n)*1000, 3)
	}
}

func (s *Server) fillHealth(m *transport.Metrics, stats engine.Stats, pages browserTotals) {
	flags := s.flags.Load()
	m.Flags.Rev = flags.revision
	m.Flags.Values = flags.values()
	if _, set := m.Flags.Values["zstd"]; !set {
		m.Flags.Values["zstd"] = false // the shape names it, and nothing here acts on it
	}
	m.Health.Status, m.Health.Reasons = "ok", []string{}
	if m.CircuitBreaker.State != report.CircuitClosed {
		m.Health.Status, m.Health.Reasons = "degraded", append(m.Health.Reasons, "circuit-open")
	}
	if s.memory.stage() >= stageRefuse {
		m.Health.Status, m.Health.Reasons = "degraded", append(m.Health.Reasons, "memory")
	}
	if stats.Ring.Short {
		m.Health.Status, m.Health.Reasons = "degraded", append(m.Health.Reasons, "replay-short")
	}
	if slugs := pages.reasons(); len(slugs) > 0 {
		m.Health.Status, m.Health.Reasons = "degraded", append(m.Health.Reasons, slugs...)
	}
	s.fillAudit(m)
}

// fillAudit tells what the auditor found.
func (s *Server) fillAudit(m *transport.Metrics) {
	a := s.auditReport()
	if a == nil {
		return
	}
	now := time.Now()
	n := &m.Health.NoLoss
	n.Verified, n.Checked, n.Lost = a.Verified(now), a.Checked, a.Lost
	if !a.LastProof.IsZero() {
		n.LastAudit = a.LastProof.UnixMilli()
	}
	switch {
	case a.Broken(now):
		m.Health.Status, m.Health.Reasons = "failing", append(m.Health.Reasons, "audit-failed")
	case a.Stale(now, s.start):
		m.Health.Status, m.Health.Reasons = "degraded", append(m.Health.Reasons, "audit-stale")
	}
}

func ms(h report.Histogram, q float64) float64 { return round(h.Quantile(q)*1000, 3) }

func round(v float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(v*scale) / scale
}

// sizeQuantile is the upper bound, in events, of the bucket that holds the
// q-th batch of those between two samples; 0 without any.
func sizeQuantile(now, past []uint64, q float64) int {
	bounds := fanout.SizeBounds()
	var total uint64
	for i := range now {
		total += now[i] - past[i]
	}
	rank, below := q*float64(total), uint64(0)
	for i := range now {
		below += now[i] - past[i]
		if total > 0 && float64(below) >= rank {
			return bounds[min(i, len(bounds)-1)]
		}
	}
	return 0
}
