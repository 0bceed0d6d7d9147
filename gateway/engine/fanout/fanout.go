// Package fanout writes the log to its readers: groups of equal subscribers,
// batches encoded once per group, a cursor per client, and what happens to a
// client that cannot keep up.
//
// It knows the log (ring) and the bytes (wire), but neither HTTP nor sockets:
// a stream is written through a Sink. It is called by the engine's façade and
// by whoever owns a sink.
package fanout

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/deflate"
	"github.com/streamgateway/streamgateway/gateway/engine/ring"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// ErrDraining is the answer to Open once Drain has begun.
var ErrDraining = errors.New("draining")

// RefusedError is the answer to Open and Poll when a flag says that the client
// may not read this way now.
type RefusedError struct{ End wire.End }

// Error gives the reason.
func (e *RefusedError) Error() string { return "refused: " + e.End.Reason }

// Options is what a Fanout is made with and keeps.
type Options struct {
	Ring       *ring.Ring
	Epoch      string
	Durability string     // told in sg.open
	Loops      int        // 0 = GOMAXPROCS
	Rand       *rand.Rand // jitter; nil = seeded by the runtime
	// Buckets and Bucket shape the latency histogram: Bucket gives the index,
	// 0..Buckets-1, of a value in seconds.
	Buckets int
	Bucket  func(seconds float64) int
	// Ended is told of every stream that is closed; nil = nobody is. It runs
	// inside a loop and must not block.
	Ended func(Ended)
}

// Fanout owns the loops, and knows which of them serves which group.
type Fanout struct {
	opts   Options
	start  time.Time // the zero of all times inside, on the monotonic clock
	tuning atomic.Pointer[Tuning]
	flags  atomic.Pointer[Flags]
	loops  []*loop
	stop   chan struct{}
	// watches are swapped whole; watchMu is held while they are made anew.
	watches atomic.Pointer[[]*watch]
	watchMu sync.Mutex
	told    uint64 // head that the loops have been told of; Post's own
	late    *time.Timer
	posted  atomic.Bool // late is set
	// segments is what loops keep for streams that are behind, in bytes.
	segments atomic.Int64
	memory   atomic.Pointer[Memory]

	// mu guards what follows. It is taken when a stream comes or goes, never
	// for an event, and no other lock is taken under it.
	mu       sync.Mutex
	places   map[groupKey][]int // members of a group on each loop
	load     []int              // streams on each loop
	sessions map[string]*Stream // by sid
	active   int
	peak     int
	draining bool
	empty    chan struct{} // closed when draining is over
}

// maxShared is how many members of one group a loop takes before the next
// loop gets its own copy of the group: a small group wakes one loop, a big one
// uses all cores.
const maxShared = 512

