package ring

import (
	"maps"
	"slices"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Each calls visit with every event after a position and not after upto,
// whatever its channel, until visit says no: the way of live readers. The
// error is ErrEvicted when one of them is gone. visit must not keep the
// pointer; the element's bytes stay valid.
func (r *Ring) Each(after, upto uint64, visit func(*wire.Element) bool) error {
	dir := *r.dir.Load()
	if r.evicted.Load() > after {
		return ErrEvicted
	}
	upto = min(upto, r.Head())
	for _, c := range dir[from(dir, after+1):] {
		for seq, end := max(after+1, c.base), min(c.end(), upto+1); seq < end; seq++ {
			e, err := r.element(c, int(seq-c.base))
			if err != nil {
				return err
			}
			if !visit(&e) {
				return nil
			}
		}
	}
	return nil
}

// Get gives one event; ok is false when it is gone or not there yet.
func (r *Ring) Get(seq uint64) (e wire.Element, ok bool) {
	if seq > r.Head() {
		return e, false
	}
	c, i := find(*r.dir.Load(), seq)
	if c == nil {
		return e, false
	}
	e, err := r.element(c, i)
	return e, err == nil
}

// Last puts the newest n retained events of a channel, not after upto, into
// dst, oldest first.
func (r *Ring) Last(name string, upto uint64, n int, dst *Batch) {
	dst.reset()
	ch := r.lookup(name)
	if ch == nil {
		return
	}
	seq := ch.last.Load()
	dir := *r.dir.Load()
	for len(dst.Elements) < n && seq > 0 {
		c, i := find(dir, seq)
		if c == nil {
			break
		}
		if e, err := r.element(c, i); err == nil && seq <= upto {
			dst.Elements = append(dst.Elements, e)
			dst.Bytes += len(e.JSON)
		}
		seq = c.entries[i].prev
	}
	slices.Reverse(dst.Elements)
}

func (r *Ring) lookup(name string) *channel {
	r.table.mu.RLock()
	defer r.table.mu.RUnlock()
	return r.table.byName[name]
}

// every lists all subscribed channels that have an event after a position.
// Read dir after it: then what a tip points to is there, or gone.
func (r *Ring) every(subs *wire.SubSet, after uint64) []tip {
	var found []tip
	add := func(ch *channel) bool {
		if newest := ch.last.Load(); newest > after {
			found = append(found, tip{ch, newest})
		}
		return true
	}
	r.table.mu.RLock()
	defer r.table.mu.RUnlock()
	for _, name := range subs.Exact() {
		if ch := r.table.byName[name]; ch != nil {
			add(ch)
		}
	}
	for _, p := range subs.Patterns() {
		r.table.match(p, add)
	}
	slices.SortFunc(found, byID)
	return slices.CompactFunc(found, sameChannel)
}

// held gives dir when all events after a position are in it and are fewer than
// the channels, so that going through them is the short way.
func (r *Ring) held(after, upto uint64) (dir []*chunk, ok bool) {
	dir = *r.dir.Load()
	return dir, r.evicted.Load() <= after && upto-after <= uint64(r.table.len())
}

// Newest puts the newest event of each subscribed channel after a position,
// and not after upto, into dst, oldest first, as many as fit in maxBytes. next
// is as with Replay: call again with it, and the same upto, for the rest.
// Channels whose newest event is gone are not there: Count tells.
func (r *Ring) Newest(subs *wire.SubSet, after, upto uint64, maxBytes int, dst *Batch) (next uint64) {
	dst.reset()
	upto = min(upto, r.Head())
	if after >= upto {
		return after
	}
	dir, seqs := r.newest(subs, after, upto)
	slices.Sort(seqs)
	for _, seq := range seqs {
		c, i := find(dir, seq)
		if c == nil {
			continue
		}
		if e, err := r.element(c, i); err == nil && !dst.add(e, maxBytes) {
			return after
		}
		after = seq
	}
	return upto
}

// newest lists the newest events of the subscribed channels between two
// positions, and gives the directory to find them in.
func (r *Ring) newest(subs *wire.SubSet, after, upto uint64) (dir []*chunk, seqs []uint64) {
	if dir, ok := r.held(after, upto); ok {
		s := r.scratch.Get().(*scratch)
		defer r.scratch.Put(s)
		latest := map[uint32]uint64{}
		if r.scan(dir, subs, s, after, upto, func(c *chunk, i int) bool {
			latest[c.entries[i].channel] = c.base + uint64(i)
			return true
		}) {
			return dir, slices.Collect(maps.Values(latest))
		}
	}
	channels := r.every(subs, after)
	dir = *r.dir.Load()
	for _, ch := range channels {
		seq := ch.newest
		for seq > upto {
			c, i := find(dir, seq)
			if c == nil {
				break
			}
			seq = c.entries[i].prev
		}
		if seq > after && seq <= upto {
			seqs = append(seqs, seq)
		}
	}
	return dir, seqs
}

// ChannelCount is how many events a channel got.
type ChannelCount struct {
	Channel string
	Events  uint64
	// Exact is false when some are gone or counting took too long: then there
	// are at least Events.
	Exact bool
}

// Count counts, for each subscribed channel that got any, the events after a
// position and not after upto, in at most maxSteps steps over all channels.
// Subscriptions whose channels have been forgotten are not there: Complete
// names them.
func (r *Ring) Count(subs *wire.SubSet, after, upto uint64, maxSteps int) []ChannelCount {
	upto = min(upto, r.Head())
	if after >= upto {
		return nil
	}
	if upto-after <= uint64(max(maxSteps, 0)) {
		if counts, ok := r.countThrough(subs, after, upto); ok {
			return counts
		}
	}
	channels := r.every(subs, after)
	dir := *r.dir.Load()
	counts := make([]ChannelCount, 0, len(channels))
	for _, ch := range channels {
		n := ChannelCount{Channel: ch.name, Exact: true}
		for seq := ch.newest; seq > after; maxSteps-- {
			c, i := find(dir, seq)
			if c == nil || maxSteps <= 0 {
				n.Exact = false
				break
			}
			if seq <= upto {
				n.Events++
			}
			seq = c.entries[i].prev
		}
		if n.Events > 0 || !n.Exact {
			counts = append(counts, n)
		}
	}
	return counts
}

// countThrough counts by going through the events; ok is false when that is not
// the short way, or not possible.
func (r *Ring) countThrough(subs *wire.SubSet, after, upto uint64) (counts []ChannelCount, ok bool) {
	dir, ok := r.held(after, upto)
	if !ok {
		return nil, false
	}
	s := r.scratch.Get().(*scratch)
	defer r.scratch.Put(s)
	place := map[uint32]int{} // in counts, by channel
	forgotten := false
	ok = r.scan(dir, subs, s, after, upto, func(c *chunk, i int) bool {
		id := c.entries[i].channel
		at, known := place[id]
		if !known {
			ch := r.table.byID(id)
			if ch == nil {
				forgotten = true
				return false
			}
			at = len(counts)
			place[id] = at
			counts = append(counts, ChannelCount{Channel: ch.name, Exact: true})
		}
		counts[at].Events++
		return true
	})
	return counts, ok && !forgotten
}
