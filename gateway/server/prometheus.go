package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/streamgateway/streamgateway/gateway/report"
)

// registry holds all metrics of this process, as docs/metrics.md lists them. No
// label holds a channel, a tenant, a subject or an address.
func (s *Server) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		s.histograms.ack, s.histograms.cleanup,
		collector{s},
	)
	return r
}

// histograms are those that are observed where things happen; all other
// metrics are read off the rooms' own counters.
type histograms struct {
	broker  string // kind of the log
	ack     *prometheus.HistogramVec
	cleanup prometheus.Histogram
}

func newHistograms() histograms {
	return histograms{
		ack: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sg_publish_ack_seconds", Help: "Time from the decoded publish request to the log's acknowledgement.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		}, []string{"broker"}),
		cleanup: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sg_cleanup_seconds", Help: "Time of one round of the janitor, which comes once a second.",
			Buckets: prometheus.ExponentialBuckets(0.00001, 10, 6),
		}),
	}
}

// collector reads the rooms' counters at each scrape, so that counting costs
// the hot path nothing.
type collector struct{ s *Server }

// Describe leaves the collector unchecked: what it sends depends on reasons and
// names that come up.
func (collector) Describe(chan<- *prometheus.Desc) {}

// writer names metrics as it writes them.
type writer struct {
	out   chan<- prometheus.Metric
	since time.Time // when counting began
}

func describe(name, help string, labels []string) *prometheus.Desc {
	constant := prometheus.Labels{}
	for i := 0; i < len(labels); i += 2 {
		constant[labels[i]] = labels[i+1]
	}
	return prometheus.NewDesc(name, help, nil, constant)
}

// gauge writes a state. labels are pairs of name and value.
func (w writer) gauge(name, help string, value float64, labels ...string) {
	w.out <- prometheus.MustNewConstMetric(describe(name, help, labels), prometheus.GaugeValue, value)
}

// counter writes what has been counted since the start.
func (w writer) counter(name, help string, value uint64, labels ...string) {
	w.out <- prometheus.MustNewConstMetricWithCreatedTimestamp(describe(name, help, labels), prometheus.CounterValue, float64(value), w.since)
}

// counters writes one counter for each word that came up, and zeros for those
// that are known, so that the first one of them is seen as an increase.
func (w writer) counters(name, help, label string, values map[string]uint64, known ...string) {
	for word, n := range values {
		w.counter(name, help, n, label, word)
	}
	for _, word := range known {
		if _, ok := values[word]; !ok {
			w.counter(name, help, 0, label, word)
		}
	}
}

// histogram writes counts by bucket; bounds are the upper ones, and counts has
// one more.
func (w writer) histogram(name, help string, counts []uint64, sum float64, bounds []float64, exemplars ...prometheus.Exemplar) {
	buckets, below := map[float64]uint64{}, uint64(0)
	for i, n := range counts {
		below += n
		if i < len(bounds) {
			buckets[bounds[i]] = below
		}
	}
	m := prometheus.MustNewConstHistogramWithCreatedTimestamp(describe(name, help, nil), below, sum, buckets, w.since)
	if len(exemplars) > 0 {
		m = prometheus.MustNewMetricWithExemplars(m, exemplars...)
	}
	w.out <- m
}

// latency writes a report.Histogram at every fourth bound: 1 ms, 2 ms, 4 ms and
// so on up to 16 s. The counts stay exact. newest leads to a trace; nil = none.
func (w writer) latency(name, help string, h report.Histogram, newest *prometheus.Exemplar) {
	const first, step, last = 4, 4, 60
	var counts []uint64
	var bounds []float64
	sum := uint64(0)
	for i, n := range h.Counts {
		sum += n
		if i >= first && i <= last && (i-first)%step == 0 {
			counts, bounds, sum = append(counts, sum), append(bounds, report.Bound(i)), 0
		}
	}
	for i := first + step*len(bounds); i <= last; i += step {
		counts, bounds, sum = append(counts, sum), append(bounds, report.Bound(i)), 0
	}
	var exemplars []prometheus.Exemplar
	if newest != nil {
		exemplars = append(exemplars, *newest)
	}
	w.histogram(name, help, append(counts, sum), h.Sum, bounds, exemplars...)
}
