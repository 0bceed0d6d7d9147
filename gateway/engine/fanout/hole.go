package fanout

import "github.com/streamgateway/streamgateway/gateway/engine/wire"

// tellHole puts what a hole means into the row of each group, at its place:
// who goes on by blocks is told in order, and no block leads past it. Who reads
// the log instead is stopped there by the log's proof.
func (l *loop) tellHole(hole uint64) {
	l.hole = hole
	text := wire.AppendCheckpoint(l.appendHole(nil, hole), l.f.at(hole))
	for _, g := range l.groups {
		if g.key.poll {
			l.wakeAll(g)
			continue
		}
		l.flush(g, causeFlush)
		g.n.resets[wire.ResetLogHole] += uint64(len(g.members))
		l.publish(g, &block{from: g.last, first: hole, last: hole, bytes: text})
	}
}

// leaveHole tells a live stream that goes on from upto without the blocks before
// it of a hole that it passes by that. It gives the hole, 0 = none.
func (l *loop) leaveHole(s *Stream, upto uint64) uint64 {
	hole := l.f.opts.Ring.Hole()
	if hole <= s.cursor || hole > upto {
		return 0
	}
	s.out = l.appendHole(s.out, hole)
	s.group.n.resets[wire.ResetLogHole]++
	return hole
}

func (l *loop) appendHole(out []byte, hole uint64) []byte {
	return wire.AppendControl(out, wire.ControlReset, wire.Cursor{}, &wire.Reset{
		Reason: wire.ResetLogHole, Channels: []wire.ResetChannel{}, All: true, ResumeAt: l.f.at(hole).String(),
	})
}
