package ring

import (
	"slices"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

const (
	// shortSpan is a distance that is read straight through: looking for the
	// channels first would cost more.
	shortSpan = 256
	// maxActive is how many channels are followed by their backlinks; above it
	// the log is read straight through.
	maxActive = 256
	// maxBacklinks is how many events are gathered by backlinks. More than that
	// do not fit a slice, so that reading straight on from the cursor finds the
	// slice's events sooner. Over a shorter distance less is tried, one event
	// for backlinkSpan: what is tried in vain must be little against reading on.
	maxBacklinks = 1024
	backlinkSpan = 32
	memoSize     = 2048
)

// Batch is a run of events of a replay, oldest first. Its memory is used again
// by the next call that gets it; the elements' bytes are the log's own and
// stay valid.
type Batch struct {
	Elements []wire.Element
	Bytes    int // of the elements' JSON
}

func (b *Batch) reset() { b.Elements, b.Bytes = b.Elements[:0], 0 }

// add tells whether e still fits; the first one always does.
func (b *Batch) add(e wire.Element, maxBytes int) bool {
	if len(b.Elements) > 0 && b.Bytes+len(e.JSON) > maxBytes {
		return false
	}
	b.Elements = append(b.Elements, e)
	b.Bytes += len(e.JSON)
	return true
}

// scratch is the working memory of one call.
type scratch struct {
	active []tip
	seqs   []uint64
	memo   [memoSize]verdict
}

// verdict remembers whether a channel is subscribed.
type verdict struct {
	tag  uint32 // id + 1
	want bool
}

// Replay puts the events of subs after a position, and not after upto, into
// dst, as many as fit in maxBytes (one always does). next is the position up
// to which dst is complete: call again with it until it is upto. upto must
// have been a Head. The error is ErrEvicted when completeness after the
// position can no longer be shown.
//
// Few events in a long log are found by their channels' backlinks, in
// O(events · log); many are read straight through.
func (r *Ring) Replay(subs *wire.SubSet, after, upto uint64, maxBytes int, dst *Batch) (next uint64, err error) {
	dst.reset()
	upto = min(upto, r.Head())
	if after >= upto {
		return after, nil
	}
	s := r.scratch.Get().(*scratch)
	defer r.scratch.Put(s)
	straight := upto-after <= shortSpan || r.crowded(subs, after, upto) || !r.active(subs, after, s)
	// The order matters. Channels' newest events were read before dir, so dir
	// has them, or else says so through the proof, which is made after.
	dir := *r.dir.Load()
	hole := r.hole.Load()
	if hole > upto {
		hole = 0 // who reads on is told then
	}
	if len(r.complete(subs, after, hole)) > 0 {
		return after, ErrEvicted
	}
	if !straight {
		ok, err := backlinks(dir, s, after, upto)
		if err != nil {
			return after, err
		}
		straight = !ok
	}
	if straight {
		return r.readThrough(dir, subs, s, after, upto, maxBytes, dst)
	}
	return r.pick(dir, s.seqs, after, upto, maxBytes, dst)
}

// crowded tells whether going through a pattern's channels could take longer
// than going through the events.
func (r *Ring) crowded(subs *wire.SubSet, after, upto uint64) bool {
	return len(subs.Patterns()) > 0 && upto-after <= uint64(r.table.len())
}

// active lists the subscribed channels that have an event after a position; it
// tells whether they are few enough to follow each.
func (r *Ring) active(subs *wire.SubSet, after uint64, s *scratch) bool {
	s.active = s.active[:0]
	add := func(ch *channel) bool {
		if newest := ch.last.Load(); newest > after {
			s.active = append(s.active, tip{ch, newest})
		}
		return len(s.active) <= maxActive
	}
	r.table.mu.RLock()
	defer r.table.mu.RUnlock()
	for _, name := range subs.Exact() {
		if ch := r.table.byName[name]; ch != nil && !add(ch) {
			return false
		}
	}
	for _, p := range subs.Patterns() {
		if !r.table.match(p, add) {
			return false
		}
	}
	if len(subs.Patterns()) > 0 {
		slices.SortFunc(s.active, byID)
		s.active = slices.CompactFunc(s.active, sameChannel)
	}
	return true
}

// backlinks gathers the events of the active channels, oldest first; ok is
// false when there are too many.
func backlinks(dir []*chunk, s *scratch, after, upto uint64) (ok bool, err error) {
	s.seqs = s.seqs[:0]
	steps := uint64(0)
	limit := min(maxBacklinks, (upto-after)/backlinkSpan)
	for _, ch := range s.active {
		for seq := ch.newest; seq > after; {
			if steps++; steps > limit {
				return false, nil
			}
			c, i := find(dir, seq)
			if c == nil {
				return false, ErrEvicted
			}
			if seq <= upto {
				s.seqs = append(s.seqs, seq)
			}
			seq = c.entries[i].prev
		}
	}
	slices.Sort(s.seqs)
	return true, nil
}

// pick puts the listed events into dst.
func (r *Ring) pick(dir []*chunk, seqs []uint64, after, upto uint64, maxBytes int, dst *Batch) (next uint64, err error) {
	for _, seq := range seqs {
		c, i := find(dir, seq)
		if c == nil {
			return after, ErrEvicted
		}
		e, err := r.element(c, i)
		if err != nil {
			return after, err
		}
		if !dst.add(e, maxBytes) {
			return after, nil
		}
		after = seq
	}
	return upto, nil
}

// readThrough goes over all events between two positions and puts the
// subscribed ones into dst.
func (r *Ring) readThrough(dir []*chunk, subs *wire.SubSet, s *scratch, after, upto uint64, maxBytes int, dst *Batch) (next uint64, err error) {
	next = upto
	if !r.scan(dir, subs, s, after, upto, func(c *chunk, i int) bool {
		var e wire.Element
		if e, err = r.element(c, i); err != nil {
			return false
		}
		if !dst.add(e, maxBytes) {
			next = e.Seq - 1
			return false
		}
		return true
	}) || err != nil {
		return after, ErrEvicted
	}
	return next, nil
}

// scan calls visit with every subscribed event between two positions, oldest
// first, until it says no; ok is false when dir has lost some of them.
func (r *Ring) scan(dir []*chunk, subs *wire.SubSet, s *scratch, after, upto uint64, visit func(c *chunk, i int) bool) (ok bool) {
	clear(s.memo[:])
	for _, c := range dir[from(dir, after+1):] {
		for seq, end := max(after+1, c.base), min(c.end(), upto+1); seq < end; seq++ {
			i := int(seq - c.base)
			want, ok := r.wanted(subs, s, c.entries[i].channel)
			if !ok {
				return false
			}
			if want && !visit(c, i) {
				return true
			}
		}
	}
	return true
}

// wanted tells whether a channel is subscribed; ok is false when it has been
// forgotten.
func (r *Ring) wanted(subs *wire.SubSet, s *scratch, id uint32) (want, ok bool) {
	v := &s.memo[id%memoSize]
	if v.tag == id+1 {
		return v.want, true
	}
	ch := r.table.byID(id)
	if ch == nil {
		return false, false
	}
	*v = verdict{tag: id + 1, want: subs.Match(ch.name)}
	return v.want, true
}
