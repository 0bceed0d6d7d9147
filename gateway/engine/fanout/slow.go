package fanout

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/ring"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

const (
	// slowEvery is the least distance of two sg.slow of one stream.
	slowEvery = 10 * time.Second
	// maxCountSteps bounds the counting of what a gap has lost.
	maxCountSteps = 10000
)

// gap is what a live stream skipped and its client has not been told yet.
type gap struct {
	reason      string // one of wire's Gap constants
	after, upto uint64
	lost        map[string]*uint64 // by channel; nil = not known how many
}

// lag is how far a live stream is behind, in O(1).
type lag struct {
	events, bytes uint64
	age           time.Duration
}

func (l *loop) lag(s *Stream) lag {
	g := s.group
	if s.state != running || s.past != nil || s.behindSince == 0 {
		return lag{}
	}
	return lag{
		events: minus(g.events, s.eventsAt), bytes: minus(g.bytes, s.bytesAt),
		age: time.Duration(l.now - s.behindSince),
	}
}

// minus is a − b, 0 when b is greater: bytes of joined blocks and of slices
// may differ a little from those of the blocks they stand for.
func minus(a, b uint64) uint64 {
	if b > a {
		return 0
	}
	return a - b
}

// share is the lag by the nearest limit: 1 = the limit is reached.
func (g lag) share(q *Queue) float64 {
	return max(ratio(float64(g.events), float64(q.MaxEvents)), ratio(float64(g.bytes), float64(q.MaxBytes)),
		ratio(float64(g.age), float64(q.MaxLag)))
}

func ratio(have, limit float64) float64 {
	if limit <= 0 {
		return 0
	}
	return have / limit
}

// missed notes that a stream could not take a block when it came.
func (l *loop) missed(s *Stream) {
	if s.past != nil || s.state != running || s.cursor >= s.group.last {
		return
	}
	if s.behindSince == 0 { // controls are on their way
		s.behindSince = l.behind(s)
		l.timers.sooner(&s.timer, s.behindSince+int64(l.tuning.Queue.MaxLag)/2)
	}
	s.group.n.lagging(l.lag(s).events)
	l.judge(s)
}

// judge acts on a stream's lag: a notice at half of a limit, the policy at the
// whole.
func (l *loop) judge(s *Stream) {
	q := &l.tuning.Queue
	behind := l.lag(s)
	share := behind.share(q)
	if share < 0.5 {
		return
	}
	if !s.slow {
		s.slow = true
		s.group.n.slow++
		s.group.n.slowDetected++
	}
	if share >= 1 {
		l.apply(s, behind)
		return
	}
	if s.noticeAt == 0 || l.now-s.noticeAt >= int64(slowEvery) {
		s.noticeAt = l.now
		l.say(s, wire.AppendControl(s.out, wire.ControlSlow, wire.Cursor{}, &wire.Slow{
			LagEvents: behind.events, LagMs: behind.age.Milliseconds(),
			Policy: policyName(l.policy(s)), LimitMs: q.MaxLag.Milliseconds(),
		}))
	}
}

// policy is what happens to a stream at a limit of Queue. One that is only held
// back by its rate is not slow, and would have all at once by coming back: it is
// not disconnected.
func (l *loop) policy(s *Stream) string {
	policy := l.tuning.Queue.SlowConsumerPolicy
	if policy == PolicyDisconnect && s.paced() {
		return PolicyDropWithGap
	}
	return policy
}

// paced tells whether a stream lags because of its rate, and not because of its
// client.
func (s *Stream) paced() bool { return s.pace.until != 0 && !s.blocked }

func policyName(policy string) string {
	switch policy {
	case PolicyConflate:
		return wire.SlowConflate
	case PolicyDisconnect:
		return wire.SlowDisconnect
	}
	return wire.SlowGap
}

func (l *loop) apply(s *Stream, behind lag) {
	switch l.policy(s) {
	case PolicyDisconnect:
		s.group.n.disconnected++
		retry := l.retry()
		l.finish(s, &wire.End{Reason: wire.EndSlow, Status: 429, RetryMs: &retry}, wire.EndSlow)
	case PolicyConflate:
		l.skip(s, wire.GapConflate, behind)
	default:
		reason := wire.GapSlow
		if s.paced() {
			reason = wire.GapRate
		}
		l.skip(s, reason, behind)
	}
}

