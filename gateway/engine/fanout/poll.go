package fanout

import (
	"context"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/ring"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Poll bounds one answer to a client that asks again and again instead of
// reading a stream.
type Poll struct {
	Wait      time.Duration // for the first event
	MaxEvents int           // of one answer
	MaxBytes  int           // of its elements, about; one always fits
}

// Answer is what a stream from the same position would have said.
type Answer struct {
	Cursor   wire.Cursor // where the next poll begins
	Events   []wire.Element
	Controls []Control // before the events
	More     bool      // there is more already
	// Retry is how long the client is to wait with its next poll: this pod is
	// about to stop.
	Retry time.Duration
}

// Control is a control event: one of wire's Control names, and its payload.
type Control struct {
	Name    string
	Payload any
}

// Poll decides like Open, and reads like a stream, up to one answer. It
// returns as soon as there is an event or a control, after p.Wait at the
// latest, or with ctx's error. A request without a position is answered at
// once. Its other errors are ErrDraining and *RefusedError.
func (f *Fanout) Poll(ctx context.Context, r Request, p Poll) (*Answer, error) {
	r.Poll = true
	f.mu.Lock()
	draining := f.draining
	f.mu.Unlock()
	if draining {
		return nil, ErrDraining
	}
	reader := f.newReader(&r)
	deadline := time.NewTimer(p.Wait)
	defer deadline.Stop()
	over := p.Wait <= 0 || r.Position.Where == wire.Now && len(r.From) == 0
	for {
		if _, end := f.flags.Load().Of(r.Identity); end != nil {
			return nil, &RefusedError{*end}
		}
		a := reader.answer(p)
		if over || len(a.Events) > 0 || len(a.Controls) > 0 || a.More {
			return a, nil
		}
		w := f.wait(r.Subs, reader.cursor)
		select {
		case <-w.woken:
		case <-deadline.C:
			over = true
		case <-ctx.Done():
			w.quit()
			return nil, ctx.Err()
		}
		w.quit()
		if retry, draining := f.retryAfterDrain(); draining {
			a = reader.answer(p)
			a.Retry = retry
			return a, nil
		}
	}
}

// retryAfterDrain draws when a client comes back that was sent away by a drain.
func (f *Fanout) retryAfterDrain() (retry time.Duration, draining bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.draining {
		return 0, false
	}
	return time.Duration(drainRetryMin+f.opts.Rand.Int64N(pollRetrySpan)) * time.Millisecond, true
}

// reader goes through a client's past for a poll.
type reader struct {
	f      *Fanout
	subs   *wire.SubSet
	cursor uint64
	past   past
	resets []wire.Reset // not told yet
}

func (f *Fanout) newReader(r *Request) *reader {
	p := decide(f.opts.Ring, f.opts.Epoch, f.tuning.Load().Replay, r)
	return &reader{
		f: f, subs: r.Subs, cursor: p.cursor, resets: p.resets,
		past: past{sides: p.sides, skips: p.skips, last: p.last},
	}
}

// answer reads up to the head, or as much as fits.
func (r *reader) answer(p Poll) *Answer {
	a, room := &Answer{}, p.MaxBytes
	to := max(r.f.opts.Ring.Head(), r.cursor)
	full := func() bool { return room <= 0 || len(a.Events) >= p.MaxEvents }
	r.sides(a, p, &room)
	if last := r.past.last; len(last) > 0 {
		a.take(last[max(0, len(last)-p.MaxEvents):], p, &room)
		r.past.last = nil
	}
	for tries := 0; r.cursor < to && len(r.past.sides) == 0 && !full(); {
		subs, bound := r.past.follow(r.subs, r.cursor, to)
		if subs.Len() == 0 {
			r.cursor = bound
			continue
		}
		next, err := r.read(a, subs, r.cursor, bound, p, &room)
		if err == nil {
			r.cursor = next
			continue
		}
		if len(a.Events) > 0 {
			break // what is lost after them is told by the next answer
		}
		tries++
		r.resets = append(r.resets, r.past.prove(r.f.opts.Ring, r.f.opts.Epoch, r.subs, r.cursor, to, tries >= maxTries)...)
	}
	a.More = r.cursor < to || len(r.past.sides) > 0
	a.Cursor = r.f.at(r.cursor)
	if r.f.tuning.Load().Coalesce {
		a.Events = wire.Coalesce(a.Events)
	}
	for i := range r.resets {
		a.Controls = append(a.Controls, Control{wire.ControlReset, &r.resets[i]})
	}
	r.resets = nil
	return a
}

// sides reads the channels that have their own position, and says so when they
// are where the others are.
func (r *reader) sides(a *Answer, p Poll, room *int) {
	for len(r.past.sides) > 0 && *room > 0 && len(a.Events) < p.MaxEvents {
		o := &r.past.sides[0]
		before := len(a.Events)
		next, err := r.read(a, o.subs, o.cursor, r.cursor, p, room)
		r.past.aside += uint64(len(a.Events) - before)
		if err != nil {
			resets, skips := r.past.loseSide(r.f.opts.Ring, r.f.opts.Epoch, max(r.f.opts.Ring.Head(), r.cursor))
			r.resets, r.past.skips = append(r.resets, resets...), append(r.past.skips, skips...)
			continue
		}
		if o.cursor = next; next >= r.cursor {
			r.past.caught = append(r.past.caught, wire.UnqualifiedAll(o.subs.All())...)
			r.past.sides = r.past.sides[1:]
		}
	}
	if len(r.past.sides) == 0 && len(r.past.caught) > 0 {
		a.Controls = append(a.Controls, Control{wire.ControlCaughtUp, &wire.CaughtUp{
			Cursor: r.f.at(r.cursor).String(), Replayed: r.past.aside, Channels: r.past.caught,
		}})
		r.past.caught = nil
	}
}

// read adds what fits of the events between two positions and gives the
// position up to which they are complete.
func (r *reader) read(a *Answer, subs *wire.SubSet, after, upto uint64, p Poll, room *int) (next uint64, err error) {
	var batch ring.Batch
	next, err = r.f.opts.Ring.Replay(subs, after, upto, *room, &batch)
	if err != nil {
		return after, err
	}
	if taken := a.take(batch.Elements, p, room); taken < len(batch.Elements) {
		return batch.Elements[taken-1].Seq, nil
	}
	if next < upto {
		*room = 0
	}
	return next, nil
}

// take adds as many events as may be in one answer, one at least.
func (a *Answer) take(events []wire.Element, p Poll, room *int) int {
	n := min(len(events), p.MaxEvents-len(a.Events))
	for i := range events[:n] {
		*room -= len(events[i].JSON)
	}
	a.Events = append(a.Events, events[:n]...)
	if n < len(events) {
		*room = 0
	}
	return n
}

// waiter is a poll that waits for the next event of its subscriptions.
type waiter struct {
	subs  *wire.SubSet
	after uint64
	loop  *loop
	woken chan struct{} // closed when there may be something to read

	// All below is the loop's.
	group *group
	index int // in group.waiters; -1 = woken
}

// wait counts the poll as a connection from now until quit.
func (f *Fanout) wait(subs *wire.SubSet, after uint64) *waiter {
	w := &waiter{subs: subs, after: after, woken: make(chan struct{})}
	w.loop = f.place(w.key())
	w.loop.post(input{op: opWait, payload: w})
	w.loop.run(publisherBudget)
	return w
}

func (w *waiter) key() groupKey { return groupKey{subs: w.subs.Key(), poll: true} }

// quit ends the wait. It is called once, woken or not.
func (w *waiter) quit() {
	w.loop.post(input{op: opQuit, payload: w})
	w.loop.run(publisherBudget)
	w.loop.f.leave(w.key(), w.loop)
}

// wait begins a wait, unless an event came since the poll looked.
func (l *loop) wait(w *waiter) {
	key := w.key()
	l.counters(&key).polls++
	var batch ring.Batch
	_, err := l.f.opts.Ring.Replay(w.subs, w.after, l.seen, 1, &batch)
	if err != nil || len(batch.Elements) > 0 || l.drain != nil {
		close(w.woken)
		return
	}
	w.group = l.group(key, w.subs)
	w.index = len(w.group.waiters)
	w.group.waiters = append(w.group.waiters, w)
	w.group.n.subscriptions += w.subs.Len()
}

// unwait undoes wait.
func (l *loop) unwait(w *waiter) {
	key := w.key()
	l.counters(&key).polls--
	g := w.group
	if g == nil {
		return
	}
	g.n.subscriptions -= w.subs.Len()
	if w.index >= 0 {
		g.waiters = remove(g.waiters, w.index)
		if w.index < len(g.waiters) {
			g.waiters[w.index].index = w.index
		}
	}
	l.dissolve(g)
}

// wakeAll ends the wait of all polls of a group. The group stays until they
// have gone: it may be woken while routes are walked.
func (l *loop) wakeAll(g *group) {
	for _, w := range g.waiters {
		w.index = -1
		close(w.woken)
	}
	clear(g.waiters)
	g.waiters = g.waiters[:0]
}

// wakeEverybody makes all polls look anew: flags changed, or the pod drains.
func (l *loop) wakeEverybody() {
	for _, g := range l.groups {
		l.wakeAll(g)
	}
}
