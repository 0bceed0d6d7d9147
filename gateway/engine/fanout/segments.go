package fanout

import (
	"cmp"
	"container/list"
	"slices"
	"sync/atomic"
	"time"
)

// segments are the blocks that a loop made for streams that are behind: joined
// from recent ones, or read from the log. Streams that come back from about the
// same place share them, so that a storm of reconnects encodes and compresses
// each piece of the past once for a loop, whatever its size. The least recently
// used go first.
type segments struct {
	order  list.List // of *segment, the newest use in front
	bytes  int
	budget int
	sum    *atomic.Int64 // bytes of all loops

	hits, misses uint64
}

// segment is a block of a group at its place in both lists.
type segment struct {
	group *group
	block *block
	used  int64
	bytes int
	place *list.Element
}

const (
	// segmentsBytes is what all loops together keep.
	segmentsBytes = 32 << 20
	// keepSegments is how long one is kept that nobody comes for. Clients that
	// lost their connection at one moment are back by then.
	keepSegments = 10 * time.Second
)

// find gives the block that continues a group at a cursor, nil when none of use
// is kept. One that ends long before the group's newest event is of none, unless
// it is a large one: while events keep coming, everybody who comes would add a
// crumb to the row that the next has to be given. As it is, what follows a
// segment is no longer than the segment itself.
func (c *segments) find(g *group, cursor uint64, now int64) *block {
	// The first one that begins behind the cursor: those before do not fit, and
	// those after leave out what this one has.
	i, _ := slices.BinarySearchFunc(g.segments, cursor+1, (*segment).compare)
	if i == len(g.segments) || !g.segments[i].block.fits(cursor) || !g.segments[i].block.reaches(cursor, g.last) {
		c.count(g, &c.misses)
		return nil
	}
	s := g.segments[i]
	s.used = now
	c.order.MoveToFront(s.place)
	c.count(g, &c.hits)
	return s.block
}

func (c *segments) count(g *group, n *uint64) {
	if !g.key.own() {
		*n++
	}
}

// reaches tells whether b, given to a stream at a cursor, brings it far enough on
// its way to last.
func (b *block) reaches(cursor, last uint64) bool {
	return b.last >= last || len(b.bytes) >= maxSlice/2 || last-b.last <= b.last-cursor
}

func (s *segment) compare(first uint64) int { return cmp.Compare(s.block.first, first) }

// keep remembers a block, which nobody has yet, for others at about the same
// cursor. It takes the place of one that begins with the same event.
func (c *segments) keep(g *group, b *block, now int64) {
	i, found := slices.BinarySearchFunc(g.segments, b.first, (*segment).compare)
	if found {
		b.from = min(b.from, g.segments[i].block.from)
		c.drop(g.segments[i])
	}
	s := &segment{group: g, block: b, used: now, bytes: len(b.bytes)}
	if g.gzips > 0 {
		s.bytes *= 2 // its compressed form, and what that is made with
	}
	g.segments = slices.Insert(g.segments, i, s)
	s.place = c.order.PushFront(s)
	c.charge(s.bytes)
	c.bound(c.budget)
}

// bound keeps so many bytes from now on, or one segment that is larger.
func (c *segments) bound(budget int) {
	c.budget = budget
	for c.bytes > c.budget && c.order.Len() > 1 {
		c.drop(c.order.Back().Value.(*segment))
	}
}

func (c *segments) drop(s *segment) {
	i, _ := slices.BinarySearchFunc(s.group.segments, s.block.first, (*segment).compare)
	s.group.segments = slices.Delete(s.group.segments, i, i+1)
	c.order.Remove(s.place)
	c.charge(-s.bytes)
}

func (c *segments) charge(bytes int) {
	c.bytes += bytes
	c.sum.Add(int64(bytes))
}

// expire lets go of those that nobody has used since.
func (c *segments) expire(since int64) {
	for last := c.order.Back(); last != nil && last.Value.(*segment).used < since; last = c.order.Back() {
		c.drop(last.Value.(*segment))
	}
}

// forget lets go of a group's.
func (c *segments) forget(g *group) {
	for len(g.segments) > 0 {
		c.drop(g.segments[len(g.segments)-1])
	}
}
