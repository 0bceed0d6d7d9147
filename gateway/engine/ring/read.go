package ring

import (
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
			e, ok := r.element(c, int(seq-c.base))
			if !ok {
				return ErrEvicted
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
	return r.element(c, i)
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
		if e, ok := r.element(c, i); ok && seq <= upto {
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
	channels := r.every(subs, after)
	dir := *r.dir.Load()
	seqs := make([]uint64, 0, len(channels))
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
	slices.Sort(seqs)
	for _, seq := range seqs {
		c, i := find(dir, seq)
		if c == nil {
			continue
		}
		if e, ok := r.element(c, i); ok && !dst.add(e, maxBytes) {
			return after
		}
		after = seq
	}
	return upto
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
