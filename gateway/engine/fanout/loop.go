package fanout

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/deflate"
	"github.com/streamgateway/streamgateway/gateway/engine/ring"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

const (
	// publisherBudget is how many writes a caller does for a loop that it
	// finds idle; what is left goes to the loop's own goroutine.
	publisherBudget = 64
	// turn is after how many writes other goroutines get the processor.
	turn = 64
	// scanTurn is how many records are matched between two rounds of writes.
	scanTurn = 256
)

// A loop is a lock-protected state machine, not a thread: whoever has news for
// it posts them and, when it is idle, runs it. So a lone event reaches its
// readers on the publisher's own goroutine.
type loop struct {
	f     *Fanout
	index int
	rand  *rand.Rand
	hold  atomic.Int32 // idle, busy or again
	wake  chan struct{}

	// inbox is filled by anyone; mu is held for appends and swaps only.
	mu    sync.Mutex
	inbox []input

	// All below belongs to whoever holds the loop.
	spare   []input
	tuning  *Tuning
	flags   *Flags
	now     int64 // of this step
	left    int   // writes left in this run
	seen    uint64
	news    []arrival // records not yet matched, oldest first
	touched []*group  // groups that got events of the records at hand
	marks   marks
	groups  map[groupKey]*group
	// ownGroups are those of groups that the gateway itself reads.
	ownGroups map[*group]struct{}
	routes    routes
	streams   []*Stream
	ready     queue
	timers    timers
	alarm     *time.Timer
	alarmAt   int64 // what alarm is set to; 0 = not set
	checked   uint64
	hole      uint64 // that groups know of
	drain     *draining
	standBy   *Drain // nil = it does not
	scratch   ring.Batch

	segments segments
	pinned   int // bytes of blocks that stalled clients are in the middle of, at the last sweep

	encoder  *deflate.Encoder
	excluded []string // Compression.ExcludeChannels, as exclude has them
	exclude  []wire.Pattern

	n      *counters // of clients
	hidden *counters // of the gateway's own streams
	writes int       // of both
	busy   int64     // nanoseconds
}

const (
	idle int32 = iota
	busy
	again // news came while busy
)

// input is one piece of news.
type input struct {
	op      op
	stream  *Stream
	records arrival
	payload any
}

type op uint8

const (
	opRecords op = iota
	opStart
	opWritable
	opFail
	opLeave
	opTune
	opFlags
	opRights
	opDrain
	opStandBy
	opSweep
	opCall
	opWait
	opQuit
)

func newLoop(f *Fanout, index int) *loop {
	l := &loop{
		f: f, index: index, wake: make(chan struct{}, 1),
		rand:   rand.New(rand.NewPCG(f.opts.Rand.Uint64(), f.opts.Rand.Uint64())),
		tuning: f.tuning.Load(), flags: f.flags.Load(), seen: f.opts.Ring.Head(),
		groups: map[groupKey]*group{}, ownGroups: map[*group]struct{}{}, ready: queue{lanes: map[string]*lane{}}, encoder: &deflate.Encoder{}, routes: newRoutes(), alarm: time.NewTimer(time.Hour),
	}
	l.checked = l.seen
	l.segments.budget, l.segments.sum = segmentsBytes/f.opts.Loops, &f.segments
	l.n, l.hidden = newCounters(f.opts.Buckets), newCounters(f.opts.Buckets)
	l.alarm.Stop()
	l.tuneCompression()
	return l
}

// serve runs the loop when nobody else does: on its alarm, and for what a
// caller left over.
func (l *loop) serve() {
	for {
		select {
		case <-l.wake:
		case <-l.alarm.C:
		case <-l.f.stop:
			return
		}
		l.run(-1)
	}
}

func (l *loop) post(in input) {
	l.mu.Lock()
	l.inbox = append(l.inbox, in)
	l.mu.Unlock()
}

// maxInbox is how much news may wait before records are folded into the one
// that is waiting already.
const maxInbox = 1024

func (l *loop) postRecords(a arrival) {
	l.mu.Lock()
	if n := len(l.inbox); n > maxInbox && l.inbox[n-1].op == opRecords {
		l.inbox[n-1].records.last = a.last // its time stays: the latency shown is never too low
	} else {
		l.inbox = append(l.inbox, input{op: opRecords, records: a})
	}
	l.mu.Unlock()
}

