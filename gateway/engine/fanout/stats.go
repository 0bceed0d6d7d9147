package fanout

import "time"

// Stats counts since the start, except where a field says it is a state.
type Stats struct {
	Connections   ConnectionStats
	Subscriptions SubscriptionStats
	Events        EventStats
	Batches       BatchStats
	Latency       LatencyStats
	Waiting       WaitingStats
	Resumes       ResumeStats
	Slow          SlowStats
	Bytes         ByteStats
	Segments      SegmentStats
	Busy          []time.Duration // by loop: how long it has worked
}

// ConnectionStats counts streams.
type ConnectionStats struct {
	Active int // state; polls that wait included
	Peak   int // state: the highest Active so far
	Polls  int // state: polls that wait
	Gzip   int // state: of Active, those that get gzip
	Opened uint64
	Closed uint64
	// Lost counts streams that were ended or lost unasked: write error or
	// timeout, slow, overload. Never drain, age, or a close by the client.
	Lost uint64
	// Ended counts closed streams by reason, one of the Reason constants.
	Ended map[string]uint64
}

// Ended is what is told of a stream when it is closed.
type Ended struct {
	Request       string // of its Identity
	Reason        string // one of the Reason constants, or of sg.end
	Lasted        time.Duration
	Events        uint64 // that the client's socket took
	Bytes         uint64 // alike, as sent
	Gzip          bool
	Subscriptions int
}

// Why a stream ended, besides the reasons of sg.end.
const (
	ReasonClient  = "client"  // the client went away
	ReasonError   = "error"   // a write failed
	ReasonTimeout = "timeout" // the client took no byte for connections.writeTimeout
	ReasonAge     = "age"     // connections.maxAge
)

// SubscriptionStats is a state.
type SubscriptionStats struct {
	Active   int // channels and patterns, summed over streams
	Channels int // exact channels with a subscriber; counted once for each loop
	Patterns int // distinct patterns with a subscriber
	Groups   int // distinct sets of subscriptions and format
}

// EventStats counts deliveries: one event to one stream.
type EventStats struct {
	Delivered uint64
	Failed    uint64 // were being written when the stream broke
	Dropped   uint64 // skipped by the slow-consumer policy, or evicted before a slow client got them
	Replayed  uint64 // delivered while a client caught up with its own past
}

// BatchStats counts flushes of groups.
type BatchStats struct {
	Batches     uint64
	Events      uint64 // events in them
	LeadingEdge uint64 // flushed at once because the group had been quiet
	ByTime      uint64
	ByCount     uint64
	ByBytes     uint64
	ByFlush     uint64 // an event asked for it
	// Merged counts events that were delivered as part of another one, once
	// for each time that their batch was encoded.
	Merged uint64
	// Sizes counts batches by number of events: bucket i has those of at most
	// SizeBounds()[i] events, and more than the bound before; the last bucket
	// everything above.
	Sizes [sizeBuckets]uint64
}

const sizeBuckets = 11

// SizeBounds are the upper bounds of BatchStats.Sizes, in events.
func SizeBounds() [sizeBuckets - 1]int { return [...]int{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000} }

// LatencyStats is the time from an event's arrival in this pod's log until the
// socket took the last byte of the write that holds it: for every live write,
// that of its oldest event. Times are of one monotonic clock.
type LatencyStats struct {
	Counts     []uint64 // by Options.Bucket
	SumSeconds float64
}

// ResumeStats counts how streams began.
type ResumeStats struct {
	Fresh, Complete, Partial, Reset uint64
	Resets                          map[string]uint64 // sg.reset events by reason, also those in mid-replay
}

// SegmentStats is about blocks that are kept for streams that are behind.
type SegmentStats struct {
	Bytes        int    // state
	Hits, Misses uint64 // streams that found the one they needed, or needed the log
}

// SlowStats is about clients that lag.
type SlowStats struct {
	Detected     uint64            // times a client went over half of a limit
	Gaps         uint64            // gap notices
	GapsBy       map[string]uint64 // of Gaps, by reason
	Held         uint64            // times a stream was held back by Delivery
	GapEvents    uint64            // events named lost in them
	Conflated    uint64            // events delivered for older ones of their channel
	Disconnected uint64
	// Lags counts, by the bounds of SizeBounds, how many events a stream was
	// behind when a batch found its socket busy.
	Lags    [sizeBuckets]uint64
	LagsSum uint64 // events

	Now          int     // state: clients over half of a limit
	MaxLagEvents uint64  // state: of the slowest client
	MaxLagMs     int64   // state: of the slowest client
	QueueBytes   uint64  // state: bytes not yet written, summed over clients
	PinnedBytes  int     // state: memory of blocks that stalled clients are in the middle of, at the last Sweep
	LagPercent   float64 // state: mean over clients of lag ÷ limit, 0..100, by the nearest limit
}

