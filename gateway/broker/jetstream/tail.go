package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

const (
	maxHandedOn = 256 // records that sink gets at once
	// maxMissing is how often in a row a stream may be unknown before it counts
	// as deleted: servers that start do not know all streams at first.
	maxMissing = 5
)

// place is where Tail is. stamp tells the record there from another one that
// took its number; 0 = not known.
type place struct {
	seq   uint64
	stamp int64
}

// sinkError is what sink answered, so that nobody tries again.
type sinkError struct{ error }

// Tail follows the stream through lost connections, new leaders and restarts of
// the servers. It ends with *broker.EvictedError when records were removed
// before they came here, and with broker.ErrEpoch when the stream is another one
// or has lost acknowledged events.
func (l *Log) Tail(ctx context.Context, after uint64, sink func([]wire.Record) error) error {
	switch {
	case l.isClosed():
		return broker.ErrClosed
	case !l.tailing.CompareAndSwap(false, true):
		return errors.New("tailing: the log has a tail already")
	}
	defer l.tailing.Store(false)
	at, missing := place{seq: after}, 0
	for try := 0; ; try++ {
		before := at.seq
		err := l.follow(ctx, &at, sink)
		var gone *broker.EvictedError
		var broken sinkError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case l.isClosed():
			return broker.ErrClosed
		case errors.As(err, &broken):
			return broken.error
		case errors.As(err, &gone), errors.Is(err, broker.ErrEpoch):
			return err
		}
		if missing++; !errors.Is(err, natsjs.ErrStreamNotFound) {
			missing = 0
		}
		if missing == maxMissing {
			return fmt.Errorf("%w: %w", broker.ErrEpoch, err)
		}
		if at.seq > before {
			try = 0
		}
		l.repairs.Add(1)
		if err := l.pause(ctx, try); err != nil {
			return err
		}
	}
}

// follow hands records on until something is wrong with the feed, the stream or
// sink.
func (l *Log) follow(ctx context.Context, at *place, sink func([]wire.Record) error) error {
	run, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(l.closing, stop)()
	l.kick.Store(&stop)
	if err := l.verify(run, *at); err != nil {
		return err
	}
	// The record at the place is read again, to see that it is the same one.
	from := at.seq + 1
	if at.stamp != 0 {
		from = at.seq
	}
	f, err := l.feed(run, from)
	if err != nil {
		return err
	}
	defer f.stop()
	if try := int(l.repairs.Load()); try > 0 {
		l.options.Log.Debug("reading the stream again", "after", at.seq, "repairs", try)
	}
	return l.handOn(run, f, at, sink)
}

// handOn gives sink what comes, as much at once as is here.
func (l *Log) handOn(ctx context.Context, f *feed, at *place, sink func([]wire.Record) error) error {
	var records []wire.Record
	for {
		clear(records)
		records = records[:0]
		next := *at
		for len(records) == 0 || len(records) < maxHandedOn && f.waiting() > 0 {
			rec, err := f.next(ctx)
			if err != nil {
				return err
			}
			if rec.Seq == next.seq && next.stamp != 0 {
				if rec.stamp == next.stamp {
					continue
				}
				return l.lost(ctx, fmt.Errorf("record %d is another one", rec.Seq))
			}
			if rec.Seq != next.seq+1 {
				return &broker.EvictedError{First: rec.Seq}
			}
			next = place{rec.Seq, rec.stamp}
			records = append(records, rec.Record)
		}
		l.note(records)
		if err := sink(records); err != nil {
			return sinkError{err}
		}
		*at = next
		l.lag.Store(f.behind)
	}
}

// note remembers keys and the time, and lets time not run backwards: gateways'
// clocks differ by a little.
func (l *Log) note(records []wire.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, wall := l.now(), time.Now().UnixMilli()
	for i := range records {
		r := &records[i]
		r.Time = max(r.Time, l.tailMs)
		l.tailMs = r.Time
		l.lastMs = max(l.lastMs, r.Time)
		age := time.Duration(max(wall-r.Time, 0)) * time.Millisecond
		l.keys.Note(&r.Event, r.Seq, r.Time, now-age, now)
	}
	l.keys.Expire(now, len(records)+1)
}

// verify tells whether the stream is still the one that was opened and has what
// was seen of it.
func (l *Log) verify(ctx context.Context, at place) error {
	s, err := l.state(ctx)
	switch {
	case err != nil:
		return err
	case s.epoch != l.epoch:
		return fmt.Errorf("%w: it is %s now, not %s", broker.ErrEpoch, s.epoch, l.epoch)
	case s.last < at.seq:
		return l.lost(ctx, fmt.Errorf("it ends at %d, and %d was seen", s.last, at.seq))
	case s.first > at.seq+1:
		return &broker.EvictedError{First: s.first}
	}
	l.reshape(s.info.Config)
	return nil
}

// lost begins a new epoch: what was acknowledged is gone.
func (l *Log) lost(ctx context.Context, why error) error {
	s, err := l.state(ctx)
	if err == nil && s.epoch == l.epoch {
		err = l.renew(ctx, s)
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %w", broker.ErrEpoch, why)
}

// Read reads by a feed of its own; it is for clients that come from far behind.
func (l *Log) Read(ctx context.Context, after uint64, limit int) (records []wire.Record, more bool, err error) {
	if l.isClosed() {
		return nil, false, broker.ErrClosed
	}
	s, err := l.state(ctx)
	switch {
	case err != nil:
		return nil, false, unavailable("reading", err)
	case after+1 < s.first:
		return nil, false, &broker.EvictedError{First: s.first}
	case after >= s.last || limit <= 0:
		return nil, after < s.last, nil
	}
	f, err := l.feed(ctx, after+1)
	if err != nil {
		return nil, false, unavailable("reading", err)
	}
	defer f.stop()
	upto := min(s.last, after+uint64(limit))
	for seq := after + 1; seq <= upto; seq++ {
		rec, err := f.next(ctx)
		switch {
		case err != nil:
			return records, true, unavailable("reading", err)
		case rec.Seq != seq:
			return nil, false, &broker.EvictedError{First: rec.Seq}
		}
		records = append(records, rec.Record)
	}
	return records, upto < s.last, nil
}

// Evicted does not know channels; the first record bounds them all.
func (l *Log) Evicted(ctx context.Context, _ string) (seq uint64, known bool, err error) {
	if l.isClosed() {
		return 0, false, broker.ErrClosed
	}
	s, err := l.state(ctx)
	if err != nil {
		return 0, false, unavailable("asking for the first record", err)
	}
	return s.first - 1, false, nil
}
