package fanout

// Stats counts since the start, except where a field says it is a state.
type Stats struct {
	Connections   ConnectionStats
	Subscriptions SubscriptionStats
	Events        EventStats
	Batches       BatchStats
	Latency       LatencyStats
	Resumes       ResumeStats
	Slow          SlowStats
	Bytes         ByteStats
}

// ConnectionStats counts streams.
type ConnectionStats struct {
	Active int // state
	Peak   int // state: the highest Active so far
	Opened uint64
	Closed uint64
	// Lost counts streams that were ended or lost unasked: write error or
	// timeout, slow, overload. Never drain, age, or a close by the client.
	Lost uint64
	// Ended counts closed streams by reason, one of the Reason constants.
	Ended map[string]uint64
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
	Resets                          uint64 // sg.reset events, also those in mid-replay
}

// SlowStats is about clients that lag.
type SlowStats struct {
	Detected     uint64 // times a client went over half of a limit
	Gaps         uint64 // gap notices
	GapEvents    uint64 // events named lost in them
	Conflated    uint64 // events delivered for older ones of their channel
	Disconnected uint64

	Now          int     // state: clients over half of a limit
	MaxLagEvents uint64  // state: of the slowest client
	MaxLagMs     int64   // state: of the slowest client
	QueueBytes   uint64  // state: bytes not yet written, summed over clients
	LagPercent   float64 // state: mean over clients of lag ÷ limit, 0..100, by the nearest limit
}

// ByteStats counts bytes of events and controls.
type ByteStats struct {
	Sent   uint64 // to all streams
	Raw    uint64 // before compression; equal to Sent without it
	Shared uint64 // writes of a block that another stream got as well
	Blocks uint64 // blocks encoded
}
