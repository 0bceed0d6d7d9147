package fanout

import (
	"slices"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// counters are a loop's own. They are plain numbers, because they are read
// inside the loop as well.
type counters struct {
	writes        int
	active        int // streams, state
	slow          int // state
	subscriptions int // state

	opens, closes, lost        uint64
	ended                      map[string]uint64
	resumes                    ResumeStats
	resets                     uint64
	delivered, failed, dropped uint64
	replayed                   uint64
	batches                    BatchStats
	latency                    []uint64
	latencySum                 uint64 // nanoseconds
	slowDetected, disconnected uint64
	gaps, gapEvents, conflated uint64
	sent, shared, blocks       uint64
}

func (n *counters) opened(p *plan) {
	n.opens++
	n.resets += uint64(len(p.resets))
	switch p.resume {
	case wire.ResumeFresh:
		n.resumes.Fresh++
	case wire.ResumeComplete:
		n.resumes.Complete++
	case wire.ResumePartial:
		n.resumes.Partial++
	case wire.ResumeReset:
		n.resumes.Reset++
	}
}

// closed counts the end of a stream that had events on their way.
func (n *counters) closed(reason string, events int) {
	n.closes++
	n.ended[reason]++
	switch reason {
	case ReasonError, ReasonTimeout, wire.EndSlow, wire.EndOverload:
		n.lost++
		n.failed += uint64(events)
	}
}

func (n *counters) batch(why cause, events int) {
	b := &n.batches
	b.Batches++
	b.Events += uint64(events)
	switch why {
	case causeLeading:
		b.LeadingEdge++
	case causeTime:
		b.ByTime++
	case causeCount:
		b.ByCount++
	case causeBytes:
		b.ByBytes++
	case causeFlush:
		b.ByFlush++
	}
	bounds := SizeBounds()
	i, _ := slices.BinarySearch(bounds[:], events)
	b.Sizes[i]++
}

// Stats adds up all loops. It waits for a turn of each.
func (f *Fanout) Stats() Stats {
	sum := Stats{Latency: LatencyStats{Counts: make([]uint64, f.opts.Buckets)}}
	sum.Connections.Ended = map[string]uint64{}
	shares, live := 0.0, 0
	patterns := map[string]struct{}{}
	for _, l := range f.loops {
		l.call(func() {
			l.n.addTo(&sum)
			l.states(&sum, patterns)
			shares += l.shares(&sum.Slow)
			live += len(l.streams)
		})
	}
	if live > 0 {
		sum.Slow.LagPercent = shares / float64(live) * 100
	}
	sum.Subscriptions.Patterns = len(patterns)
	f.mu.Lock()
	sum.Connections.Active, sum.Connections.Peak = f.active, f.peak
	f.mu.Unlock()
	return sum
}

func (n *counters) addTo(sum *Stats) {
	c, e, s := &sum.Connections, &sum.Events, &sum.Slow
	c.Opened += n.opens
	c.Closed += n.closes
	c.Lost += n.lost
	for reason, count := range n.ended {
		c.Ended[reason] += count
	}
	e.Delivered += n.delivered
	e.Failed += n.failed
	e.Dropped += n.dropped
	e.Replayed += n.replayed
	sum.Batches.add(&n.batches)
	for i, count := range n.latency {
		sum.Latency.Counts[i] += count
	}
	sum.Latency.SumSeconds += float64(n.latencySum) / 1e9
	r := &sum.Resumes
	r.Fresh += n.resumes.Fresh
	r.Complete += n.resumes.Complete
	r.Partial += n.resumes.Partial
	r.Reset += n.resumes.Reset
	r.Resets += n.resets
	s.Detected += n.slowDetected
	s.Disconnected += n.disconnected
	s.Gaps += n.gaps
	s.GapEvents += n.gapEvents
	s.Conflated += n.conflated
	s.Now += n.slow
	sum.Subscriptions.Active += n.subscriptions
	sum.Bytes.Sent += n.sent
	sum.Bytes.Raw += n.sent
	sum.Bytes.Shared += n.shared
	sum.Bytes.Blocks += n.blocks
}

func (b *BatchStats) add(o *BatchStats) {
	b.Batches += o.Batches
	b.Events += o.Events
	b.LeadingEdge += o.LeadingEdge
	b.ByTime += o.ByTime
	b.ByCount += o.ByCount
	b.ByBytes += o.ByBytes
	b.ByFlush += o.ByFlush
	for i, count := range o.Sizes {
		b.Sizes[i] += count
	}
}

// states adds what the loop has now.
func (l *loop) states(sum *Stats, patterns map[string]struct{}) {
	sum.Subscriptions.Groups += len(l.groups)
	sum.Subscriptions.Channels += len(l.routes.exact)
	for _, g := range l.routes.patterns {
		for _, p := range g.subs.Patterns() {
			patterns[p.String()] = struct{}{}
		}
	}
}

// shares adds up how near streams are to the limits of Queue, 0..1 each, and
// notes the worst.
func (l *loop) shares(worst *SlowStats) float64 {
	l.now = l.f.now()
	sum := 0.0
	for _, s := range l.streams {
		behind := l.lag(s)
		sum += min(behind.share(&l.tuning.Queue), 1)
		worst.QueueBytes += behind.bytes
		worst.MaxLagEvents = max(worst.MaxLagEvents, behind.events)
		worst.MaxLagMs = max(worst.MaxLagMs, behind.age.Milliseconds())
	}
	return sum
}
