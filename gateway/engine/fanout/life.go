package fanout

import (
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

const (
	jitterPerMille = 100 // heartbeats and ages: ±10 %
	// lastWords is how long a stream has for taking its last frame.
	lastWords = 5 * time.Second
)

// begin makes a stream part of its group and writes what every stream begins
// with.
func (l *loop) begin(s *Stream) {
	o := s.opening
	s.opening = nil
	l.join(s, &o.request)
	l.credit(s, s.id.Grant, o.request.Expires)
	flags, end := l.flags.Of(s.id)
	s.flagsRev = l.flags.Revision
	if o.request.Pad {
		s.out = wire.AppendPad(s.out)
	}
	s.revision = 1
	s.out = wire.AppendPreamble(s.out, l.retry(), l.open(s, o.plan.resume, o.request.Denied, flags))
	s.out = appendResets(s.out, o.plan.resets)
	s.past = &past{sides: o.plan.sides, skips: o.plan.skips, last: o.plan.last}
	s.group.n.opened(&o.plan)
	s.born, s.ageJitter = l.now, int16(l.perMille())
	s.nextBeat = l.now + l.jittered(l.tuning.Connections.Heartbeat, l.perMille())
	l.setTimer(s)
	switch {
	case end != nil:
		l.finish(s, end, end.Reason)
		return
	case !s.may(s.group.subs):
		l.endRevoked(s)
		return
	case l.drain != nil:
		l.move(s, l.drain.Reason, l.drain.slot(l), l.drain.until-l.now, wire.EndDrain)
	case l.standBy != nil:
		l.moveLate(s)
	}
	l.advance(s)
}

// open is the payload of sg.open.
func (l *loop) open(s *Stream, resume string, denied []wire.Denied, flags map[string]bool) *wire.Open {
	c := &l.tuning.Connections
	open := &wire.Open{
		Version: wire.ProtocolVersion, SID: s.id.SID, Revision: s.revision,
		Cursor: l.f.at(s.cursor).String(), Resume: resume,
		Channels: wire.UnqualifiedAll(s.group.subs.All()), Denied: denied,
		Time: time.Now().UnixMilli(), Heartbeat: c.Heartbeat.Milliseconds(),
		BufferSeconds: l.tuning.BufferSeconds, Durability: l.f.opts.Durability,
		Limits: wire.OpenLimits{Channels: c.MaxSubscriptions, Patterns: c.MaxPatterns},
		Flags:  flags, FlagsRevision: l.flags.Revision, BeaconMs: l.flags.BeaconMs,
	}
	if open.Denied == nil {
		open.Denied = []wire.Denied{}
	}
	if open.Flags == nil {
		open.Flags = map[string]bool{}
	}
	return open
}

func (l *loop) join(s *Stream, r *Request) {
	s.order, s.timer.stream = len(l.streams), s
	l.streams = append(l.streams, s)
	l.joinGroup(s, l.group(r.key(), r.Subs))
}

func (l *loop) joinGroup(s *Stream, g *group) {
	s.group, s.member = g, len(g.members)
	g.members = append(g.members, s)
	if s.gzip != nil {
		g.gzips++
		g.n.gzips++
	}
	s.eventsAt, s.bytesAt = g.events, g.bytes
	g.n.subscriptions += g.subs.Len()
}

// partGroup undoes joinGroup. The last member takes the place of the one that
// leaves.
func (l *loop) partGroup(s *Stream) {
	g := s.group
	g.n.subscriptions -= g.subs.Len()
	g.members = remove(g.members, s.member)
	if s.gzip != nil {
		g.gzips--
		g.n.gzips--
	}
	if s.member < len(g.members) {
		g.members[s.member].member = s.member
	}
	l.dissolve(g)
	l.f.leave(g.key, l)
}

// group gives the group of a key, made when it is new.
func (l *loop) group(key groupKey, subs *wire.SubSet) *group {
	g := l.groups[key]
	if g == nil {
		g = &group{key: key, subs: subs, last: l.seen, lastFlush: never, n: l.counters(&key), lane: l.ready.lane(subs.Tenant())}
		g.timer.group = g
		l.groups[key] = g
		l.routes.add(g)
		if key.own() {
			l.ownGroups[g] = struct{}{}
		}
	}
	return g
}

// dissolve takes a group out that nobody is in any more.
func (l *loop) dissolve(g *group) {
	if len(g.members) > 0 || len(g.waiters) > 0 || l.groups[g.key] != g {
		return
	}
	l.timers.clear(&g.timer)
	l.routes.remove(g)
	l.segments.forget(g)
	delete(l.groups, g.key)
	l.ready.leave(g.lane)
	delete(l.ownGroups, g)
	g.pending = nil
}

// never is long before any time.
const never = -1 << 60

// close ends a stream, whatever it is doing. It does nothing to a closed one.
func (l *loop) close(s *Stream, reason string) {
	if s.state == closed {
		return
	}
	if s.state == ending {
		reason = s.leaving.reason
	}
	s.state = closed
	s.group.n.closed(reason, s.flight.events)
	if l.f.opts.Ended != nil && !s.group.key.own() {
		l.f.opts.Ended(Ended{Request: s.id.Request, Reason: reason, Lasted: time.Duration(l.now - s.born),
			Events: s.events, Bytes: s.bytes, Gzip: s.gzip != nil, Subscriptions: s.group.subs.Len()})
	}
	if s.slow {
		s.group.n.slow--
	}
	l.timers.clear(&s.timer)
	s.rest, s.out, s.past, s.gap, s.flight = nil, nil, nil, nil, flight{}
	s.sink.Close()
	l.part(s) // a drain is over when nothing is left to close
}

// part undoes join.
func (l *loop) part(s *Stream) {
	l.streams = remove(l.streams, s.order)
	if s.order < len(l.streams) {
		l.streams[s.order].order = s.order
	}
	l.partGroup(s)
	l.f.delist(s)
}

func remove[T any](list []*T, i int) []*T {
	last := len(list) - 1
	list[i] = list[last]
	list[last] = nil
	return list[:last]
}

// finish says sg.end as the last frame and closes as soon as it is taken.
func (l *loop) finish(s *Stream, end *wire.End, reason string) {
	if s.state != running {
		return
	}
	s.state = ending
	if end.RetryMs != nil {
		s.out = wire.AppendRetry(s.out, *end.RetryMs)
	}
	s.out = wire.AppendControl(s.out, wire.ControlEnd, wire.Cursor{}, end)
	at := l.now + int64(lastWords)
	if l.drain != nil {
		at = min(at, max(l.drain.until, l.now))
	}
	s.leaving = &leaving{reason: reason, at: at}
	// What was skipped and not told is not behind the client: it comes back
	// with a position before the gap.
	s.past, s.gap = nil, nil
	l.timers.sooner(&s.timer, at)
	l.advance(s)
}

func (l *loop) closeAll() {
	l.wakeEverybody()
	for len(l.streams) > 0 {
		l.close(l.streams[0], wire.EndShutdown)
	}
}

// tick does what is due for a stream and sets its timer anew. Whatever has a
// deadline has it here, so that a stream needs one timer only.
func (l *loop) tick(s *Stream) {
	c := &l.tuning.Connections
	switch {
	case s.blocked && l.now-s.blockedSince >= int64(c.WriteTimeout):
		l.close(s, ReasonTimeout)
	case s.state == ending && l.now >= s.leaving.at:
		l.close(s, s.leaving.reason)
	case s.leaving != nil && s.state == running && l.now >= s.leaving.at:
		retry := drainRetryMin + l.rand.Int64N(drainRetrySpan)
		l.finish(s, &wire.End{Reason: wire.EndDrain, Status: 503, RetryMs: &retry}, s.leaving.reason)
	case s.leaving == nil && l.now-s.born >= l.jittered(c.MaxAge, int64(s.ageJitter)):
		l.move(s, wire.DrainRebalance, 0, int64(ageOverlap), ReasonAge)
	}
	if s.state == running && l.now >= s.nextBeat {
		s.nextBeat = l.now + l.jittered(c.Heartbeat, l.perMille())
		l.beat(s)
	}
	if s.state == running && s.behindSince != 0 {
		l.judge(s)
	}
	if s.state == running {
		l.judgeAgain(s)
	}
	if s.pace.until != 0 && l.now >= s.pace.until {
		l.queue(s)
	}
	if s.state != closed {
		l.setTimer(s)
	}
}

// setTimer sets a stream's timer to the nearest of its deadlines.
func (l *loop) setTimer(s *Stream) {
	c := &l.tuning.Connections
	next := s.born + l.jittered(c.MaxAge, int64(s.ageJitter))
	if s.leaving != nil {
		next = s.leaving.at
	}
	if s.state == running {
		next = min(next, s.nextBeat, l.nextJudgement(s), s.nextRights())
	}
	if s.blocked {
		next = min(next, s.blockedSince+int64(c.WriteTimeout))
	}
	if s.pace.until > l.now {
		next = min(next, s.pace.until)
	}
	l.timers.set(&s.timer, max(next, l.now+1))
}

// nextJudgement is when a stream's age passes half of its limit, or the limit,
// or when it may be told again that it is slow.
func (l *loop) nextJudgement(s *Stream) int64 {
	if s.behindSince == 0 {
		return l.now + int64(time.Hour)
	}
	limit := int64(l.tuning.Queue.MaxLag)
	for _, at := range []int64{s.behindSince + limit/2, s.behindSince + limit} {
		if at > l.now {
			return min(at, l.now+int64(slowEvery))
		}
	}
	return l.now + int64(slowEvery)
}

// beat writes a heartbeat. A blocked sink gets none: bytes are on their way.
func (l *loop) beat(s *Stream) {
	if s.blocked {
		return
	}
	at := wire.Cursor{}
	if s.past == nil && s.cursor >= s.group.last && len(s.rest) == 0 {
		s.cursor = max(s.cursor, s.group.position(l.seen))
		at = l.f.at(s.cursor)
	}
	l.say(s, wire.AppendHeartbeat(s.out, time.Now().UnixMilli(), at))
}

// tellFlags sends a stream its flags when their revision moved.
func (l *loop) tellFlags(s *Stream) {
	if s.flagsRev == l.flags.Revision || s.state != running {
		return
	}
	s.flagsRev = l.flags.Revision
	flags, end := l.flags.Of(s.id)
	if flags == nil {
		flags = map[string]bool{}
	}
	s.out = wire.AppendControl(s.out, wire.ControlFlags, wire.Cursor{}, &wire.FlagsChange{
		FlagsRevision: s.flagsRev, Flags: flags, BeaconMs: l.flags.BeaconMs,
	})
	if end != nil {
		l.finish(s, end, end.Reason)
	}
}

// retry draws the hint of the preamble, in milliseconds.
func (l *loop) retry() int64 {
	c := &l.tuning.Connections
	spread := int64(c.RetryJitterPercent) * 10
	jitter := int64(0)
	if spread > 0 {
		jitter = l.rand.Int64N(2*spread+1) - spread
	}
	return l.jittered(c.Retry, jitter) / int64(time.Millisecond)
}

func (l *loop) perMille() int64 { return l.rand.Int64N(2*jitterPerMille+1) - jitterPerMille }

func (l *loop) jittered(d time.Duration, perMille int64) int64 {
	return int64(d) + int64(d)/1000*perMille
}
