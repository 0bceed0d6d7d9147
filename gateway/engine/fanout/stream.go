package fanout

import (
	"slices"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/deflate"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Request asks for a stream. The caller has checked rights and limits.
type Request struct {
	Subs     *wire.SubSet  // at least one subscription
	Denied   []wire.Denied // requested, but not allowed: told in sg.open
	Format   wire.Format
	Position wire.Position
	// Last is how many of the newest retained events of each exact channel to
	// send first; only for a start without a position. 0..100.
	Last int
	// From are channels of Subs with a position of their own.
	From    map[string]wire.Cursor
	Expires time.Time // of the credential; zero = it does not
	Pad     bool      // begin with a comment of 2 KiB
	Gzip    bool      // the client takes gzip
	Identity
}

// key is that of the group that the stream belongs to.
func (r *Request) key() groupKey { return groupKey{subs: r.Subs.Key(), format: r.Format} }

// Identity is who reads a stream; flags stick to it.
type Identity struct {
	SID string // id of the session, unique per stream
	Owner
	Grant   Grant  // what the right to read rests on; nil = everything may be read
	Client  string // what stands for the client where there is no subject; may be empty
	Poll    bool   // asks by long-poll, and not for a stream
	Request string // id of the request that opened it, for logs; may be empty
}

// Owner is whose credential opened a stream: nobody else may change or close it.
type Owner struct {
	Subject string // empty = anonymous
	Tenant  string // empty = the default one
}

// Flags are the feature flags of streams.
type Flags struct {
	Revision int64 // grows with every change
	BeaconMs int64 // milliseconds between the reports of one page; 0 = says nothing of it
	// Of gives the flags of one stream, and how to end it when a flag says
	// that it may not run; with RetryMs it is not even begun. It must be quick, pure and safe for concurrent use.
	Of func(Identity) (flags map[string]bool, end *wire.End)
}

// Sink takes the bytes of one stream. Its methods are called by one goroutine
// at a time, never block, and must not call back into the stream before they
// return.
type Sink interface {
	// TryWrite takes n bytes of b and tells whether it is blocked: then it is
	// not called again before the owner of the sink has called
	// Stream.Writable, and what it did not take comes first then. A sink that hands b to a writer of its own takes all of
	// it and is blocked until the socket took the last byte. b is shared by
	// many streams and never changes. An error ends the stream.
	TryWrite(b []byte) (n int, blocked bool, err error)
	// Close ends the connection: orderly when nothing is being written, else
	// at once. It is called exactly once.
	Close()
}

// Stream is one client: a cursor into the log. What its owner calls is safe
// for concurrent use; all state belongs to the loop.
type Stream struct {
	f    *Fanout
	loop *loop // set by Start
	id   Identity
	from uint64 // where it began

	// All below is the loop's.
	group *group
	sink  Sink
	// cursor is the log position up to which everything is handed to the sink
	// or waits in rest. What the client has may be older, never newer.
	cursor uint64
	gzip   *deflate.Member // nil = what the sink gets is plain
	rest   []byte          // handed out, not yet taken by the sink
	out    []byte          // controls that go before the next events
	flight flight
	pace   pace

	timer        timer
	born         int64
	nextBeat     int64
	blockedSince int64  // since when the sink took no byte, while blocked
	behindSince  int64  // arrival of the oldest event that the sink has not taken; 0 = none
	noticeAt     int64  // of the last sg.slow; 0 = none
	eventsAt     uint64 // group.events that the sink has taken or that were skipped
	bytesAt      uint64 // group.bytes alike
	events       uint64 // that the sink has taken since the start
	bytes        uint64 // alike, as sent
	judged       int64  // when its rights were looked at
	expires      int64  // when its credential does; 0 = never
	flagsRev     int64
	revision     int   // of its subscriptions, from 1
	member       int   // index in group.members
	order        int   // index in loop.streams
	ageJitter    int16 // per mille of connections.maxAge
	state        state
	blocked      bool
	slow         bool
	warned       bool // that its credential expires soon
	queued       bool

	opening *opening // until it runs
	past    *past    // while it catches up with its own past
	gap     *gap     // skipped events, to be named as soon as the sink takes bytes
	leaving *leaving // when it has been asked to move, or is ending
}

// state is where a stream is in its life.
type state uint8

const (
	running state = iota
	ending        // its last frame is on the way
	closed
)

// flight is what the sink is taking just now.
type flight struct {
	events  int
	bytes   int
	replay  bool  // events from the client's past
	arrived int64 // of the oldest live event; 0 = none
}

// opening is what is needed once.
type opening struct {
	request Request
	plan    plan
}

// Cursor is the position before the first event of this stream.
func (s *Stream) Cursor() wire.Cursor { return s.f.at(s.from) }

// Gzip tells whether the sink gets a gzip member instead of plain text. It is
// decided by Open and stays.
func (s *Stream) Gzip() bool { return s.gzip != nil }

// Start begins to write: preamble, resets, replay, sg.caught-up, live events.
// It is called once. The sink is closed by the
// stream, in any case and exactly once.
func (s *Stream) Start(sink Sink) {
	r := &s.opening.request
	s.sink = sink
	s.loop = s.f.place(r.key())
	s.f.enlist(s)
	s.send(input{op: opStart, stream: s})
}

// Writable says that the sink, which was blocked, took all it was given (or
// can take more).
func (s *Stream) Writable() { s.send(input{op: opWritable, stream: s}) }

// Writable is Stream.Writable of many streams at once: each loop runs once for
// all of its own.
func Writable(streams []*Stream) {
	for _, s := range streams {
		s.loop.post(input{op: opWritable, stream: s})
	}
	var ran []*loop
	for _, s := range streams {
		if !slices.Contains(ran, s.loop) {
			ran = append(ran, s.loop)
			s.loop.run(publisherBudget)
		}
	}
}

// Fail says that writing to the sink failed.
func (s *Stream) Fail() { s.send(input{op: opFail, stream: s}) }

// Leave says that the client went away.
func (s *Stream) Leave() { s.send(input{op: opLeave, stream: s}) }

func (s *Stream) send(in input) {
	s.loop.post(in)
	s.loop.run(publisherBudget)
}
