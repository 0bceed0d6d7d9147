package fanout

import (
	"slices"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// advance writes what the stream has to get next: one block or slice, so that
// a stream with a long past takes turns with the others.
func (l *loop) advance(s *Stream) {
	if s.state == closed || s.blocked {
		return
	}
	l.tellFlags(s)
	for s.state != closed && !s.blocked {
		if l.left == 0 {
			l.queue(s)
			return
		}
		if len(s.rest) > 0 {
			l.write(s, s.rest)
			continue
		}
		if len(s.out) > 0 {
			if b := l.behindOut(s); b != nil {
				l.sendBehindOut(s, b)
				l.sent(s)
				return
			}
			b := s.out
			s.out = nil
			l.write(s, l.private(s, b))
			continue
		}
		if s.gap != nil && s.state == running {
			l.nameGap(s)
			continue
		}
		if s.state == ending {
			l.close(s, s.leaving.reason)
			return
		}
		if l.held(s) {
			return
		}
		b := l.next(s)
		if b == nil {
			if len(s.out) > 0 {
				continue // the past ended and says so
			}
			return
		}
		l.write(s, l.carry(s, b))
		l.sent(s)
		return
	}
}

// sent goes on after a block.
func (l *loop) sent(s *Stream) {
	switch {
	case s.blocked || s.state != running:
	case s.inStep():
		l.caughtUp(s)
	default:
		l.queue(s) // what follows, in the next turn
	}
}

// next gives what continues the stream at its cursor, nil when it has all.
func (l *loop) next(s *Stream) *block {
	if s.past != nil {
		return l.nextOfPast(s)
	}
	g := s.group
	for tries := 0; s.cursor < g.last; {
		if b := l.continuing(g, s.cursor); b != nil {
			return b
		}
		b, err := l.slice(g, g.subs, s.cursor, g.position(l.seen), l.f.opts.Epoch)
		switch {
		case err != nil:
			tries++
			l.evicted(s, tries >= maxTries)
			if len(s.out) > 0 {
				return nil // it names the gap, so it goes first
			}
		case b.events > 0:
			l.segments.keep(g, b, l.now)
			return b
		default:
			s.cursor = b.last
		}
	}
	l.caughtUp(s)
	return nil
}

// inStep tells whether a stream has all, so that only a new block, or news for
// it alone, needs to look at it again.
func (s *Stream) inStep() bool {
	return s.past == nil && s.cursor >= s.group.last && len(s.rest) == 0 && len(s.out) == 0 && s.gap == nil
}

// caughtUp notes that a live stream lacks nothing.
func (l *loop) caughtUp(s *Stream) {
	s.eventsAt, s.bytesAt = s.group.events, s.group.bytes
	s.behindSince = 0
	if s.slow {
		s.slow = false
		s.group.n.slow--
	}
}

// carry moves the stream behind a block and gives its bytes, which are to be
// written next.
func (l *loop) carry(s *Stream, b *block) []byte {
	s.cursor = b.last
	s.flight = flight{events: b.events, bytes: len(b.bytes), replay: s.past != nil}
	if s.past != nil {
		s.past.replayed += uint64(b.events)
	} else if b.events > 0 {
		s.flight.arrived = b.arrived
		s.behindSince = b.arrived
		s.pace.owe(b.events, len(b.bytes))
	}
	if b.taken {
		s.group.n.shared++
	}
	b.taken = true
	return l.form(s, b)
}

// hand hands out bytes made for this stream alone, with events it is to be
// credited for but which are not part of its row.
func (l *loop) hand(s *Stream, b *block) {
	s.flight = flight{events: b.events}
	s.pace.owe(b.events, len(b.bytes))
	l.write(s, l.private(s, b.bytes))
}

// behind gives the arrival of the first event after the stream's cursor, 0
// when it has all.
func (l *loop) behind(s *Stream) int64 {
	if s.cursor >= s.group.last {
		return 0
	}
	if i := s.group.find(s.cursor); i >= 0 && s.group.recent[i].arrived != 0 {
		return s.group.recent[i].arrived
	}
	return max(s.behindSince, l.marks.at(s.cursor), 1)
}

// write hands bytes to the sink. Bytes that it does not take stay in rest.
func (l *loop) write(s *Stream, b []byte) {
	if l.left > 0 {
		l.left--
	}
	l.writes++
	s.group.n.writes++
	n, blocked, err := s.sink.TryWrite(b)
	if err != nil {
		l.close(s, ReasonError)
		return
	}
	s.group.n.sent += uint64(n)
	s.bytes += uint64(n)
	if s.gzip != nil {
		s.group.n.gzipWrites++
		s.group.n.gzipSent += uint64(n)
	}
	s.rest = b[n:]
	if blocked {
		s.blocked = true
		s.blockedSince = l.now
		l.timers.sooner(&s.timer, l.now+int64(l.tuning.Connections.WriteTimeout))
		if s.behindSince != 0 {
			l.timers.sooner(&s.timer, s.behindSince+int64(l.tuning.Queue.MaxLag)/2)
		}
		return
	}
	if len(s.rest) == 0 {
		l.landed(s)
	}
}

// writable goes on where the sink was blocked.
func (l *loop) writable(s *Stream) {
	if s.state == closed || !s.blocked {
		return
	}
	s.blocked = false
	if len(s.rest) == 0 {
		l.landed(s)
	}
	l.advance(s)
}

// landed counts what the socket took.
func (l *loop) landed(s *Stream) {
	s.rest = nil
	f := s.flight
	s.flight = flight{}
	if f.events == 0 {
		return
	}
	s.group.n.delivered += uint64(f.events)
	s.events += uint64(f.events)
	if watches := l.f.watches.Load(); watches != nil {
		l.f.written(s, *watches)
	}
	if f.replay {
		s.group.n.replayed += uint64(f.events)
		return
	}
	s.eventsAt += uint64(f.events)
	s.bytesAt += uint64(f.bytes)
	s.behindSince = l.behind(s)
	if f.arrived != 0 {
		l.observe(s.group.n, l.f.now()-f.arrived)
	}
}

// observe counts one latency, in nanoseconds.
func (l *loop) observe(n *counters, latency int64) {
	seconds := time.Duration(latency).Seconds()
	n.latency[l.f.opts.Bucket(seconds)]++
	n.latencySum += uint64(latency)
}

// say queues controls, in out, for the stream and writes them when it can.
func (l *loop) say(s *Stream, out []byte) {
	if s.state != running {
		return
	}
	s.out = out
	l.advance(s)
}

// slice encodes up to maxSlice bytes of the log after a position. The block's
// last is up to where it is complete, also when it holds no events. Without an
// epoch its frames have no id.
func (l *loop) slice(g *group, subs *wire.SubSet, after, upto uint64, epoch string) (*block, error) {
	next, err := l.f.opts.Ring.Replay(subs, after, upto, maxSlice, &l.scratch)
	if err != nil {
		return nil, err
	}
	b := &block{first: next}
	if len(l.scratch.Elements) > 0 {
		b = l.encode(g, l.scratch.Elements, epoch)
		b.arrived = l.marks.at(b.first)
		clear(l.scratch.Elements) // they hold on to the log's memory
	}
	b.from, b.last = after, next
	return b, nil
}

// encode makes a block of events. Its first and last are theirs.
func (l *loop) encode(g *group, events []wire.Element, epoch string) *block {
	count, first, last := len(events), events[0].Seq, events[len(events)-1].Seq
	if l.tuning.Coalesce {
		events = wire.Coalesce(events)
		g.n.merged += uint64(count - len(events))
	}
	size := 0
	for i := range events {
		size += len(events[i].JSON) + frameBytes
	}
	g.n.blocks++
	return &block{
		first: first, last: last, events: count, secret: l.secret(events),
		bytes: wire.AppendFrame(make([]byte, 0, size), g.key.format, epoch, events...),
	}
}

// frameBytes is about what a frame adds to an element's JSON.
const frameBytes = 64

// find gives the index of the recent block that continues at c, -1 when there
// is none.
func (g *group) find(c uint64) int {
	for i, b := range slices.Backward(g.recent) {
		if b.fits(c) {
			return i
		}
		if b.last <= c {
			break
		}
	}
	return -1
}

// continuing gives what continues a group at c from memory: the newest block
// itself for a member that is in step, a segment, or several blocks joined into
// one write, for one that is behind; nil for one that needs the log.
func (l *loop) continuing(g *group, c uint64) *block {
	i := g.find(c)
	if i == len(g.recent)-1 && i >= 0 {
		return g.recent[i]
	}
	if b := l.segments.find(g, c, l.now); b != nil {
		return b
	}
	if i < 0 {
		return nil
	}
	row := g.row(i)
	if len(row) == 1 {
		return row[0]
	}
	b := join(row)
	l.segments.keep(g, b, l.now)
	return b
}

// row gives the recent blocks from i on that continue each other and fit in one
// slice, one at least.
func (g *group) row(i int) []*block {
	end, bytes := i+1, len(g.recent[i].bytes)
	for end < len(g.recent) && g.recent[end].fits(g.recent[end-1].last) {
		if bytes += len(g.recent[end].bytes); bytes > maxSlice {
			break
		}
		end++
	}
	return g.recent[i:end]
}

// join makes one block of several that continue each other.
func join(row []*block) *block {
	size := 0
	for _, b := range row {
		size += len(b.bytes)
	}
	joined := &block{from: row[0].from, first: row[0].first, last: row[len(row)-1].last,
		arrived: row[0].arrived, bytes: make([]byte, 0, size)}
	for _, b := range row {
		joined.events += b.events
		joined.bytes = append(joined.bytes, b.bytes...)
		joined.secret = joined.secret || b.secret
	}
	joined.piece = joinPieces(joined.bytes, row)
	return joined
}
