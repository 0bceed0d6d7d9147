package fanout

import (
	"cmp"
	"maps"
	"slices"

	"github.com/streamgateway/streamgateway/gateway/engine/ring"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// plan is how a stream begins.
type plan struct {
	resume string // one of wire's Resume constants
	cursor uint64 // where reading begins
	resets []wire.Reset
	skips  []skip
	sides  []side
	last   []wire.Element // newest events, for a fresh start that asked for them
}

// side is a channel with a position of its own, behind the others: it is read
// up to where they begin, before them.
type side struct {
	subs   *wire.SubSet // of this channel alone
	cursor uint64
}

// skip is a subscription that goes on from a later position than the others,
// since what it had before cannot be shown to be complete.
type skip struct {
	subscription string
	upto         uint64
}

// decide answers a position, channel by channel, and then those of channels
// that have their own. It reads the log and changes nothing.
func decide(log *ring.Ring, epoch string, replay bool, r *Request) plan {
	if len(r.From) == 0 {
		return decideAll(log, epoch, replay, r)
	}
	others := *r
	others.Subs = subSet(slices.DeleteFunc(r.Subs.All(), func(name string) bool {
		_, own := r.From[name]
		return own
	}))
	p := decideAll(log, epoch, replay, &others)
	if p.resume != wire.ResumeReset { // that names all channels already
		decideOwn(log, epoch, replay, r.From, &p)
	}
	return p
}

// decideOwn answers the positions of single channels: each is replayed on its
// own where it is behind the others, left out up to it where it is before them,
// or reset.
func decideOwn(log *ring.Ring, epoch string, replay bool, from map[string]wire.Cursor, p *plan) {
	head := log.Head()
	for _, name := range slices.Sorted(maps.Keys(from)) {
		c, subs := from[name], subSet([]string{name})
		reason, lost := "", log.Complete(subs, c.Seq)
		switch {
		case c.Epoch != epoch:
			reason = wire.ResetEpoch
		case c.Seq > head:
			reason = wire.ResetFuture
		case !replay && moved(log, subs, c.Seq, head):
			reason = wire.ResetEvicted
		case len(lost) > 0:
			resets, skips := resetsFor(lost, epoch, head)
			p.resets, p.skips = append(p.resets, resets...), append(p.skips, skips...)
		case c.Seq < p.cursor:
			p.sides = append(p.sides, side{subs, c.Seq})
		case c.Seq > p.cursor:
			p.skips = append(p.skips, skip{name, c.Seq})
		}
		if reason != "" {
			p.resets = append(p.resets, wire.Reset{
				Reason: reason, Channels: []wire.ResetChannel{{Channel: wire.Unqualified(name)}}, ResumeAt: wire.Cursor{Epoch: epoch, Seq: head}.String(),
			})
			p.skips = append(p.skips, skip{name, head})
		}
	}
	if len(p.resets) > 0 {
		p.resume = wire.ResumePartial
	}
}

// decideAll answers the position that all channels share. One above the head is
// from the future: whoever asks has waited for a ring that is behind its log.
func decideAll(log *ring.Ring, epoch string, replay bool, r *Request) plan {
	head := log.Head()
	reset := func(reason string) plan {
		return plan{resume: wire.ResumeReset, cursor: head, resets: []wire.Reset{{
			Reason: reason, Channels: []wire.ResetChannel{}, All: true, ResumeAt: wire.Cursor{Epoch: epoch, Seq: head}.String(),
		}}}
	}
	p, c := r.Position, r.Position.Cursor
	switch {
	case p.Where == wire.Malformed:
		return reset(wire.ResetMalformed)
	case p.Where == wire.Earliest && replay:
		return plan{resume: wire.ResumeFresh, cursor: min(max(log.First()-1, log.Hole()), head)}
	case p.Where != wire.At:
		return plan{resume: wire.ResumeFresh, cursor: head, last: newest(log, r, head, replay)}
	case c.Epoch != epoch:
		return reset(wire.ResetEpoch)
	case c.Seq > head:
		return reset(wire.ResetFuture)
	case !replay && moved(log, r.Subs, c.Seq, head):
		return reset(wire.ResetEvicted)
	}
	lost := log.Complete(r.Subs, c.Seq)
	if len(lost) == 0 {
		return plan{resume: wire.ResumeComplete, cursor: c.Seq}
	}
	resets, skips := resetsFor(lost, epoch, head)
	return plan{resume: wire.ResumePartial, cursor: c.Seq, resets: resets, skips: skips}
}

// moved tells whether a subscription got, or may have got, an event between
// two positions.
func moved(log *ring.Ring, subs *wire.SubSet, after, upto uint64) bool {
	var batch ring.Batch
	_, err := log.Replay(subs, after, upto, 1, &batch)
	return err != nil || len(batch.Elements) > 0
}

// newest gives the newest events of each exact channel, in log order.
func newest(log *ring.Ring, r *Request, head uint64, replay bool) []wire.Element {
	if r.Last == 0 || !replay {
		return nil
	}
	var all []wire.Element
	var batch ring.Batch
	for _, name := range r.Subs.Exact() {
		log.Last(name, head, r.Last, &batch)
		all = append(all, batch.Elements...)
	}
	slices.SortFunc(all, func(a, b wire.Element) int { return cmp.Compare(a.Seq, b.Seq) })
	return all
}

// resetsFor names lost subscriptions, one sg.reset for each reason, and makes
// them go on from resumeAt.
func resetsFor(lost []ring.ChannelLoss, epoch string, resumeAt uint64) (resets []wire.Reset, skips []skip) {
	for _, reason := range []string{wire.ResetEvicted, wire.ResetUnprovable, wire.ResetLogHole} {
		reset := wire.Reset{Reason: reason, ResumeAt: wire.Cursor{Epoch: epoch, Seq: resumeAt}.String()}
		for _, loss := range lost {
			if reasonOf(&loss) != reason {
				continue
			}
			named := wire.ResetChannel{Channel: wire.Unqualified(loss.Channel)}
			if reason == wire.ResetEvicted {
				named.EvictedUpto = wire.Cursor{Epoch: epoch, Seq: loss.EvictedUpto}.String()
			}
			reset.Channels = append(reset.Channels, named)
			skips = append(skips, skip{loss.Channel, resumeAt})
		}
		if len(reset.Channels) > 0 {
			resets = append(resets, reset)
		}
	}
	return resets, skips
}

func reasonOf(loss *ring.ChannelLoss) string {
	switch {
	case loss.Hole:
		return wire.ResetLogHole
	case loss.Unprovable:
		return wire.ResetUnprovable
	}
	return wire.ResetEvicted
}