// skip moves a stream to the head and remembers what it lost by that. Gaps
// that follow each other before the client could be told become one.
func (l *loop) skip(s *Stream, reason string, behind lag) {
	g, log := s.group, l.f.opts.Ring
	if s.cursor >= g.last {
		return // what the sink holds cannot be taken back
	}
	upto := g.position(l.seen)
	l.leaveHole(s, upto)
	if s.gap == nil {
		s.gap = &gap{reason: reason, after: s.cursor, lost: map[string]*uint64{}}
	}
	s.gap.reason = reason
	dropped := uint64(0)
	for _, c := range log.Count(g.subs, s.cursor, upto, maxCountSteps) {
		dropped += c.Events
		if _, again := s.gap.lost[c.Channel]; reason == wire.GapConflate && !again && c.Events > 0 {
			dropped-- // its newest will be delivered
		}
		s.gap.lose(c)
	}
	for _, loss := range log.Complete(g.subs, s.cursor) {
		s.gap.lost[loss.Channel] = nil
		dropped = behind.events
	}
	g.n.dropped += dropped
	s.gap.upto = upto
	s.cursor = upto
	s.eventsAt, s.bytesAt = g.events-uint64(s.flight.events), minus(g.bytes, uint64(s.flight.bytes))
	s.behindSince = s.flight.arrived
	l.advance(s)
}

func (p *gap) lose(c ring.ChannelCount) {
	old, known := p.lost[c.Channel]
	switch {
	case !c.Exact, known && old == nil:
		p.lost[c.Channel] = nil
	case known:
		*old += c.Events
	default:
		n := c.Events
		p.lost[c.Channel] = &n
	}
}

// nameGap tells a client what it lost, as the next that it gets. With
// conflation the newest event of each channel goes before, without an id: a
// client that is cut off in between keeps its old position and gets all of
// them again.
func (l *loop) nameGap(s *Stream) { l.hand(s, l.gapBlock(s)) }

func (l *loop) gapBlock(s *Stream) *block {
	p, g := s.gap, s.group
	s.gap = nil
	b := &block{last: s.cursor}
	if p.reason == wire.GapConflate {
		var batch ring.Batch
		l.f.opts.Ring.Newest(g.subs, p.after, p.upto, math.MaxInt, &batch)
		for i := range batch.Elements {
			e := &batch.Elements[i]
			b.bytes = wire.AppendFrame(b.bytes, g.key.format, "", *e)
			if n := p.lost[e.Channel]; n != nil {
				*n--
			}
		}
		b.events = len(batch.Elements)
		g.n.conflated += uint64(b.events)
	}
	b.bytes = l.appendGap(g, b.bytes, p)
	return b
}

// unsure tells whether a channel's count is a lower bound, because a pattern
// that selects it has lost nobody knows how many.
func (p *gap) unsure(channel string) bool {
	for name, n := range p.lost {
		if pattern, err := wire.ParseQualified(name); n == nil && err == nil && pattern.Match(channel) {
			return true
		}
	}
	return false
}

// appendGap appends sg.gap, or a checkpoint when nothing is lost after all.
func (l *loop) appendGap(g *group, dst []byte, p *gap) []byte {
	after, upto := l.f.at(p.after), l.f.at(p.upto)
	notice := wire.Gap{Reason: p.reason, After: after.String(), Upto: upto.String(), Channels: []wire.GapChannel{}}
	for _, name := range slices.Sorted(maps.Keys(p.lost)) {
		n := p.lost[name]
		switch {
		case n == nil:
		case p.unsure(name):
			n = nil
		case *n == 0:
			continue
		}
		if n != nil {
			g.n.gapEvents += *n
		}
		notice.Channels = append(notice.Channels, wire.GapChannel{Channel: wire.Unqualified(name), Lost: n})
	}
	if len(notice.Channels) == 0 {
		return wire.AppendCheckpoint(dst, upto)
	}
	g.n.gaps[p.reason]++
	return wire.AppendControl(dst, wire.ControlGap, upto, &notice)
}

// evicted goes on with a live stream whose next events have left the log:
// channels that lost some are named, and all go on with what is still there.
// Everything up to the log's oldest event is gone, so that no channel has an
// event between the two positions that is not named. A hole that is passed is
// told before.
func (l *loop) evicted(s *Stream, giveUp bool) {
	g, log := s.group, l.f.opts.Ring
	upto := max(log.First()-1, s.cursor, l.leaveHole(s, l.seen))
	lost := log.Complete(g.subs, s.cursor)
	if len(lost) == 0 && !giveUp {
		return
	}
	p := &gap{reason: wire.GapSlow, after: s.cursor, upto: upto, lost: map[string]*uint64{}}
	for _, loss := range lost {
		p.lost[loss.Channel] = nil
	}
	if len(lost) == 0 {
		p.upto = g.position(l.seen)
		for _, name := range g.subs.All() {
			p.lost[name] = nil
		}
	}
	left := uint64(0)
	for _, c := range log.Count(g.subs, p.upto, g.position(l.seen), maxCountSteps) {
		left += c.Events
	}
	before := minus(g.events, s.eventsAt)
	g.n.dropped += minus(before, left)
	s.eventsAt += minus(before, left)
	s.cursor = p.upto
	s.out = l.appendGap(g, s.out, p)
}
