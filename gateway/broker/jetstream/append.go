package jetstream

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/broker/keys"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// request is one Append under way.
type request struct {
	events  []wire.Event // with their time, once they are written
	results []broker.AppendResult
	entries []*entry    // what has to be written
	repeats map[int]int // events that repeat another one of the request, and which
	done    chan struct{}
	err     error // of the first event without a result; read after done
}

// entry is one event on its way into the stream.
type entry struct {
	of    *request
	index int
	msg   *nats.Msg
	acked bool
	tried bool // an earlier try may have succeeded
}

// Append hands events to the writer and waits. The writer has one flight at a
// time, with all that came meanwhile, so that events stay in order and the
// servers agree on many at once.
func (l *Log) Append(ctx context.Context, events []wire.Event, o broker.AppendOptions) ([]broker.AppendResult, error) {
	switch shape := l.shape.Load(); {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case l.isClosed():
		return nil, broker.ErrClosed
	case o.RequireDurability > shape.durability:
		return nil, broker.ErrDurability
	case len(events) == 0:
		return nil, l.probe(ctx)
	}
	r, err := l.request(events)
	if err != nil {
		return nil, err
	}
	if len(r.entries) == 0 {
		return r.finish(), nil
	}
	n := int64(len(r.entries))
	defer l.queued.Add(-n)
	if l.queued.Add(n) > maxQueued && n <= maxQueued {
		return nil, unavailable("appending", errFull)
	}
	select {
	case l.queue <- r:
	case <-l.closing.Done():
		return nil, broker.ErrClosed
	}
	select {
	case <-r.done:
		return r.finish(), r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// probe tells whether the stream's leader answers.
func (l *Log) probe(ctx context.Context) error {
	if _, err := l.state(ctx); err != nil {
		return unavailable("asking", err)
	}
	return nil
}

// request looks up what the log knows already; the rest is r.entries.
func (l *Log) request(events []wire.Event) (*request, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if i := l.keys.Check(events, now); i >= 0 {
		return nil, &broker.MismatchError{Index: i}
	}
	r := &request{events: append([]wire.Event(nil), events...), results: make([]broker.AppendResult, len(events)), done: make(chan struct{})}
	within := map[keys.Key]int{}
	for i := range events {
		if first, known := l.keys.Lookup(i, now); known {
			r.results[i] = l.result(first.Seq, first.Time, true)
			continue
		}
		k, keyed := l.keys.Key(i)
		if first, ok := within[k]; ok && keyed {
			if r.repeats == nil {
				r.repeats = map[int]int{}
			}
			r.repeats[i] = first
			continue
		}
		if keyed {
			within[k] = i
		} else {
			// Servers shall know it too, so that it can be sent again when
			// nobody knows what became of it.
			_, _ = rand.Read(k[:]) // never fails
		}
		msg := nats.NewMsg(l.options.subject(events[i].Channel))
		msg.Header[natsjs.MsgIDHeader] = []string{base64.RawURLEncoding.EncodeToString(k[:])}
		r.entries = append(r.entries, &entry{of: r, index: i, msg: msg})
	}
	return r, nil
}

func (l *Log) result(seq uint64, ms int64, duplicate bool) broker.AppendResult {
	shape := l.shape.Load()
	return broker.AppendResult{Seq: seq, Time: ms, Duplicate: duplicate, Durability: shape.durability, Copies: shape.copies}
}

// finish gives the results of the prefix that has some.
func (r *request) finish() []broker.AppendResult {
	if _, refused := r.err.(*broker.MismatchError); refused { //nolint:errorlint // it is set bare
		return nil
	}
	for i := range r.results {
		if first, repeats := r.repeats[i]; repeats {
			r.results[i] = r.results[first]
			r.results[i].Duplicate = true
		}
		if r.results[i].Seq == 0 {
			return r.results[:i]
		}
	}
	return r.results
}

// write is the one writer.
func (l *Log) write() {
	for {
		select {
		case r := <-l.queue:
			l.fly(append([]*request{r}, l.waiting(len(r.entries))...))
		case <-l.closing.Done():
			for {
				select {
				case r := <-l.queue:
					r.err = broker.ErrClosed
					close(r.done)
				default:
					return
				}
			}
		}
	}
}

// maxFlight bounds the events of a flight that has more than one request. Servers
// take a thousand at once.
const maxFlight = 500

// waiting takes what else is in the queue.
func (l *Log) waiting(entries int) (more []*request) {
	for entries < maxFlight {
		select {
		case r := <-l.queue:
			more = append(more, r)
			entries += len(r.entries)
		default:
			return more
		}
	}
	return more
}

// fly writes the requests and answers them, trying again what nobody answered
// for. Servers know what they have already by its id.
func (l *Log) fly(requests []*request) {
	var entries []*entry
	for _, r := range requests {
		entries = append(entries, r.entries...)
	}
	l.stamp(entries)
	deadline := time.Now().Add(patience)
	if down := l.downAt.Load(); down != 0 && l.now()-time.Duration(down) > patience {
		deadline = time.Now() // others have waited for it already
	}
	err := l.publish(entries)
	for try := 0; err != nil && again(err) && time.Now().Before(deadline); try++ {
		if l.pause(l.closing, try) != nil {
			err = broker.ErrClosed
			break
		}
		entries = unacked(entries)
		err = l.publish(entries)
	}
	l.full.Store(Full(err))
	for _, r := range requests {
		if r.err == nil && len(unacked(r.entries)) > 0 {
			r.err = unavailable("publishing", err)
		}
		close(r.done)
	}
}

func unacked(entries []*entry) (rest []*entry) {
	for _, e := range entries {
		if !e.acked && e.of.err == nil {
			rest = append(rest, e)
		}
	}
	return rest
}

// stamp sets the time of events and writes their messages. Time does not run
// backwards, even where another gateway's clock is ahead.
func (l *Log) stamp(entries []*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ms := max(time.Now().UnixMilli(), l.lastMs)
	for _, e := range entries {
		event := &e.of.events[e.index]
		event.Time = max(event.Time, ms)
		ms = event.Time
		e.msg.Data = encode(event)
	}
	l.lastMs = ms
}

// acked notes where an event went.
func (l *Log) acked(e *entry, seq uint64, ms int64, duplicate bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.acked = true
	e.of.results[e.index] = l.result(seq, ms, duplicate)
	now := l.now()
	l.keys.Note(&e.of.events[e.index], seq, ms, now, now)
}
