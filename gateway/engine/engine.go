// Package engine is the core of a gateway pod: the shared log in memory and
// the streams that read it, each a cursor into that log and never a queue of
// its own.
//
// It is a thin façade over three pure rooms: wire (bytes), ring (log) and
// fanout (streams). It knows no HTTP, no broker and no configuration file.
// gateway/server makes it and feeds it from the broker's log; gateway/transport
// opens streams on it.
package engine

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/fanout"
	"github.com/streamgateway/streamgateway/gateway/engine/ring"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

type (
	// Request asks for a stream.
	Request = fanout.Request
	// Identity is who reads a stream.
	Identity = fanout.Identity
	// Owner is whose credential opened a stream.
	Owner = fanout.Owner
	// Stream is one client: a cursor into the log.
	Stream = fanout.Stream
	// Flags are the feature flags of streams.
	Flags = fanout.Flags
	// Laggard is a stream that is behind.
	Laggard = fanout.Laggard
	// Drain says how clients are asked to move to another pod.
	Drain = fanout.Drain
	// Poll bounds one answer of a long-poll.
	Poll = fanout.Poll
	// Answer is one answer of a long-poll.
	Answer = fanout.Answer
	// RefusedError says that a flag keeps a client out, and how to tell it.
	RefusedError = fanout.RefusedError
	// Ended is what is told of a stream when it is closed.
	Ended = fanout.Ended
	// Member is somebody who reads a channel.
	Member = fanout.Member
	// Patch changes what a running stream reads.
	Patch = fanout.Patch
	// Renewal is a newer credential of a stream's owner.
	Renewal = fanout.Renewal
	// Patched is what a stream reads after a Patch.
	Patched = fanout.Patched
	// TooManyError says which bound of subscriptions a Patch would cross.
	TooManyError = fanout.TooManyError
	// Sink takes the bytes of one stream.
	Sink = fanout.Sink
)

// Answers that callers branch on.
var (
	ErrDraining    = fanout.ErrDraining    // to Open and Poll, once Drain has begun
	ErrSessionGone = fanout.ErrSessionGone // to Patch: no such stream runs here
	ErrSessionBusy = fanout.ErrSessionBusy // to Patch: an earlier one is not done
	ErrNothingLeft = fanout.ErrNothingLeft // to Patch: the stream would read nothing
	ErrNarrower    = fanout.ErrNarrower    // to Patch: the renewal does not allow what is read
	ErrNotOwner    = fanout.ErrNotOwner    // to Patch and Leave: it is somebody else's
)

// Options is what an engine is made with and keeps.
type Options struct {
	Epoch      string // of the log whose records it is given
	Floor      uint64 // seq before the first record it will be given
	Durability string // of the log, told to clients in sg.open
	Loops      int    // 0 = GOMAXPROCS
	// Rand gives jitter; nil = seeded by the runtime. It is not used
	// concurrently.
	Rand *rand.Rand
	// Buckets and Bucket shape the latency histogram: Bucket gives the index,
	// 0..Buckets-1, of a value in seconds.
	Buckets int
	Bucket  func(seconds float64) int
	// Ended is told of every stream that is closed; nil = nobody is. It must
	// not block.
	Ended func(Ended)
	// Lag is how long a position above the head is waited for, since another
	// replica may have given it; 0 = the head is the log's.
	Lag time.Duration
	// Stored is told of records that are in the log's memory and that no stream
	// has got yet; nil = nobody is. It must not keep the slice.
	Stored func([]wire.Record)
}

// Tuning is all that may change while streams run.
type Tuning struct {
	Batching    fanout.Batching
	Queue       fanout.Queue
	Delivery    fanout.Delivery
	Replay      ring.Replay
	Connections fanout.Connections
	Coalesce    bool // let parts that belong together be delivered as one event
	Compression fanout.Compression
}

// Stats counts since the start, except where a field says it is a state.
type Stats struct {
	fanout.Stats
	Ring ring.Stats
	Head wire.Cursor
}

