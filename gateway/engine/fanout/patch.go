package fanout

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Answers to Patch, besides *TooManyError.
var (
	ErrSessionGone = errors.New("no such session")
	ErrSessionBusy = errors.New("an earlier change is not done")
	ErrNothingLeft = errors.New("no subscription is left")
	ErrNarrower    = errors.New("the renewal does not allow what the stream reads")
	ErrNotOwner    = errors.New("the stream belongs to somebody else")
)

// TooManyError says which bound a Patch would cross.
type TooManyError struct {
	What      string // subscriptions or patterns
	Have, Max int
}

// Error says it in a sentence.
func (e *TooManyError) Error() string {
	return fmt.Sprintf("%d %s asked for, %d are allowed on one stream", e.Have, e.What, e.Max)
}

// Patch changes the subscriptions of a running stream: first Remove, then Add.
// The caller has checked names and rights. Names are with their tenant.
type Patch struct {
	Add, Remove []string
	// From are channels of Add with a position of their own; the others begin
	// where the stream is.
	From map[string]wire.Cursor
	// Renewal takes the place of what the stream's rights rest on, and must
	// allow all that it reads; nil = that stays.
	Renewal *Renewal
}

// Patched is what a stream reads from now on.
type Patched struct {
	Revision  int
	Channels  []string
	Effective wire.Cursor // where the new set begins
	Expires   time.Time   // of the stream's credential; zero = it does not
}

// Renewal is a newer credential of a stream's owner.
type Renewal struct {
	Grant   Grant
	Expires time.Time // zero = it does not
}

func (f *Fanout) enlist(s *Stream) {
	f.mu.Lock()
	f.sessions[s.id.SID] = s
	f.mu.Unlock()
}

func (f *Fanout) delist(s *Stream) {
	f.mu.Lock()
	if f.sessions[s.id.SID] == s {
		delete(f.sessions, s.id.SID)
	}
	f.mu.Unlock()
}

func (f *Fanout) session(sid string) *Stream {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sessions[sid]
}

// Patch changes what a stream reads, all of it or nothing.
func (f *Fanout) Patch(sid string, by Owner, p Patch) (patched *Patched, err error) {
	s, err := f.owned(sid, by)
	if err != nil {
		return nil, err
	}
	s.loop.call(func() { patched, err = s.loop.patch(s, &p) })
	return patched, err
}

// Who is whose stream a session is, without its Grant; false: none of this pod.
func (f *Fanout) Who(sid string) (Identity, bool) {
	s := f.session(sid)
	if s == nil {
		return Identity{}, false
	}
	// What it may read is the loop's, which changes it.
	id := Identity{SID: s.id.SID, Owner: s.id.Owner, Client: s.id.Client, Poll: s.id.Poll, Request: s.id.Request}
	return id, true
}

// owned gives the stream of a session to whom it belongs.
func (f *Fanout) owned(sid string, by Owner) (*Stream, error) {
	switch s := f.session(sid); {
	case s == nil:
		return nil, ErrSessionGone
	case s.id.Owner != by:
		return nil, ErrNotOwner
	default:
		return s, nil
	}
}

// Leave closes a stream; the errors are ErrSessionGone and ErrNotOwner.
func (f *Fanout) Leave(sid string, by Owner) error {
	s, err := f.owned(sid, by)
	if err != nil {
		return err
	}
	s.Leave()
	return nil
}

func (l *loop) patch(s *Stream, p *Patch) (*Patched, error) {
	switch {
	case s.state != running:
		return nil, ErrSessionGone
	case s.group == nil, !p.renewsOnly() && s.past != nil && len(s.past.sides)+len(s.past.caught) > 0:
		return nil, ErrSessionBusy
	}
	old := s.group.subs
	subs, err := p.apply(old, &l.tuning.Connections)
	if err != nil {
		return nil, err
	}
	if err := l.renew(s, p.Renewal, subs); err != nil {
		return nil, err
	}
	if p.renewsOnly() {
		return l.patched(s), nil
	}
	if s.past == nil && s.cursor >= s.group.last {
		s.cursor = max(s.cursor, s.group.position(l.seen))
	}
	if s.gap != nil {
		s.out = append(s.out, l.gapBlock(s).bytes...) // it is about the set before
	}
	plan := l.replan(s, old, subs, p)
	l.regroup(s, subs)
	s.revision++
	s.past = s.past.after(subs, plan)
	s.group.n.reset(plan.resets)
	flags, _ := l.flags.Of(s.id) // what ends a stream is told by tellFlags
	s.out = wire.AppendControl(s.out, wire.ControlOpen, wire.Cursor{}, l.open(s, plan.resume, nil, flags))
	s.out = appendResets(s.out, plan.resets)
	answer := l.patched(s)
	l.advance(s)
	return answer, nil
}

