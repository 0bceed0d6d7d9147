package ring

import "github.com/streamgateway/streamgateway/gateway/engine/wire"

// ChannelLoss is a subscription whose completeness cannot be shown.
type ChannelLoss struct {
	Channel string // channel or pattern, as subscribed
	// EvictedUpto is the newest event of it that is gone, or a bound above it.
	EvictedUpto uint64
	// Unprovable: the ring has forgotten the channel, or the pattern has too
	// many, and it cannot say more than the bound; perhaps nothing is lost.
	Unprovable bool
	// Hole: the bound is Ring.Hole, and not what this log has lost.
	Hole bool
}

// holed makes a hole the bound when it is above what is gone.
func (l *ChannelLoss) holed(hole uint64) {
	if hole > l.EvictedUpto {
		l.EvictedUpto, l.Unprovable, l.Hole = hole, false, true
	}
}

// Complete gives the subscriptions for which a reader that has everything up
// to and including n may have missed events that are gone. Empty is a proof:
// whatever they got after n is in the ring.
func (r *Ring) Complete(subs *wire.SubSet, n uint64) []ChannelLoss {
	return r.complete(subs, n, r.hole.Load())
}

// complete is Complete for a reader that reads past this hole.
func (r *Ring) complete(subs *wire.SubSet, n, hole uint64) []ChannelLoss {
	// Nothing above n has gone from any channel: the common case, O(1).
	if r.evicted.Load() <= n && hole <= n {
		return nil
	}
	var lost []ChannelLoss
	r.table.mu.RLock()
	defer r.table.mu.RUnlock()
	for _, name := range subs.Exact() {
		loss := ChannelLoss{Channel: name}
		if ch := r.table.byName[name]; ch != nil {
			loss.EvictedUpto = ch.evicted.Load()
		} else {
			loss.EvictedUpto, loss.Unprovable = r.floors.ofName(name), true
		}
		if loss.holed(hole); loss.EvictedUpto > n {
			lost = append(lost, loss)
		}
	}
	for _, p := range subs.Patterns() {
		loss := r.patternLoss(p)
		if loss.holed(hole); loss.EvictedUpto > n {
			lost = append(lost, loss)
		}
	}
	return lost
}

// maxWalk bounds the channels of a pattern that a proof looks at. Above it the
// pattern counts as lost: a reader with so many channels and a cursor from
// before an eviction has hardly missed nothing.
const maxWalk = 1 << 14

// patternLoss folds all channels of a pattern, known and forgotten.
func (r *Ring) patternLoss(p wire.Pattern) ChannelLoss {
	loss := ChannelLoss{Channel: p.String()}
	visits := 0
	if !r.table.match(p, func(ch *channel) bool {
		visits++
		loss.EvictedUpto = max(loss.EvictedUpto, ch.evicted.Load())
		return visits < maxWalk
	}) {
		loss.EvictedUpto, loss.Unprovable = r.evicted.Load(), true
		return loss
	}
	if floor := r.floors.ofPattern(p); floor > loss.EvictedUpto {
		loss.EvictedUpto, loss.Unprovable = floor, true
	}
	return loss
}
