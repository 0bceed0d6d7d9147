package server

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/fanout"
	"github.com/streamgateway/streamgateway/gateway/report"
	"github.com/streamgateway/streamgateway/gateway/transport"
)

// registry holds all metrics of this process. No label holds a channel, a
// subject or an address.
func (s *Server) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		s.ackSeconds,
		collector{s},
	)
	return r
}

// newAckSeconds is the one histogram that is observed and not read off.
func newAckSeconds() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "sg_publish_ack_seconds", Help: "Time from the decoded publish request to the log's acknowledgement.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
	}, []string{"broker"})
}

// collector reads the engine's own counters at each scrape, so that counting
// costs the hot path nothing.
type collector struct{ s *Server }

// Describe leaves the collector unchecked: what it sends depends on reasons and
// names that come up.
func (collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	stats := c.s.engine.Stats()
	w := writer{out}
	w.streams(stats, c.s)
	w.events(stats, c.s.publish.Counts(), c.s.info.Durability.String())
	w.batches(stats)
	w.log(stats)
	w.slow(stats)
	w.others(c.s)
}

// writer names metrics as it writes them.
type writer struct{ out chan<- prometheus.Metric }

// labels are pairs of name and value.
func (w writer) write(kind prometheus.ValueType, name, help string, value float64, labels ...string) {
	w.out <- prometheus.MustNewConstMetric(describe(name, help, labels), kind, value)
}

func describe(name, help string, labels []string) *prometheus.Desc {
	constant := prometheus.Labels{}
	for i := 0; i < len(labels); i += 2 {
		constant[labels[i]] = labels[i+1]
	}
	return prometheus.NewDesc(name, help, nil, constant)
}

func (w writer) gauge(name, help string, value float64, labels ...string) {
	w.write(prometheus.GaugeValue, name, help, value, labels...)
}

func (w writer) counter(name, help string, value uint64, labels ...string) {
	w.write(prometheus.CounterValue, name, help, float64(value), labels...)
}

func (w writer) streams(stats engine.Stats, s *Server) {
	refused := s.streams.Refused()
	plain := stats.Connections.Active - stats.Connections.Gzip
	w.gauge("sg_connections", "Open streams.", float64(plain), "transport", "sse", "encoding", "identity")
	w.gauge("sg_connections", "Open streams.", float64(stats.Connections.Gzip), "transport", "sse", "encoding", "gzip")
	w.counter("sg_connections_opened_total", "Streams opened.", stats.Connections.Opened, "transport", "sse")
	for reason, n := range stats.Connections.Ended {
		w.counter("sg_connections_closed_total", "Streams closed.", n, "reason", reason)
	}
	w.counter("sg_connections_rejected_total", "Streams refused.", refused.Streams, "reason", "limit")
	w.counter("sg_connections_rejected_total", "Streams refused.", refused.Rate, "reason", "rate")
	w.counter("sg_connections_rejected_total", "Streams refused.", refused.Memory, "reason", "memory")
	w.gauge("sg_subscriptions", "Subscriptions of open streams.", float64(stats.Subscriptions.Channels), "kind", "channel")
	w.gauge("sg_subscriptions", "Subscriptions of open streams.", float64(stats.Subscriptions.Patterns), "kind", "pattern")
	w.gauge("sg_groups", "Distinct sets of subscriptions and format.", float64(stats.Subscriptions.Groups))
	w.gauge("sg_channels", "Channels that the log knows.", float64(stats.Ring.Channels))
	w.counter("sg_resumes_total", "Streams by how they began.", stats.Resumes.Fresh, "result", "fresh")
	w.counter("sg_resumes_total", "Streams by how they began.", stats.Resumes.Complete, "result", "complete")
	w.counter("sg_resumes_total", "Streams by how they began.", stats.Resumes.Partial, "result", "partial")
	w.counter("sg_resumes_total", "Streams by how they began.", stats.Resumes.Reset, "result", "reset")
	w.counter("sg_replayed_events_total", "Events delivered while clients caught up with their own past.", stats.Events.Replayed)
}

func (w writer) events(stats engine.Stats, published transport.PublishCounts, durability string) {
	w.counter("sg_events_published_total", "Events appended.", published.Events, "durability", durability)
	w.counter("sg_publish_rejected_total", "Publish requests refused.", published.Rejected, "reason", "client")
	w.counter("sg_publish_rejected_total", "Publish requests refused.", published.Failed, "reason", "server")
	w.counter("sg_publish_duplicates_total", "Events that the log had already.", published.Duplicates)
	w.counter("sg_events_delivered_total", "Deliveries: one event to one stream.", stats.Events.Delivered)
	w.counter("sg_events_delivery_failed_total", "Deliveries that were under way when their stream broke.", stats.Events.Failed)
	w.counter("sg_events_skipped_total", "Deliveries left out.", stats.Events.Dropped, "reason", "slow")
	w.histogram("sg_publish_to_write_seconds", "Time from an event's arrival in this pod's log to the last byte handed to the socket.", latencyOf(stats))
}