// ByteStats counts bytes of events and controls.
type ByteStats struct {
	Sent     uint64 // to all streams
	Raw      uint64 // before compression; equal to Sent without it
	GzipSent uint64 // of Sent, to streams that get gzip
	GzipRaw  uint64 // of Raw, alike
	Shared   uint64 // writes of a block that another stream got as well
	Blocks   uint64 // blocks encoded
	// Writes and GzipWrites count calls of sinks; Writes are all of them.
	Writes, GzipWrites uint64
	// Compressed counts the forms of blocks that were compressed.
	Compressed uint64
}

// Stats adds up all loops. It waits for a turn of each.
func (f *Fanout) Stats() Stats {
	sum := Stats{Latency: LatencyStats{Counts: make([]uint64, f.opts.Buckets)}, Waiting: WaitingStats{Counts: make([]uint64, f.opts.Buckets)}}
	sum.Connections.Ended = map[string]uint64{}
	sum.Resumes.Resets, sum.Slow.GapsBy = map[string]uint64{}, map[string]uint64{}
	shares, live := 0.0, 0
	patterns := map[string]struct{}{}
	for _, l := range f.loops {
		l.call(func() {
			l.n.addTo(&sum)
			l.states(&sum, patterns)
			share, streams := l.shares(&sum.Slow)
			shares += share
			l.waiting(&sum.Waiting)
			live += streams
			sum.Busy = append(sum.Busy, time.Duration(l.busy))
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
	sum.Batches.Merged += n.merged
	for i, count := range n.latency {
		sum.Latency.Counts[i] += count
	}
	sum.Latency.SumSeconds += float64(n.latencySum) / 1e9
	r := &sum.Resumes
	r.Fresh += n.resumes.Fresh
	r.Complete += n.resumes.Complete
	r.Partial += n.resumes.Partial
	r.Reset += n.resumes.Reset
	for reason, count := range n.resets {
		r.Resets[reason] += count
	}
	s.Detected += n.slowDetected
	s.Disconnected += n.disconnected
	for reason, count := range n.gaps {
		s.Gaps += count
		s.GapsBy[reason] += count
	}
	s.Held += n.held
	s.GapEvents += n.gapEvents
	s.Conflated += n.conflated
	s.Now += n.slow
	for i, count := range n.lags {
		s.Lags[i] += count
	}
	s.LagsSum += n.lagsSum
	c.Polls += n.polls
	sum.Subscriptions.Active += n.subscriptions
	sum.Bytes.Sent += n.sent
	sum.Bytes.Raw += n.sent - n.gzipSent + n.gzipRaw
	sum.Bytes.GzipSent += n.gzipSent
	sum.Bytes.GzipRaw += n.gzipRaw
	c.Gzip += n.gzips
	sum.Bytes.Shared += n.shared
	sum.Bytes.Blocks += n.blocks
	sum.Bytes.Writes += uint64(n.writes)
	sum.Bytes.GzipWrites += n.gzipWrites
	sum.Bytes.Compressed += n.compressed
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
	sum.Subscriptions.Groups += len(l.groups) - len(l.ownGroups)
	sum.Segments.Bytes += l.segments.bytes
	sum.Slow.PinnedBytes += l.pinned
	sum.Segments.Hits += l.segments.hits
	sum.Segments.Misses += l.segments.misses
	sum.Subscriptions.Channels += len(l.routes.exact) - l.ownChannels()
	for _, g := range l.routes.patterns {
		for _, p := range g.subs.Patterns() {
			patterns[p.String()] = struct{}{}
		}
	}
}

// ownChannels counts those that only the gateway itself reads.
func (l *loop) ownChannels() int {
	names := map[string]struct{}{}
	for g := range l.ownGroups {
		for _, name := range g.subs.Exact() {
			names[name] = struct{}{}
		}
	}
	return len(names)
}

// shares adds up how near clients' streams are to the limits of Queue, 0..1
// each, and notes the worst.
func (l *loop) shares(worst *SlowStats) (sum float64, streams int) {
	l.now = l.f.now()
	for _, s := range l.streams {
		if s.group.key.own() {
			continue
		}
		streams++
		behind := l.lag(s)
		sum += min(behind.share(&l.tuning.Queue), 1)
		worst.QueueBytes += behind.bytes
		worst.MaxLagEvents = max(worst.MaxLagEvents, behind.events)
		worst.MaxLagMs = max(worst.MaxLagMs, behind.age.Milliseconds())
	}
	return sum, streams
}

// Readers counts the streams and waiting polls that get a channel's events, in
// O(groups that do).
func (f *Fanout) Readers(channel string) (n int) {
	for _, l := range f.loops {
		l.call(func() {
			for _, g := range l.routes.of(channel) {
				n += len(g.members) + len(g.waiters)
			}
		})
	}
	return n
}
