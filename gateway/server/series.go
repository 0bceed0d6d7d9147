package server

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamgateway/streamgateway/gateway/audit"
	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/breaker"
	"github.com/streamgateway/streamgateway/gateway/broker/jetstream"
	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/fanout"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/transport"
)

// Collect writes every series that docs/metrics.md lists.
func (c collector) Collect(out chan<- prometheus.Metric) {
	stats := c.s.engine.Stats()
	w := writer{out, c.s.start}
	w.streams(stats, c.s)
	w.events(stats, c.s)
	w.resumes(stats)
	w.batches(stats)
	w.bytes(stats.Bytes)
	w.log(stats)
	w.broker(c.s.kind, c.s.logState())
	w.slow(stats.Slow)
	w.segments(stats.Segments)
	w.auth(c.s.publisher.Counts().Plus(c.s.subscriber.Counts()))
	w.browsers(c.s)
	w.circuit(c.s.guard.breaker.Stats())
	w.audit(c.s.audited())
	w.memory(c.s.memory)
	w.loops(c.s.sampleOf(stats), c.s.history.oldest())
	w.others(c.s)
}

func (w writer) streams(stats engine.Stats, s *Server) {
	c, refused := stats.Connections, s.streams.Refused()
	const open = "Open streams, and polls that wait."
	w.gauge("sg_connections", open, float64(c.Active-c.Gzip-c.Polls), "transport", "sse", "encoding", "identity")
	w.gauge("sg_connections", open, float64(c.Gzip), "transport", "sse", "encoding", "gzip")
	w.gauge("sg_connections", open, float64(c.Polls), "transport", "poll", "encoding", "identity")
	const opened = "Streams opened, and polls let in."
	w.counter("sg_connections_opened_total", opened, c.Opened, "transport", "sse")
	w.counter("sg_connections_opened_total", opened, s.sse.Polls(), "transport", "poll")
	w.counters("sg_connections_closed_total", "Streams closed.", "reason", c.Ended,
		fanout.ReasonClient, fanout.ReasonError, fanout.ReasonTimeout, fanout.ReasonAge, wire.EndDrain, wire.EndSlow)
	const rejected = "Streams and polls refused."
	w.counter("sg_connections_rejected_total", rejected, refused.Streams, "reason", "limit")
	w.counter("sg_connections_rejected_total", rejected, refused.Rate, "reason", "rate")
	w.counter(limited, limitedHelp, refused.Rate, "limit", "connect")
	w.counter(limited, limitedHelp, s.sessions.RateLimited(), "limit", "patch")
	w.counter("sg_connections_rejected_total", rejected, refused.Memory, "reason", "memory")
	w.counter("sg_connections_rejected_total", rejected, s.gate.Refused(), "reason", "handshakes")
	w.counters("sg_sessions_patched_total", "Changes of the subscriptions of running streams.", "result", s.sessions.Patched(),
		transport.PatchDone, transport.KindSessionGone)
	w.gauge("sg_subscriptions", "Subscriptions of open streams.", float64(stats.Subscriptions.Channels), "kind", "channel")
	w.gauge("sg_subscriptions", "Subscriptions of open streams.", float64(stats.Subscriptions.Patterns), "kind", "pattern")
	w.gauge("sg_groups", "Distinct sets of subscriptions and format.", float64(stats.Subscriptions.Groups))
	w.gauge("sg_channels", "Channels that the log knows.", float64(stats.Ring.Channels))
}

const limited, limitedHelp = "sg_rate_limited_total", "Times that a rate held something back or refused it."

func (w writer) events(stats engine.Stats, s *Server) {
	published := s.publish.Counts()
	w.counter("sg_events_published_total", "Events appended.", published.Events, "durability", s.info.Durability.String())
	w.counters("sg_publish_rejected_total", "Publish requests refused, by the kind of the problem.", "reason", s.publish.Refused(),
		transport.KindUnauthenticated, transport.KindChannelDenied, transport.KindInvalidEvent, transport.KindOverload, transport.KindBrokerUnavailable)
	w.counter(limited, limitedHelp, s.publish.RateLimited(), "limit", "publish")
	w.counter("sg_publish_duplicates_total", "Events that the log had already.", published.Duplicates)
	w.counter("sg_events_delivered_total", "Deliveries: one event to one stream.", stats.Events.Delivered)
	w.counter("sg_events_delivery_failed_total", "Deliveries that were under way when their stream broke.", stats.Events.Failed)
	w.counter("sg_events_skipped_total", "Deliveries left out.", stats.Events.Dropped, "reason", "slow")
	w.latency("sg_publish_to_write_seconds", "Time from an event's arrival in this pod's log to the last byte handed to the socket.", latencyOf(stats), s.tracing.written.Load())
}