// histogram writes the buckets of report.Histogram at every fourth bound: 1 ms,
// 2 ms, 4 ms and so on up to 16 s. The counts stay exact.
func (w writer) histogram(name, help string, h report.Histogram) {
	const first, step, last = 4, 4, 60
	buckets, below := map[float64]uint64{}, uint64(0)
	for i := range last + 1 {
		if i < len(h.Counts) {
			below += h.Counts[i]
		}
		if i >= first && (i-first)%step == 0 {
			buckets[report.Bound(i)] = below
		}
	}
	w.out <- prometheus.MustNewConstHistogram(describe(name, help, nil), h.Count(), h.Sum, buckets)
}

func (w writer) batches(stats engine.Stats) {
	buckets, below := map[float64]uint64{}, uint64(0)
	for i, bound := range fanout.SizeBounds() {
		below += stats.Batches.Sizes[i]
		buckets[float64(bound)] = below
	}
	w.out <- prometheus.MustNewConstHistogram(describe("sg_batch_events", "Events of one batch.", nil),
		stats.Batches.Batches, float64(stats.Batches.Events), buckets)
	const name, help = "sg_batch_flush_total", "Batches by what ended their wait."
	w.counter(name, help, stats.Batches.LeadingEdge, "cause", "leading-edge")
	w.counter(name, help, stats.Batches.ByTime, "cause", "time")
	w.counter(name, help, stats.Batches.ByCount, "cause", "count")
	w.counter(name, help, stats.Batches.ByBytes, "cause", "bytes")
	w.counter(name, help, stats.Batches.ByFlush, "cause", "flush")
	w.bytes(stats.Bytes)
}

func (w writer) bytes(b fanout.ByteStats) {
	const sent, sentHelp = "sg_sent_bytes_total", "Bytes of events and controls sent."
	const raw, rawHelp = "sg_raw_bytes_total", "Bytes of events and controls before compression."
	w.counter(sent, sentHelp, b.Sent-b.GzipSent, "encoding", "identity")
	w.counter(sent, sentHelp, b.GzipSent, "encoding", "gzip")
	w.counter(raw, rawHelp, b.Raw-b.GzipRaw, "encoding", "identity")
	w.counter(raw, rawHelp, b.GzipRaw, "encoding", "gzip")
	w.counter("sg_blocks_compressed_total", "Batches compressed; each is shared by the streams that need the same.", b.Compressed, "encoding", "gzip")
}

func (w writer) log(stats engine.Stats) {
	w.gauge("sg_ring_events", "Events that clients can still be given.", float64(stats.Ring.Events))
	w.gauge("sg_ring_bytes", "Memory of these events.", float64(stats.Ring.Bytes))
	w.gauge("sg_ring_held_seconds", "Age of the oldest of them.", stats.Ring.Held.Seconds())
	w.counter("sg_ring_evicted_total", "Events dropped.", stats.Ring.EvictedAge, "cause", "age")
	w.counter("sg_ring_evicted_total", "Events dropped.", stats.Ring.EvictedBytes, "cause", "bytes")
}

func (w writer) slow(stats engine.Stats) {
	w.gauge("sg_slow_connections", "Streams over half of a queue limit.", float64(stats.Slow.Now))
	w.counter("sg_slow_detected_total", "Times that a stream went over half of a queue limit.", stats.Slow.Detected)
	w.counter("sg_gaps_total", "Gap notices.", stats.Slow.Gaps, "reason", "slow")
}

func (w writer) others(s *Server) {
	w.auth(s.publisher.Counts())
	u := s.memory.last.Load()
	const memory = "Live memory by what it is for; sockets are the kernel's."
	w.gauge("sg_memory_bytes", memory, float64(u.ring), "class", "ring")
	w.gauge("sg_memory_bytes", memory, float64(u.dedup), "class", "dedup")
	w.gauge("sg_memory_bytes", memory, float64(u.sockets), "class", "sockets")
	w.gauge("sg_memory_bytes", memory, float64(u.rest), "class", "rest")
	w.gauge("sg_memory_budget_bytes", "Memory that may be used; at 90 % of it new streams are refused. 0 = not limited.", float64(s.memory.budget))
	w.gauge("sg_build_info", "The version that runs.", 1, "version", s.options.Version)
	for name, on := range s.flags.Load().values() {
		state := "off"
		if on {
			state = "on"
		}
		w.gauge("sg_flag_info", "Feature flags; on = for every stream.", 1, "flag", name, "state", state)
	}
}

func (w writer) auth(counts auth.Counts) {
	const name, help = "sg_auth_total", "Publish requests by what their credential was worth."
	w.counter(name, help, counts.Allowed, "method", "kubernetes", "result", "allowed")
	w.counter(name, help, counts.Unauthenticated, "method", "kubernetes", "result", "unauthenticated")
	w.counter(name, help, counts.Denied, "method", "kubernetes", "result", "denied")
	w.counter(name, help, counts.Unavailable, "method", "kubernetes", "result", "unavailable")
}
