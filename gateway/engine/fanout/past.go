package fanout

import (
	"cmp"
	"slices"

	"github.com/streamgateway/streamgateway/gateway/engine/ring"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// past is a stream that catches up with what happened before it came. It is
// not held to the limits of Queue: to be behind is its nature. Its bounds are
// the write timeout and the log's own.
type past struct {
	sides    []side   // to be sent first, and told when they are over
	caught   []string // channels whose sides are over
	aside    uint64   // events of sides
	skips    []skip
	last     []wire.Element // to be sent first
	replayed uint64         // events

	// subs are the subscriptions that are complete up to bound; both are made
	// anew when the stream gets there.
	subs  *wire.SubSet
	bound uint64
}

// maxTries is how often a stream proves anew that nothing is lost, before it
// takes everything for lost. One is enough unless the log moves very fast.
const maxTries = 3

// nextOfPast gives the next slice of a stream's past; nil when it has all, or
// when resets have to go out first.
func (l *loop) nextOfPast(s *Stream) *block {
	p, g := s.past, s.group
	if len(p.sides) > 0 {
		if b := l.nextOfSides(s); b != nil || len(s.out) > 0 {
			return b
		}
	}
	if len(p.last) > 0 {
		b := l.encode(g, p.last, l.f.opts.Epoch)
		b.last = s.cursor
		p.last = nil
		return b
	}
	for tries := 0; ; {
		to := g.position(l.seen)
		if s.cursor >= to {
			l.endPast(s)
			return nil
		}
		subs, bound := p.follow(g.subs, s.cursor, to)
		if subs.Len() == 0 {
			s.cursor = bound
			continue
		}
		if subs == g.subs {
			if b := l.continuing(g, s.cursor); b != nil {
				return b
			}
		}
		b, err := l.slice(g, subs, s.cursor, bound, l.f.opts.Epoch)
		switch {
		case err != nil:
			tries++
			l.proveAgain(s, tries >= maxTries)
			if len(s.out) > 0 {
				return nil
			}
		case b.events > 0:
			if subs == g.subs {
				l.segments.keep(g, b, l.now)
			}
			return b
		default:
			s.cursor = b.last
		}
	}
}

// together is up to how many bytes of its past a stream gets in one write with
// what it is told before. A write costs the kernel and the client more than the
// bytes, and most clients that come back have missed little.
const together = 4 << 10

// caughtUpBytes is about what sg.caught-up takes.
const caughtUpBytes = 128

// behindOut gives the block of a stream's past that may go out with what the
// stream is told, nil when there is none or when it is large. Nothing is changed
// but by what next would have done.
func (l *loop) behindOut(s *Stream) *block {
	p := s.past
	if p == nil || s.state != running || len(p.sides)+len(p.last) > 0 {
		return nil
	}
	if len(p.skips) > 0 && s.cursor < s.group.position(l.seen) {
		return nil // a block of such a past is not kept: a large one would be made twice
	}
	if b := l.nextOfPast(s); b != nil && len(b.bytes) <= together {
		return b
	}
	return nil
}

// sendBehindOut writes what the stream is told, a block behind it, and that this
// was all where it was.
func (l *loop) sendBehindOut(s *Stream, b *block) {
	told := s.out
	s.out = nil
	text := l.private(s, told)
	text = slices.Grow(text, len(b.bytes)+caughtUpBytes)
	text = append(text, l.carry(s, b)...)
	if s.cursor >= s.group.position(l.seen) {
		l.endPast(s)
		text = append(text, l.private(s, s.out)...)
		s.out = nil
	}
	l.write(s, text)
}

// follow gives what a stream at a cursor reads, and up to where: everything
// but the subscriptions that go on later.
func (p *past) follow(all *wire.SubSet, cursor, to uint64) (*wire.SubSet, uint64) {
	if cursor >= p.bound {
		p.subs, p.bound = nil, 0
		p.skips = slices.DeleteFunc(p.skips, func(k skip) bool { return k.upto <= cursor })
	}
	if len(p.skips) == 0 {
		return all, to
	}
	if p.subs == nil {
		p.bound = slices.MinFunc(p.skips, func(a, b skip) int { return cmp.Compare(a.upto, b.upto) }).upto
		p.subs = without(all, p.skips)
	}
	return p.subs, min(p.bound, to)
}

// without gives the subscriptions that are not skipped.
func without(all *wire.SubSet, skips []skip) *wire.SubSet {
	names := slices.DeleteFunc(all.All(), func(name string) bool {
		return slices.ContainsFunc(skips, func(k skip) bool { return k.subscription == name })
	})
	return subSet(names)
}

// subSet makes a set of subscriptions that were in a set before.
func subSet(names []string) *wire.SubSet {
	subs, err := wire.QualifiedSubSet(names)
	if err != nil {
		panic(err)
	}
	return subs
}

// proveAgain finds out what the log has lost since a stream began to read it,
// tells the client, and lets those subscriptions go on from the head.
func (l *loop) proveAgain(s *Stream, giveUp bool) {
	resets := s.past.prove(l.f.opts.Ring, l.f.opts.Epoch, s.group.subs, s.cursor, s.group.position(l.seen), giveUp)
	s.out = appendResets(s.out, resets)
	s.group.n.reset(resets)
}

// prove is the rule of proveAgain: what is lost of all, for a reader at a
// cursor, goes on from resumeAt.
func (p *past) prove(log *ring.Ring, epoch string, all *wire.SubSet, cursor, resumeAt uint64, giveUp bool) []wire.Reset {
	followed := without(all, p.skips)
	lost := log.Complete(followed, cursor)
	for _, k := range p.skips {
		lost = append(lost, log.Complete(subSet([]string{k.subscription}), k.upto)...)
	}
	if len(lost) == 0 && giveUp {
		for _, name := range followed.All() {
			lost = append(lost, ring.ChannelLoss{Channel: name, Unprovable: true})
		}
	}
	if len(lost) == 0 {
		return nil
	}
	resets, skips := resetsFor(lost, epoch, resumeAt)
	p.skips = slices.DeleteFunc(p.skips, func(old skip) bool {
		return slices.ContainsFunc(skips, func(k skip) bool { return k.subscription == old.subscription })
	})
	p.skips = append(p.skips, skips...)
	p.subs, p.bound = nil, 0
	return resets
}

// nextOfSides gives the next slice of the channels that have their own
// position, in frames without an id; nil when all of them are where the others
// begin, or when a reset has to go out first.
func (l *loop) nextOfSides(s *Stream) *block {
	p, log := s.past, l.f.opts.Ring
	for len(p.sides) > 0 {
		o := &p.sides[0]
		if o.cursor < s.cursor {
			b, err := l.slice(s.group, o.subs, o.cursor, s.cursor, "")
			if err != nil {
				l.loseSide(s, log)
				return nil
			}
			o.cursor = b.last
			if b.events > 0 {
				b.last = s.cursor
				p.aside += uint64(b.events)
				return b
			}
			continue
		}
		p.caught = append(p.caught, wire.UnqualifiedAll(o.subs.All())...)
		p.sides = p.sides[1:]
	}
	if len(p.caught) > 0 {
		s.out = wire.AppendControl(s.out, wire.ControlCaughtUp, wire.Cursor{}, &wire.CaughtUp{
			Cursor: l.f.at(s.cursor).String(), Replayed: p.aside, Channels: p.caught,
		})
		p.caught = nil
	}
	return nil
}

// loseSide resets a channel whose own past has left the log.
func (l *loop) loseSide(s *Stream, log *ring.Ring) {
	resets, skips := s.past.loseSide(log, l.f.opts.Epoch, s.group.position(l.seen))
	s.out = appendResets(s.out, resets)
	s.past.skips = append(s.past.skips, skips...)
	s.past.subs, s.past.bound = nil, 0
	s.group.n.reset(resets)
}

func (p *past) loseSide(log *ring.Ring, epoch string, resumeAt uint64) (resets []wire.Reset, skips []skip) {
	o := p.sides[0]
	p.sides = p.sides[1:]
	lost := log.Complete(o.subs, o.cursor)
	if len(lost) == 0 { // the log moves faster than it is read
		lost = []ring.ChannelLoss{{Channel: o.subs.Key(), Unprovable: true}}
	}
	return resetsFor(lost, epoch, resumeAt)
}

func appendResets(out []byte, resets []wire.Reset) []byte {
	for i := range resets {
		out = wire.AppendControl(out, wire.ControlReset, wire.Cursor{}, &resets[i])
	}
	return out
}

// endPast makes a stream live.
func (l *loop) endPast(s *Stream) {
	at := l.f.at(s.cursor)
	s.out = wire.AppendControl(s.out, wire.ControlCaughtUp, at, &wire.CaughtUp{Cursor: at.String(), Replayed: s.past.replayed})
	s.past = nil
	s.eventsAt, s.bytesAt = s.group.events, s.group.bytes
}
