package fanout

import (
	"slices"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// counters are a loop's own. They are plain numbers, because they are read
// inside the loop as well.
type counters struct {
	writes        int
	slow          int // state
	subscriptions int // state
	polls         int // state
	gzips         int // state: streams that get gzip

	opens, closes, lost        uint64
	ended                      map[string]uint64
	resumes                    ResumeStats
	resets                     map[string]uint64
	delivered, failed, dropped uint64
	replayed                   uint64
	batches                    BatchStats
	latency                    []uint64
	latencySum                 uint64 // nanoseconds
	slowDetected, disconnected uint64
	gaps                       map[string]uint64
	gapEvents, conflated, held uint64
	sent, shared, blocks       uint64
	gzipSent, gzipRaw          uint64
	gzipWrites, merged         uint64
	lags                       [sizeBuckets]uint64
	lagsSum                    uint64
	compressed                 uint64
}

func newCounters(buckets int) *counters {
	return &counters{latency: make([]uint64, buckets), ended: map[string]uint64{}, resets: map[string]uint64{}, gaps: map[string]uint64{}}
}

// counters gives those that a group's streams are counted in.
func (l *loop) counters(key *groupKey) *counters {
	if key.own() {
		return l.hidden
	}
	return l.n
}

func (n *counters) opened(p *plan) {
	n.opens++
	n.reset(p.resets)
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

// reset counts what a client is told to reload.
func (n *counters) reset(resets []wire.Reset) {
	for i := range resets {
		n.resets[resets[i].Reason]++
	}
}

// lagging counts how far a stream is behind that could not take a batch.
func (n *counters) lagging(events uint64) {
	n.lags[sizeBucket(int(min(events, 1<<30)))]++
	n.lagsSum += events
}

// sizeBucket is the index in a histogram with SizeBounds.
func sizeBucket(events int) int {
	bounds := SizeBounds()
	i, _ := slices.BinarySearch(bounds[:], events)
	return i
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
	b.Sizes[sizeBucket(events)]++
}
