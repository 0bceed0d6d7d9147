package fanout

import (
	"slices"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/deflate"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// groupKey is equal for streams that get the same bytes.
type groupKey struct {
	subs   string
	format wire.Format
	poll   bool // no streams, but polls that wait
}

// own tells whether the streams are the gateway's own: they are served as all
// others are, and are in no number that is told of clients.
func (k *groupKey) own() bool { return wire.Own(k.subs) }

// group is all streams of one loop that get the same bytes. A batch is encoded
// once for all of them.
type group struct {
	key     groupKey
	subs    *wire.SubSet
	lane    *lane     // of its tenant
	n       *counters // of the loop, for clients or for the gateway itself
	members []*Stream
	waiters []*waiter

	// pending are matched events that wait for the window to close.
	pending      []wire.Element
	pendingBytes int64
	arrived      int64 // of the oldest pending event
	hurry        bool  // flush at the end of the records at hand
	timer        timer
	lastFlush    int64 // when the window opened

	last        uint64   // newest event or checkpoint flushed
	events      uint64   // flushed since the group was made
	bytes       uint64   // flushed since the group was made
	recent      []*block // newest last
	recentBytes int
	segments    []*segment // for members that are behind, by their first event
	gzips       int        // members that get gzip
	output      deflate.Output

	passing bool // the newest blocks are being written to members
	passAt  int  // members still to be written in this pass, from the end
	repass  bool // a block came during the pass
}

// block is an immutable piece of a stream. It continues a stream whose cursor
// c is from ≤ c < first: the group has no event in between.
type block struct {
	from, first, last uint64
	events            int
	bytes             []byte
	secret            bool           // holds an event of a channel that is never compressed
	piece             *deflate.Piece // bytes for gzip; nil until somebody needs it
	arrived           int64          // of its oldest event in this pod; 0 = not known
	flushed           int64          // when it became the newest of its group
	taken             bool           // written to a stream already
}

// fits tells whether b is what comes next after cursor c.
func (b *block) fits(c uint64) bool { return b.from <= c && c < b.first }

const (
	// maxRecent and maxRecentBytes bound what a group keeps for members whose
	// sink was busy when a block came. Older ones come from the ring.
	maxRecent      = 32
	maxRecentBytes = 1 << 20
	// maxSlice is how many bytes a stream that catches up gets in one write.
	maxSlice = 64 << 10
)

// position is up to where members of the group can be: everything in the log
// up to it has been flushed or does not concern them.
func (g *group) position(seen uint64) uint64 {
	if len(g.pending) > 0 {
		return g.pending[0].Seq - 1
	}
	return seen
}

// cause is why a batch was closed.
type cause uint8

const (
	causeLeading cause = iota
	causeTime
	causeCount
	causeBytes
	causeFlush
)

// take adds a matched event to the group's batch and closes it when it is
// full.
func (l *loop) take(g *group, e *wire.Element, arrived int64) {
	if g.key.poll {
		l.wakeAll(g)
		return
	}
	if len(g.pending) == 0 {
		g.arrived = arrived
	}
	g.pending = append(g.pending, *e)
	g.pendingBytes += int64(len(e.JSON))
	b := &l.tuning.Batching
	switch {
	case b.Window <= 0:
		l.flush(g, causeLeading)
	case len(g.pending) >= b.MaxEvents:
		l.flush(g, causeCount)
	case g.pendingBytes >= b.MaxBytes:
		l.flush(g, causeBytes)
	case e.Flush:
		l.flush(g, causeFlush)
	case !g.hurry:
		g.hurry = true
		l.touched = append(l.touched, g)
	}
}

// settle decides for groups that got events, once the records at hand are
// matched: a quiet group is flushed at once, so that a lone event (or the
// events of one publish request) never waits; a busy one waits for its window.
func (l *loop) settle() {
	window := int64(l.tuning.Batching.Window)
	for _, g := range l.touched {
		g.hurry = false
		switch {
		case len(g.pending) == 0:
		case l.now-g.lastFlush >= window:
			l.flush(g, causeLeading)
		default:
			l.timers.sooner(&g.timer, g.lastFlush+window)
		}
	}
	clear(l.touched)
	l.touched = l.touched[:0]
}

// flush closes the group's batch: one block, encoded once, for all members.
func (l *loop) flush(g *group, why cause) {
	l.timers.clear(&g.timer)
	if len(g.pending) == 0 {
		return
	}
	b := l.encode(g, g.pending, l.f.opts.Epoch)
	b.from, b.arrived = g.last, g.arrived
	clear(g.pending) // they hold on to the log's memory
	g.pending, g.pendingBytes = g.pending[:0], 0
	g.lastFlush = l.now
	g.n.batch(why, b.events)
	l.publish(g, b)
}

// publish makes b the newest block of the group and begins to write it.
func (l *loop) publish(g *group, b *block) {
	b.flushed = l.now
	g.place(b)
	g.last = b.last
	g.events += uint64(b.events)
	g.bytes += uint64(len(b.bytes))
	g.recent = append(g.recent, b)
	g.recentBytes += len(b.bytes)
	g.trim()
	if g.passing {
		g.repass = true
		return
	}
	g.passing, g.passAt = true, len(g.members)
	l.ready.add(g.lane, work{group: g})
}

// trim drops the oldest recent blocks above the bounds, but never the newest.
func (g *group) trim() {
	drop, bytes := 0, g.recentBytes
	for len(g.recent)-drop > 1 && (len(g.recent)-drop > maxRecent || bytes > maxRecentBytes) {
		bytes -= len(g.recent[drop].bytes)
		drop++
	}
	g.dropRecent(drop)
}

func (g *group) dropRecent(n int) {
	for _, b := range g.recent[:n] {
		g.recentBytes -= len(b.bytes)
	}
	g.recent = slices.Delete(g.recent, 0, n)
}

// keepRecent is how long a group keeps its blocks when nobody pushes them out.
const keepRecent = time.Second

// sweep lets go of blocks that only clients far behind could still use.
func (l *loop) sweep() {
	bounds := l.f.memory.Load()
	l.unpin(bounds.Pinned / len(l.f.loops))
	l.segments.bound(bounds.Segments / len(l.f.loops))
	l.segments.expire(l.now - int64(keepSegments))
	for _, g := range l.groups {
		old := 0
		for old < len(g.recent) && l.now-g.recent[old].flushed >= int64(keepRecent) {
			old++
		}
		g.dropRecent(old)
		if l.now-g.lastFlush >= int64(keepWindow) {
			g.output.Forget()
		}
	}
}

// pass writes the newest block to members, from the last to the first, so that
// a member that leaves meanwhile (the last one takes its place) leaves none
// out. It stops when the budget is used up and goes on in the next turn.
func (l *loop) pass(g *group) {
	g.passAt = min(g.passAt, len(g.members))
	for written := l.writes; g.passAt > 0; {
		if l.left == 0 || l.writes-written >= turn {
			l.ready.add(g.lane, work{group: g})
			return
		}
		g.passAt--
		s := g.members[g.passAt]
		if s.blocked || l.held(s) {
			l.missed(s)
		} else {
			l.advance(s)
		}
	}
	if g.repass {
		g.repass, g.passAt = false, len(g.members)
		l.ready.add(g.lane, work{group: g})
		return
	}
	g.passing = false
}
