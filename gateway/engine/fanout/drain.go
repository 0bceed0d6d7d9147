package fanout

import (
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Drain says how clients are asked to move to another pod.
type Drain struct {
	Reason  string        // one of wire's Drain constants, told in sg.drain
	Spread  time.Duration // clients get their slots over this, or over more by maxMovesPerSecond
	Timeout time.Duration // who is still there is closed
}

const (
	// drainRetryMin and drainRetrySpan bound the hint to plain clients that are
	// moved, in milliseconds: they can come back at once, on another pod. Their
	// slots are spread already, so the hint need not spread them: all of it is
	// seen as a gap. It is not shorter because browsers keep it for the attempts
	// that follow, and a Service without a ready pod would be asked that often.
	drainRetryMin  = 100
	drainRetrySpan = 201
	// maxMovesPerSecond bounds how many streams of this pod are asked to move. It
	// is half of what a pod lets in by default, so that those that they come to
	// need not turn any away to come back in seconds, and costs them a sixth of a
	// processor.
	maxMovesPerSecond = 1000
	// pollRetrySpan is the same for polls, which all end at once.
	pollRetrySpan = 1301
	// drainOverlap is how long readers of arrays, which are programs that know
	// sg.drain, may keep the old stream while they open the new one. Plain
	// clients would not use it.
	drainOverlap = 2 * time.Second
	// ageOverlap bounds the same at connections.maxAge.
	ageOverlap = 10 * time.Second
)

// over gives the drain of so many streams. One without a spread is in a hurry.
func (d Drain) over(streams int) Drain {
	if d.Spread > 0 {
		d.Spread = max(d.Spread, time.Duration(streams)*time.Second/maxMovesPerSecond)
	}
	d.Spread = min(d.Spread, d.Timeout)
	return d
}

// draining is a Drain under way.
type draining struct {
	Drain
	spreadUntil, until int64
}

// slot draws a slot for a stream that came when draining had begun.
func (d *draining) slot(l *loop) int64 {
	return l.rand.Int64N(max(d.spreadUntil-l.now, 0) + 1)
}

// leaving is when a stream that was asked to move is ended, or when one that is
// ending is closed even if it did not take its last frame.
type leaving struct {
	reason string
	at     int64
}

// startDrain gives every stream of the loop its slot, in random order and
// evenly spread. The loops' slots lie at random between each other. Nothing
// new is let in.
func (l *loop) startDrain(d Drain) {
	l.drain = &draining{Drain: d, spreadUntil: l.now + int64(d.Spread), until: l.now + int64(d.Timeout)}
	l.moveAll(d)
}

// moveAll gives every stream its slot.
func (l *loop) moveAll(d Drain) {
	l.wakeEverybody()
	streams := append([]*Stream(nil), l.streams...)
	for i, at := range l.rand.Perm(len(streams)) {
		slot := (float64(i) + l.rand.Float64()) / float64(len(streams)) * float64(d.Spread)
		l.move(streams[at], d.Reason, int64(slot), int64(d.Timeout), wire.EndDrain)
	}
}

// leastStay is how long a stream stays that comes to a pod that stands by: it
// came because the way to this pod is still known, and shall not come back by
// the same way at once.
const leastStay = 2 * time.Second

// startStandBy moves every stream, as startDrain does, and lets new ones in. nil
// ends that: streams whose slot has not come stay.
func (l *loop) startStandBy(d *Drain) {
	if l.standBy = d; l.drain != nil {
		return // they leave already, for good
	}
	if d != nil {
		l.moveAll(*d)
		return
	}
	for _, s := range l.streams {
		if s.state == running && s.leaving != nil && s.leaving.reason == wire.EndDrain {
			s.leaving = nil
			l.setTimer(s)
		}
	}
}

// moveLate asks a stream to move that came while the pod stands by.
func (l *loop) moveLate(s *Stream) {
	in := int64(leastStay) + l.rand.Int64N(int64(l.standBy.Spread)+1)
	l.move(s, l.standBy.Reason, in, max(in, int64(l.standBy.Timeout)), wire.EndDrain)
}

// move asks a client to move: to open a second connection after in, and to
// drop this one before it is closed. All times are nanoseconds from now.
func (l *loop) move(s *Stream, reason string, in, limit int64, ended string) {
	if s.state == ending {
		s.leaving.at = min(s.leaving.at, l.now+limit)
		l.timers.sooner(&s.timer, s.leaving.at)
	}
	if s.state != running {
		return
	}
	closeIn := in
	if s.group.key.format == wire.Array {
		closeIn += int64(drainOverlap)
	}
	closeIn = max(min(closeIn, limit), 0)
	s.leaving = &leaving{reason: ended, at: l.now + closeIn}
	l.timers.sooner(&s.timer, s.leaving.at)
	l.say(s, wire.AppendControl(s.out, wire.ControlDrain, wire.Cursor{}, &wire.Drain{
		Reason: reason, InMs: milliseconds(in), CloseMs: milliseconds(closeIn),
	}))
}

func milliseconds(d int64) int64 { return time.Duration(d).Milliseconds() }
