package server

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/report"
)

const (
	janitorPeriod = time.Second
	samplePeriod  = 5 * time.Second
	historySpan   = time.Minute
	// stuckAfter is when a pod whose janitor does not come back counts as
	// dead: then its engine holds a lock for ever, and only a restart helps.
	stuckAfter = 30 * time.Second
)

// janitor cleans up and takes samples until ctx ends.
func (s *Server) janitor(ctx context.Context) {
	s.history.add(s.sample())
	every(ctx, janitorPeriod, func() {
		began := time.Now()
		s.engine.Evict()
		s.publish.Sweep()
		s.sessions.Sweep()
		s.beacon.Sweep()
		s.doors.Sweep()
		s.ticketing.Sweep()
		s.browsers.sweep(2 * s.flags.Load().beaconInterval)
		s.histograms.cleanup.Observe(time.Since(began).Seconds())
		s.weigh()
		if time.Since(s.history.newest()) >= samplePeriod {
			s.history.add(s.sample())
		}
		s.alive.beat()
	})
}

// pulse tells whether the janitor still comes round.
type pulse struct{ at atomic.Pointer[time.Time] }

func (p *pulse) beat() {
	now := time.Now()
	p.at.Store(&now)
}

func (p *pulse) stuck() bool { return time.Since(*p.at.Load()) > stuckAfter }

// sample is what rates and percentiles of the last minute are made from.
type sample struct {
	at                   time.Time
	published, delivered uint64
	active               int // streams
	latency              report.Histogram
	sizes                []uint64
	busy                 []time.Duration // by loop
	browsers             browserTotals
}

func (s *Server) sample() sample { return s.sampleOf(s.engine.Stats()) }

func (s *Server) sampleOf(stats engine.Stats) sample {
	return sample{
		at: time.Now(), published: s.publish.Counts().Events, delivered: stats.Events.Delivered,
		active:  stats.Connections.Active,
		latency: latencyOf(stats), sizes: slices.Clone(stats.Batches.Sizes[:]), busy: stats.Busy,
		browsers: s.browsers.now(),
	}
}

// history holds the samples of the last minute.
type history struct {
	mu      sync.Mutex
	samples []sample // oldest first, at least one
}

func (h *history) add(s sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.samples = append(h.samples, s)
	for len(h.samples) > 1 && s.at.Sub(h.samples[0].at) > historySpan {
		h.samples = slices.Delete(h.samples, 0, 1)
	}
}

func (h *history) newest() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.samples[len(h.samples)-1].at
}

func (h *history) all() []sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.samples)
}

func (h *history) oldest() sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.samples[0]
}