func (w writer) resumes(stats engine.Stats) {
	const name, help = "sg_resumes_total", "Streams by how they began."
	w.counter(name, help, stats.Resumes.Fresh, "result", wire.ResumeFresh)
	w.counter(name, help, stats.Resumes.Complete, "result", wire.ResumeComplete)
	w.counter(name, help, stats.Resumes.Partial, "result", wire.ResumePartial)
	w.counter(name, help, stats.Resumes.Reset, "result", wire.ResumeReset)
	w.counter("sg_replayed_events_total", "Events delivered while clients caught up with their own past.", stats.Events.Replayed)
	w.counters("sg_resets_total", "Notices to a stream that a state has to be loaded anew.", "reason", stats.Resumes.Resets,
		wire.ResetEvicted, wire.ResetUnprovable, wire.ResetEpoch, wire.ResetFuture, wire.ResetMalformed, wire.ResetLogHole)
}

func (w writer) batches(stats engine.Stats) {
	b := stats.Batches
	w.histogram("sg_batch_events", "Events of one batch.", b.Sizes[:], float64(b.Events), sizeBounds())
	w.counters("sg_batch_flush_total", "Batches by what ended their wait.", "cause", map[string]uint64{
		"leading-edge": b.LeadingEdge, "time": b.ByTime, "count": b.ByCount, "bytes": b.ByBytes, "flush": b.ByFlush,
	})
	w.counter("sg_coalesced_parts_total", "Events merged into a later one, once for each batch they were encoded in.", b.Merged)
}

func sizeBounds() (bounds []float64) {
	for _, n := range fanout.SizeBounds() {
		bounds = append(bounds, float64(n))
	}
	return bounds
}

func (w writer) bytes(b fanout.ByteStats) {
	for _, of := range []struct {
		encoding          string
		writes, sent, raw uint64
	}{
		{"identity", b.Writes - b.GzipWrites, b.Sent - b.GzipSent, b.Raw - b.GzipRaw},
		{"gzip", b.GzipWrites, b.GzipSent, b.GzipRaw},
	} {
		w.counter("sg_write_calls_total", "Writes to sockets.", of.writes, "encoding", of.encoding)
		w.counter("sg_sent_bytes_total", "Bytes of events and controls sent.", of.sent, "encoding", of.encoding)
		w.counter("sg_raw_bytes_total", "Bytes of events and controls before compression.", of.raw, "encoding", of.encoding)
	}
	w.counter("sg_blocks_compressed_total", "Batches compressed; each is shared by the streams that need the same.", b.Compressed, "encoding", "gzip")
}

func (w writer) log(stats engine.Stats) {
	w.gauge("sg_ring_events", "Events that clients can still be given.", float64(stats.Ring.Events))
	w.gauge("sg_ring_bytes", "Memory of these events.", float64(stats.Ring.Bytes))
	w.gauge("sg_ring_held_seconds", "Age of the oldest of them.", stats.Ring.Held.Seconds())
	w.counter("sg_ring_evicted_total", "Events dropped.", stats.Ring.EvictedAge, "cause", "age")
	w.counter("sg_ring_evicted_total", "Events dropped.", stats.Ring.EvictedBytes, "cause", "bytes")
	w.counter("sg_ring_evicted_total", "Events dropped.", stats.Ring.EvictedMemory, "cause", "memory")
}

func (w writer) broker(kind string, log jetstream.Stats) {
	connected := 0.0
	if log.Connected {
		connected = 1
	}
	w.gauge("sg_log_connected", "Whether there is a connection to the log's servers: 1 = yes, or the log is this pod's own.", connected, "broker", kind)
	w.counter("sg_log_reconnects_total", "Times that the connection to the log's servers was made anew.", log.Reconnects, "broker", kind)
	w.counter("sg_log_repairs_total", "Times that this pod had to ask the log again for what comes next.", log.Repairs, "broker", kind)
	w.gauge("sg_log_tail_lag_events", "Events of the log that have not come to this pod yet.", float64(log.Lag), "broker", kind)
}

func (w writer) segments(s fanout.SegmentStats) {
	const name, help = "sg_segment_cache_total", "Streams that were behind and found the bytes they needed made already, or not."
	w.counter(name, help, s.Hits, "hit", "true")
	w.counter(name, help, s.Misses, "hit", "false")
}

