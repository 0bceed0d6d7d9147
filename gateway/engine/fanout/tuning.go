package fanout

import "time"

// Batching says when events that wait for a group of equal subscribers are
// written to them: at the first limit reached. Hot.
type Batching struct {
	Window    time.Duration // longest wait before a flush; 0 = no batching
	MaxEvents int           // events
	MaxBytes  int64         // bytes before compression
}

// Queue bounds how far a client may lag behind the shared log. Nothing is
// stored per client: a queue is a lag. Hot.
type Queue struct {
	MaxEvents          int           // events
	MaxBytes           int64         // bytes
	MaxLag             time.Duration // age of the oldest event not yet written
	SlowConsumerPolicy string        // one of the Policy constants
}

// What happens to a client that reaches a limit of Queue.
const (
	PolicyConflate    = "Conflate"    // newest event of each channel, then a gap notice for the rest
	PolicyDropWithGap = "DropWithGap" // jump to the head and say what was lost
	PolicyDisconnect  = "Disconnect"  // close; the client resumes by replay
)

// Connections paces the streams of one pod. Hot: it acts on streams that are
// opened from then on, and on those that are open from their next heartbeat.
type Connections struct {
	MaxPerPod          int           // streams; enforced before a stream gets here
	MaxPerSubject      int           // the next three are enforced before a stream gets here, too; 0 = not limited
	MaxPerAddress      int           // streams of one address
	MaxPerTenant       int           // streams of one tenant
	MaxSubscriptions   int           // told to clients in sg.open; enforced by the transport
	MaxPatterns        int           // told to clients in sg.open; enforced by the transport
	Heartbeat          time.Duration // ±10 % for each connection
	WriteTimeout       time.Duration // a client that takes no byte for so long is closed
	MaxAge             time.Duration // ±10 % for each connection
	LongPollTimeout    time.Duration // of one poll; enforced by the transport
	Retry              time.Duration // the hint that plain clients wait before they come back
	RetryJitterPercent int           // percent of Retry
}

// Delivery is how fast one stream gets live events, each with a burst of one
// second. A stream that is held back lags, as one whose socket is full, and the
// limits of Queue decide what becomes of it. Hot: it acts on running streams.
type Delivery struct {
	EventsPerSecond int   // events; 0 = not limited
	BytesPerSecond  int64 // bytes before compression; 0 = not limited
}

// Compression says how gzip is made for clients that take it. Hot; Mode acts on
// streams that are opened from then on.
type Compression struct {
	Mode            string   // Auto: by what the client takes; ModeDisabled
	Level           string   // one of deflate's levels
	MinBytes        int64    // bytes; smaller batches are compressed only by referring to those before
	ExcludeChannels []string // patterns of channels that are never compressed
}

// Tuning is all that may change while streams run.
type Tuning struct {
	Batching    Batching
	Compression Compression
	Queue       Queue
	Delivery    Delivery
	Connections Connections
	// Replay tells whether clients may resume. When it is off, a client that
	// comes back with a position is told to reload what moved on meanwhile.
	Replay bool
	// Coalesce lets parts that belong together be delivered as one event.
	Coalesce bool
	// BufferSeconds is told to clients in sg.open: how long events are kept.
	BufferSeconds int64
}