// New starts the loops; they run until Close.
func New(o Options, t Tuning) *Fanout {
	if o.Loops <= 0 {
		o.Loops = runtime.GOMAXPROCS(0)
	}
	if o.Rand == nil {
		o.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	f := &Fanout{
		opts: o, start: time.Now(), stop: make(chan struct{}),
		places: map[groupKey][]int{}, load: make([]int, o.Loops), empty: make(chan struct{}), sessions: map[string]*Stream{},
	}
	f.told = o.Ring.Head()
	f.tuning.Store(&t)
	f.Press(DefaultMemory())
	f.flags.Store(&Flags{Of: func(Identity) (map[string]bool, *wire.End) { return nil, nil }})
	for i := range o.Loops {
		f.loops = append(f.loops, newLoop(f, i))
	}
	for _, l := range f.loops {
		go l.serve()
	}
	f.late = time.AfterFunc(time.Hour, f.deliverLate)
	f.late.Stop()
	return f
}

// Post tells the loops that the ring got records. It has one caller at a time,
// like the ring's Append.
func (f *Fanout) Post() {
	a := arrival{first: f.told + 1, last: f.opts.Ring.Head(), at: f.now()}
	f.told = a.last
	for _, l := range f.loops {
		l.postRecords(a)
	}
	if f.posted.CompareAndSwap(false, true) {
		f.late.Reset(deliverAfter)
	}
}

// deliverAfter is how long posted records wait for a Deliver that does not come:
// its caller may be stuck on a publisher that does not read its ack.
const deliverAfter = 5 * time.Millisecond

// Deliver runs the loops that are idle for one short turn.
func (f *Fanout) Deliver() {
	for _, l := range f.loops {
		l.run(publisherBudget)
	}
}

// deliverLate is Deliver in the stead of a caller that is late. Where it was in
// time there is nothing to do.
func (f *Fanout) deliverLate() {
	f.posted.Store(false)
	f.Deliver()
}

// Open decides how a stream resumes.
func (f *Fanout) Open(r Request) (*Stream, error) {
	f.mu.Lock()
	draining := f.draining
	f.mu.Unlock()
	if draining {
		return nil, ErrDraining
	}
	if _, end := f.flags.Load().Of(r.Identity); end != nil && end.RetryMs != nil {
		return nil, &RefusedError{*end}
	}
	p := decide(f.opts.Ring, f.opts.Epoch, f.tuning.Load().Replay, &r)
	s := &Stream{
		f: f, id: r.Identity, from: p.cursor, cursor: p.cursor, opening: &opening{request: r, plan: p},
	}
	if r.Gzip && f.compresses(r.Identity) {
		s.gzip = &deflate.Member{}
	}
	return s, nil
}

// Tune takes effect on the next batch, heartbeat or check of every stream.
func (f *Fanout) Tune(t Tuning) {
	f.tuning.Store(&t)
	f.broadcast(input{op: opTune})
}

// Flags gives the flags of streams from now on, and tells running streams.
func (f *Fanout) Flags(flags Flags) {
	f.flags.Store(&flags)
	f.broadcast(input{op: opFlags})
}

// Judge ends streams that read what they may not any more.
func (f *Fanout) Judge() { f.broadcast(input{op: opRights}) }

// Sweep lets go of memory that is kept for clients in step. It is called once
// a second.
func (f *Fanout) Sweep() {
	f.forgetWatches()
	f.broadcast(input{op: opSweep})
}

// Drain asks all clients to move and returns when the last stream is closed,
// after d.Timeout at the latest, or with ctx's error.
func (f *Fanout) Drain(ctx context.Context, d Drain) error {
	f.mu.Lock()
	first := !f.draining
	f.draining = true
	d = d.over(f.active)
	if first && f.active == 0 {
		close(f.empty)
	}
	f.mu.Unlock()
	if first {
		f.broadcast(input{op: opDrain, payload: d})
	}
	select {
	case <-f.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// StandBy asks all clients to move, and those that come later too, but turns
// nobody away: who still finds the way here is served for a while. nil ends
// that; clients whose time to move has not come stay.
func (f *Fanout) StandBy(d *Drain) {
	if d != nil {
		f.mu.Lock()
		over := d.over(f.active)
		f.mu.Unlock()
		d = &over
	}
	f.broadcast(input{op: opStandBy, payload: d})
}

// Close ends all streams at once and stops the loops.
func (f *Fanout) Close() {
	for _, l := range f.loops {
		l.call(l.closeAll)
	}
	f.late.Stop()
	close(f.stop)
}

// Memory bounds what all loops together keep beside streams, in bytes.
type Memory struct {
	Segments int // for streams that are behind: made again when it is missed
	Pinned   int // blocks that stalled clients have taken a part of; above it clients are cut
}

// DefaultMemory is what there is while memory is plenty.
func DefaultMemory() Memory { return Memory{segmentsBytes, pinnedBytes} }

// Press changes the bounds. They act with the next Sweep.
func (f *Fanout) Press(m Memory) { f.memory.Store(&m) }

// SegmentBytes is what is kept for streams that are behind, in bytes; it waits
// for no loop.
func (f *Fanout) SegmentBytes() int64 { return f.segments.Load() }

func (f *Fanout) broadcast(in input) {
	for _, l := range f.loops {
		l.post(in)
		l.run(publisherBudget)
	}
}

// at is a position of the log that f writes.
func (f *Fanout) at(seq uint64) wire.Cursor { return wire.Cursor{Epoch: f.opts.Epoch, Seq: seq} }

// now is the time since the start, in nanoseconds of the monotonic clock. It is
// never 0, which stands for no time.
func (f *Fanout) now() int64 { return int64(time.Since(f.start)) + 1 }

// counts is how many members a group has on each loop. f.mu is held.
func (f *Fanout) counts(key groupKey) []int {
	counts := f.places[key]
	if counts == nil {
		counts = make([]int, len(f.loops))
		f.places[key] = counts
	}
	return counts
}

// place gives a new stream of a group its loop.
func (f *Fanout) place(key groupKey) *loop {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := f.counts(key)
	best := -1
	for i, n := range counts {
		if n > 0 && n < maxShared {
			best = i
			break
		}
		if best < 0 || f.load[i] < f.load[best] {
			best = i
		}
	}
	counts[best]++
	f.count(&key, best, 1)
	f.peak = max(f.peak, f.active)
	return f.loops[best]
}

// count is of clients' streams only. f.mu is held.
func (f *Fanout) count(key *groupKey, loop, streams int) {
	if !key.own() {
		f.load[loop] += streams
		f.active += streams
	}
}

// leave undoes place.
func (f *Fanout) leave(key groupKey, l *loop) {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := f.places[key]
	counts[l.index]--
	f.count(&key, l.index, -1)
	if !anyPositive(counts) {
		delete(f.places, key)
	}
	if f.draining && f.active == 0 {
		select {
		case <-f.empty:
		default:
			close(f.empty)
		}
	}
}

func anyPositive(counts []int) bool {
	for _, n := range counts {
		if n > 0 {
			return true
		}
	}
	return false
}
