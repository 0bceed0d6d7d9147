package fanout

import (
	"math"
	"time"
)

// pace is a stream's token bucket for live events, kept as what it owes: what
// it got and has not yet worked off at the rates of Delivery. It may owe one
// second's worth; a block that fits in no more than that is written whole, so
// that a low rate makes blocks rare and never splits them.
type pace struct {
	at            int64   // when the debts were computed
	events, bytes float32 // owed
	until         int64   // held back until then; 0 = it is not
}

// wait works off what time has paid and tells how long the stream has to wait
// for its next block, in nanoseconds; 0 = not at all.
func (p *pace) wait(d *Delivery, now int64) int64 {
	seconds := time.Duration(now - p.at).Seconds()
	p.at = now
	return max(payOff(&p.events, float64(d.EventsPerSecond), seconds), payOff(&p.bytes, float64(d.BytesPerSecond), seconds))
}

func payOff(owed *float32, rate, seconds float64) int64 {
	if rate <= 0 {
		*owed = 0
		return 0
	}
	left := max(0, float64(*owed)-rate*seconds)
	*owed = float32(left)
	if left < rate {
		return 0
	}
	return int64(math.Ceil((left-rate)/rate*1e9)) + int64(time.Millisecond) // less is not worth a timer
}

// owe charges a stream for a block.
func (p *pace) owe(events, bytes int) {
	p.events += float32(events)
	p.bytes += float32(bytes)
}

// held tells whether a stream may not have its next live block yet, and sees
// to it that it is looked at again. What a client catches up with is not
// paced: it gets that once, as fast as it takes it.
func (l *loop) held(s *Stream) bool {
	if s.past != nil || s.cursor >= s.group.last {
		s.pace.until = 0
		return false
	}
	wait := s.pace.wait(&l.tuning.Delivery, l.now)
	if wait == 0 {
		s.pace.until = 0
		return false
	}
	if s.pace.until == 0 {
		s.group.n.held++
	}
	s.pace.until = l.now + wait
	l.timers.sooner(&s.timer, s.pace.until)
	return true
}

// release looks at all streams that are held back, because the rates changed.
func (l *loop) release() {
	for _, s := range l.streams {
		if s.pace.until != 0 {
			l.queue(s)
		}
	}
}