// Engine holds one log and the streams that read it.
type Engine struct {
	ring   *ring.Ring
	fanout *fanout.Fanout
	epoch  string
	lag    time.Duration
	replay atomic.Bool // whether clients may read what was before they came
	stored func([]wire.Record)
}

// New makes an engine that runs until Close.
func New(o Options, t Tuning) *Engine {
	log := ring.New(o.Epoch, o.Floor, t.Replay)
	e := &Engine{
		ring:   log,
		epoch:  o.Epoch,
		lag:    o.Lag,
		stored: o.Stored,
		fanout: fanout.New(fanout.Options{
			Ring: log, Epoch: o.Epoch, Durability: o.Durability,
			Loops: o.Loops, Rand: o.Rand, Buckets: o.Buckets, Bucket: o.Bucket, Ended: o.Ended,
		}, t.fanout()),
	}
	e.replay.Store(t.fanout().Replay)
	return e
}

// fanout is the part of the tuning that streams run by.
func (t Tuning) fanout() fanout.Tuning {
	return fanout.Tuning{
		Batching: t.Batching, Queue: t.Queue, Delivery: t.Delivery, Connections: t.Connections, Compression: t.Compression,
		Coalesce: t.Coalesce,
		Replay:   t.Replay.Mode != replayDisabled, BufferSeconds: int64(t.Replay.TTL.Seconds()),
	}
}

// replayDisabled is the Mode of ring.Replay that takes no positions.
const replayDisabled = "Disabled"

// Add is the sink of the log: it takes records in log order, one caller at a
// time. Streams get them with the next Deliver, which whoever caused the records
// calls as soon as nobody waits for it: a publisher's handler after its ack. When
// that does not come within a few milliseconds, the engine does it itself.
func (e *Engine) Add(recs []wire.Record) {
	defer fanout.CrashOnPanic()
	e.ring.Append(recs)
	if e.stored != nil {
		e.stored(recs)
	}
	e.fanout.Post()
}

// Deliver gives what was added to the streams that wait for it, as far as that
// takes no more than a short turn; the rest follows at once on goroutines of the
// engine. Any number of callers may do so at a time.
func (e *Engine) Deliver() { e.fanout.Deliver() }

// Append is Add and Deliver, for a caller whom nobody waits for.
func (e *Engine) Append(recs []wire.Record) {
	e.Add(recs)
	e.Deliver()
}

// Reach waits until the log has come to the positions of a request, which
// another replica may have given that is a little ahead. It waits for no longer
// than Options.Lag or ctx; then Open and Poll say what they say of a position
// from the future.
func (e *Engine) Reach(ctx context.Context, r Request) {
	const look = 2 * time.Millisecond // such replicas are apart by less, as a rule
	asked := uint64(0)
	if c := r.Position.Cursor; r.Position.Where == wire.At && c.Epoch == e.epoch {
		asked = c.Seq
	}
	for _, c := range r.From {
		if c.Epoch == e.epoch {
			asked = max(asked, c.Seq)
		}
	}
	for waited := time.Duration(0); asked > e.ring.Head() && waited < e.lag; waited += look {
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return
		}
	}
}

// Open decides how a stream resumes. Nothing is written before Stream.Start,
// and a stream that is never started costs nothing and needs no end. The
// errors are ErrDraining and *RefusedError.
func (e *Engine) Open(r Request) (*Stream, error) { return e.fanout.Open(r) }

// Poll answers once with what a stream from the same position would say, as
// soon as that is anything. Its errors are ctx's and those of Open.
func (e *Engine) Poll(ctx context.Context, r Request, p Poll) (*Answer, error) {
	return e.fanout.Poll(ctx, r, p)
}

// Patch changes what the stream of a session reads, all of it or nothing, and
// tells the place in the log where the new set begins: there the stream has a
// new sg.open. Its errors are ErrSessionGone, ErrNotOwner, ErrSessionBusy,
// ErrNothingLeft, ErrNarrower and *TooManyError.
func (e *Engine) Patch(sid string, by Owner, p Patch) (*Patched, error) {
	return e.fanout.Patch(sid, by, p)
}