// call runs fn inside the loop and waits for it.
func (l *loop) call(fn func()) {
	done := make(chan struct{})
	l.post(input{op: opCall, payload: func() { fn(); close(done) }})
	l.run(-1)
	<-done
}

// run works off all news if nobody else does so already. A budget of writes
// ends it early and leaves the rest to the loop's goroutine; -1 = none.
func (l *loop) run(budget int) {
	defer CrashOnPanic()
	for !l.hold.CompareAndSwap(idle, busy) {
		if l.hold.Load() == again || l.hold.CompareAndSwap(busy, again) {
			return
		}
	}
	l.left = budget
	for {
		began := l.f.now()
		more := l.step()
		l.busy += l.f.now() - began
		l.setAlarm()
		if more {
			l.hold.Store(idle)
			select {
			case l.wake <- struct{}{}:
			default:
			}
			return
		}
		if l.hold.CompareAndSwap(busy, idle) {
			return
		}
		l.hold.Store(busy)
	}
}

// step works until nothing is left to do, or the budget is used up.
func (l *loop) step() (more bool) {
	for {
		l.now = l.f.now()
		l.takeInbox()
		l.scan()
		l.fire()
		if l.ready.empty() && len(l.news) == 0 {
			return false
		}
		if l.left == 0 {
			return true
		}
		l.work()
		if l.left < 0 {
			runtime.Gosched()
		}
	}
}

// work does about one turn of writes, less when the budget is used up.
func (l *loop) work() {
	for written := l.writes; !l.ready.empty() && l.left != 0 && l.writes-written < turn; {
		w, of := l.ready.take()
		before := l.writes
		if w.stream != nil {
			w.stream.queued = false
			l.advance(w.stream)
		} else {
			l.pass(w.group)
		}
		l.ready.spend(of, l.writes-before)
	}
}

func (l *loop) takeInbox() {
	l.mu.Lock()
	l.inbox, l.spare = l.spare[:0], l.inbox
	l.mu.Unlock()
	for i := range l.spare {
		l.handle(&l.spare[i])
	}
	clear(l.spare) // do not keep closed streams
}

func (l *loop) handle(in *input) {
	switch in.op {
	case opRecords:
		l.news = append(l.news, in.records)
	case opStart:
		l.begin(in.stream)
	case opWritable:
		l.writable(in.stream)
	case opFail:
		l.close(in.stream, ReasonError)
	case opLeave:
		l.close(in.stream, ReasonClient)
	case opTune:
		l.tune()
	case opFlags:
		l.flags = l.f.flags.Load()
		l.wakeEverybody()
		for _, s := range l.streams {
			l.queue(s)
		}
	case opRights:
		l.revoke()
	case opDrain:
		l.startDrain(in.payload.(Drain))
	case opStandBy:
		l.startStandBy(in.payload.(*Drain))
	case opSweep:
		l.sweep()
	case opCall:
		in.payload.(func())()
	case opWait:
		l.wait(in.payload.(*waiter))
	case opQuit:
		l.unwait(in.payload.(*waiter))
	}
}

// fire runs the timers that are due.
func (l *loop) fire() {
	for t := l.timers.due(l.now); t != nil; t = l.timers.due(l.now) {
		if t.stream != nil {
			l.tick(t.stream)
		} else {
			l.flush(t.group, causeTime)
		}
	}
}

// setAlarm wakes the loop's goroutine at the next deadline. An alarm that is
// set too early is left alone: waking for nothing is rarer than moving it.
func (l *loop) setAlarm() {
	if len(l.timers) == 0 {
		return
	}
	next := l.timers[0].at
	if l.alarmAt > l.now && l.alarmAt <= next {
		return
	}
	l.alarmAt = next
	l.alarm.Reset(time.Duration(next - l.f.now()))
}

// queue makes sure that a stream is looked at.
func (l *loop) queue(s *Stream) {
	if !s.queued && s.state != closed {
		s.queued = true
		l.ready.add(s.group.lane, work{stream: s})
	}
}

func (l *loop) tune() {
	coalesced := l.tuning.Coalesce
	l.tuning = l.f.tuning.Load()
	l.tuneCompression()
	l.release()
	for _, g := range l.groups {
		if l.tuning.Coalesce != coalesced {
			l.segments.forget(g)
		}
		if len(g.pending) > 0 {
			l.timers.sooner(&g.timer, g.lastFlush+int64(l.tuning.Batching.Window))
		}
	}
}