func (p *Patch) renewsOnly() bool { return p.Renewal != nil && len(p.Add)+len(p.Remove) == 0 }

// renew makes sure that a stream may read a set, by its newer credential where
// it comes with one.
func (l *loop) renew(s *Stream, r *Renewal, subs *wire.SubSet) error {
	switch {
	case r == nil && !s.may(subs):
		return ErrSessionGone // allowed by a judgement that is over: the client asks anew
	case r == nil:
		return nil
	case !r.Grant.StillMayRead(subs):
		return ErrNarrower
	}
	l.credit(s, r.Grant, r.Expires)
	l.setTimer(s)
	return nil
}

// patched tells what a stream reads.
func (l *loop) patched(s *Stream) *Patched {
	answer := &Patched{Revision: s.revision, Channels: wire.UnqualifiedAll(s.group.subs.All()), Effective: l.f.at(s.cursor)}
	if s.expires != 0 {
		answer.Expires = time.Now().Add(time.Duration(s.expires - l.now))
	}
	return answer
}

// apply gives the new set of subscriptions.
func (p *Patch) apply(old *wire.SubSet, c *Connections) (*wire.SubSet, error) {
	names := slices.DeleteFunc(old.All(), func(name string) bool { return slices.Contains(p.Remove, name) })
	subs, err := wire.QualifiedSubSet(append(names, p.Add...))
	switch {
	case err != nil:
		return nil, err
	case subs.Len() == 0:
		return nil, ErrNothingLeft
	case subs.Len() > c.MaxSubscriptions:
		return nil, &TooManyError{"subscriptions", subs.Len(), c.MaxSubscriptions}
	case len(subs.Patterns()) > c.MaxPatterns:
		return nil, &TooManyError{"patterns", len(subs.Patterns()), c.MaxPatterns}
	}
	return subs, nil
}

// replan decides for what is new in a set, as for a stream that resumes where
// this one is.
func (l *loop) replan(s *Stream, old, subs *wire.SubSet, p *Patch) *plan {
	log := l.f.opts.Ring
	known := old.All()
	added := slices.DeleteFunc(subs.All(), func(name string) bool {
		_, own := p.From[name]
		return own || slices.Contains(known, name) && !slices.Contains(p.Remove, name)
	})
	next := &plan{resume: wire.ResumeComplete, cursor: s.cursor}
	next.resets, next.skips = resetsFor(log.Complete(subSet(added), s.cursor), l.f.opts.Epoch, log.Head())
	if len(next.resets) > 0 {
		next.resume = wire.ResumePartial
	}
	decideOwn(log, l.f.opts.Epoch, l.tuning.Replay, p.From, next)
	return next
}

// after is the past of a stream whose subscriptions changed: what is new goes
// by the plan, the rest as before.
func (p *past) after(subs *wire.SubSet, next *plan) *past {
	changed := &past{sides: next.sides, skips: next.skips}
	if p == nil {
		return changed
	}
	changed.replayed = p.replayed
	changed.last = slices.DeleteFunc(p.last, func(e wire.Element) bool { return !subs.Match(e.Channel) })
	for _, k := range p.skips {
		same := func(other skip) bool { return other.subscription == k.subscription }
		own := slices.ContainsFunc(next.sides, func(o side) bool { return o.subs.Key() == k.subscription })
		if !own && !slices.ContainsFunc(next.skips, same) && slices.Contains(subs.All(), k.subscription) {
			changed.skips = append(changed.skips, k)
		}
	}
	return changed
}

// regroup moves a stream to the group of its new subscriptions, on the same
// loop.
func (l *loop) regroup(s *Stream, subs *wire.SubSet) {
	if s.slow {
		s.slow = false
		s.group.n.slow--
	}
	s.behindSince = 0
	key := s.group.key
	if key.subs == subs.Key() {
		return
	}
	key.subs = subs.Key()
	l.f.move(key, l)
	l.partGroup(s)
	l.joinGroup(s, l.group(key, subs))
}

// move counts a stream for another group of the same loop. What it is counted
// for now is given back by leave.
func (f *Fanout) move(key groupKey, l *loop) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts(key)[l.index]++
	f.count(&key, l.index, 1)
}