// Readers counts the streams, and the polls that wait, that get a channel's
// events. It waits for a turn of every loop.
func (e *Engine) Readers(channel string) int { return e.fanout.Readers(channel) }

// Members lists who gets a channel's events, at most so many subjects, by name;
// more tells that there are others. Streams without a subject are left out. It
// waits for a turn of every loop.
func (e *Engine) Members(channel string, most int) (members []Member, more bool) {
	return e.fanout.Members(channel, most)
}

// Watch calls written once, when the first stream's socket has taken the event
// seq of a channel; never when none does soon. written must not block.
func (e *Engine) Watch(seq uint64, channel string, written func()) {
	e.fanout.Watch(seq, channel, written)
}

// Leave closes the stream of a session. Its errors are ErrSessionGone and
// ErrNotOwner.
func (e *Engine) Leave(sid string, by Owner) error { return e.fanout.Leave(sid, by) }

// Laggards lists the n streams that are nearest to a limit of queue, worst first.
func (e *Engine) Laggards(n int) []Laggard { return e.fanout.Laggards(n) }

// Who is whose stream a session is, without its Grant; false: none of this pod.
func (e *Engine) Who(sid string) (Identity, bool) { return e.fanout.Who(sid) }

// Tune takes effect on the next batch, heartbeat or check of every stream. No
// stream is closed by it.
func (e *Engine) Tune(t Tuning) {
	e.ring.Tune(t.Replay)
	e.replay.Store(t.fanout().Replay)
	e.fanout.Tune(t.fanout())
}

// Flags gives the flags of streams from now on, and tells running streams
// when their revision moved.
func (e *Engine) Flags(f Flags) { e.fanout.Flags(f) }

// Judge ends streams that read what they may not any more: it is called when
// rights have changed. A poll that waits gets its answer first, which takes
// connections.longPollTimeout at the most.
func (e *Engine) Judge() { e.fanout.Judge() }

// Drain asks all clients to move and returns when the last stream is closed,
// which is after d.Timeout at the latest, or with ctx's error. Open answers
// ErrDraining from then on; appending goes on as before.
func (e *Engine) Drain(ctx context.Context, d Drain) error { return e.fanout.Drain(ctx, d) }

// StandBy asks all clients to move, and those that come later too, but turns
// nobody away. nil ends that; clients whose time to move has not come stay.
func (e *Engine) StandBy(d *Drain) { e.fanout.StandBy(d) }

// Evict drops what the log and the streams need not hold any longer. The
// janitor calls it once a second.
func (e *Engine) Evict() {
	e.ring.Evict(time.Now())
	e.fanout.Sweep()
}

// Head is the position of the newest record.
func (e *Engine) Head() wire.Cursor { return e.at(e.ring.Head()) }

// Stats counts; it waits for a turn of every loop, microseconds as a rule.
func (e *Engine) Stats() Stats {
	return Stats{Stats: e.fanout.Stats(), Ring: e.ring.Stats(), Head: e.Head()}
}

// Memory is what the engine may keep, in bytes, when memory is short.
type Memory struct {
	fanout.Memory
	Log int64 // 0 = as Tuning.Replay says
}

// Press changes what the engine may keep; what is above goes now. The zero
// value of Memory.Log and fanout.DefaultMemory end that.
func (e *Engine) Press(m Memory) {
	e.fanout.Press(m.Memory)
	e.ring.Squeeze(m.Log)
	e.Evict()
}

// LogStats tells what the log holds; it waits for no loop.
func (e *Engine) LogStats() ring.Stats { return e.ring.Stats() }

// SegmentBytes is the memory, in bytes, of what is kept for streams that are
// behind; it waits for no loop.
func (e *Engine) SegmentBytes() int64 { return e.fanout.SegmentBytes() }

// Writable is Stream.Writable of many streams at once, which costs less than
// one by one.
func Writable(streams []*Stream) { fanout.Writable(streams) }

// Close ends all streams at once and stops the engine. It is called once.
func (e *Engine) Close() { e.fanout.Close() }