func (w writer) slow(s fanout.SlowStats) {
	w.gauge("sg_slow_connections", "Streams over half of a queue limit.", float64(s.Now))
	w.counter("sg_slow_detected_total", "Times that a stream went over half of a queue limit.", s.Detected)
	w.counters("sg_gaps_total", "Gap notices.", "reason", s.GapsBy, wire.GapSlow, wire.GapRate, wire.GapConflate)
	w.counter(limited, limitedHelp, s.Held, "limit", "delivery")
	w.histogram("sg_lag_events", "Events that a stream was behind when a batch found its socket busy.", s.Lags[:], float64(s.LagsSum), sizeBounds())
}

func (w writer) auth(counts auth.Counts) {
	const name, help = "sg_auth_total", "Requests by what their credential was worth; those of everybody are not counted."
	for method, r := range map[string]auth.Results{"kubernetes": counts.Kubernetes, "jwt": counts.JWT, "ticket": counts.Ticket} {
		w.counter(name, help, r.Allowed, "method", method, "result", "allowed")
		w.counter(name, help, r.Unauthenticated, "method", method, "result", "unauthenticated")
		w.counter(name, help, r.Denied, "method", method, "result", "denied")
		w.counter(name, help, r.Unavailable, "method", method, "result", "unavailable")
	}
}

func (w writer) audit(found audit.State) {
	w.counter("sg_audit_checked_total", "Events that the gateway published to itself and read back.", found.Checked)
	w.counter("sg_audit_lost_total", "Of those, events that were lost without a word, came twice or out of order.", found.Lost)
	last := 0.0
	if !found.LastProof.IsZero() {
		last = float64(found.LastProof.UnixMilli()) / 1000
	}
	w.gauge("sg_audit_last_success_timestamp_seconds", "When an event was read back last; 0 = never.", last)
}

func (w writer) browsers(s *Server) {
	told := s.browsers.now()
	w.latency("sg_browser_latency_seconds", "What pages report as the 95th percentile of their events' latency, from the log to a handler.", told.latency, nil)
	w.counter("sg_client_reports_total", "Reports of pages.", told.reports)
	w.counter("sg_client_buffering_reports_total", "Reports of pages behind a proxy that holds streams back.", told.buffering)
	w.counter(limited, limitedHelp, s.beacon.Dropped(), "limit", "beacon")
	w.counter(limited, limitedHelp, s.doors.RateLimited(), "limit", "time")
	w.counter(limited, limitedHelp, s.ticketing.RateLimited(), "limit", "tickets")
	w.counters("sg_tickets_total", "Tickets asked for.", "result", s.ticketing.Made(),
		string(auth.TicketQuery), string(auth.TicketCookie), transport.KindUnauthenticated, transport.KindChannelDenied)
}

func (w writer) circuit(stats breaker.Stats) {
	w.gauge("sg_breaker_state", "The circuit breaker towards the log: 0 = closed, 1 = half-open, 2 = open.", float64(stats.State))
	w.counter("sg_breaker_opened_total", "Times that the circuit breaker opened; one for each outage.", stats.Opened)
}

func (w writer) memory(a *account) {
	u := a.last.Load()
	const name, help = "sg_memory_bytes", "Live memory by what it is for; sockets are the kernel's."
	w.gauge(name, help, float64(u.ring), "class", "ring")
	w.gauge(name, help, float64(u.segments), "class", "segments")
	w.gauge(name, help, float64(u.dedup), "class", "dedup")
	w.gauge(name, help, float64(u.sockets), "class", "sockets")
	w.gauge(name, help, float64(u.rest), "class", "rest")
	w.gauge("sg_memory_budget_bytes", "Memory that may be used; at 90 % of it new streams are refused. 0 = not limited.", float64(a.budget))
}

// loops tells how busy each loop was in the last minute.
func (w writer) loops(now, past sample) {
	span := now.at.Sub(past.at).Seconds()
	for i := range min(len(now.busy), len(past.busy)) {
		share := 0.0
		if span > 0 {
			share = min((now.busy[i]-past.busy[i]).Seconds()/span, 1)
		}
		w.gauge("sg_loop_busy_ratio", "Share of the last minute that a loop has worked.", share, "loop", strconv.Itoa(i))
	}
}

func (w writer) others(s *Server) {
	w.counter("sg_origin_denied_total", "Requests of pages whose origin is not allowed.", s.doors.OriginDenied())
	spans := s.tracing.tracer.Counts()
	w.counters("sg_spans_total", "Spans of sampled events.", "result", map[string]uint64{"sent": spans.Sent, "failed": spans.Failed, "full": spans.Full})
	w.gauge("sg_build_info", "The version that runs.", 1, "version", s.options.Version)
	for name, on := range s.flags.Load().values() {
		state := "off"
		if on {
			state = "on"
		}
		w.gauge("sg_flag_info", "Feature flags; on = for every stream.", 1, "flag", name, "state", state)
	}
}
