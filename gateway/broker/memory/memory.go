// Package memory is the log of a gateway that stands alone: it gives events
// their order and forgets them. The replay buffer of the pod is all that
// remembers; an acknowledgement says so (durability memory, one copy), and a
// new process is a new epoch.
//
// It stores no event, only the keys of the last minutes, so that a publisher
// can repeat a request safely. gateway/server makes it when no broker is
// configured.
package memory

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/broker/keys"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

const (
	// maxKeys bounds the keys known, about 90 bytes each. Above 3495 events
	// with a key per second keys.Span becomes shorter; see Stats.
	maxKeys = 1 << 20

	epochDigits  = 10 // base 36, enough for 48 bits
	cleanupEvery = time.Second
)

// Log is the memory log. Its zero value is of no use; see New.
type Log struct {
	epoch string
	start time.Time // of the monotonic clock that keys age by

	mu      sync.Mutex // held while the sink runs: records come in order
	tail    uint64
	lastMs  int64 // time of the newest record: time never runs backwards
	keys    *keys.Window
	records []wire.Record // scratch
	sink    func([]wire.Record) error
	failed  chan error // of the running Tail
	closed  chan struct{}
}

var _ broker.Log = (*Log)(nil)

// New makes an empty log. The epoch is 48 bits of random; the error is that of
// reading them.
func New(random io.Reader) (*Log, error) {
	var b [8]byte
	if _, err := io.ReadFull(random, b[2:]); err != nil {
		return nil, fmt.Errorf("drawing an epoch: %w", err)
	}
	epoch := strconv.FormatUint(binary.BigEndian.Uint64(b[:]), 36)
	for len(epoch) < epochDigits {
		epoch = "0" + epoch
	}
	return &Log{epoch: epoch, start: time.Now(), keys: keys.New(keys.Span, maxKeys), closed: make(chan struct{})}, nil
}

// Info never fails.
func (l *Log) Info(context.Context) (broker.Info, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return broker.Info{
		Epoch: l.epoch, First: l.tail + 1, Tail: l.tail,
		Durability: broker.Memory, Copies: 1, Contiguous: true,
	}, nil
}

// Append calls the sink of Tail before it returns. Without a Tail it answers
// broker.ErrUnavailable: an event that nobody reads would be lost.
func (l *Log) Append(ctx context.Context, events []wire.Event, o broker.AppendOptions) ([]broker.AppendResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.isClosed():
		return nil, broker.ErrClosed
	case o.RequireDurability > broker.Memory:
		return nil, broker.ErrDurability
	case l.sink == nil:
		return nil, broker.ErrUnavailable
	}
	now := time.Since(l.start)
	if i := l.keys.Check(events, now); i >= 0 {
		return nil, &broker.MismatchError{Index: i}
	}
	results := l.order(events, now)
	if len(l.records) == 0 {
		return results, nil
	}
	if err := l.sink(l.records); err != nil {
		l.failed <- err
		l.sink = nil
		return nil, fmt.Errorf("%w: handing records on: %w", broker.ErrUnavailable, err)
	}
	return results, nil
}

// order gives events their place; new ones are then in l.records. check has
// just looked at them.
func (l *Log) order(events []wire.Event, now time.Duration) []broker.AppendResult {
	clear(l.records) // their events belong to their publishers
	l.records = l.records[:0]
	results := make([]broker.AppendResult, len(events))
	ms := max(time.Now().UnixMilli(), l.lastMs)
	for i := range events {
		res := &results[i]
		res.Durability, res.Copies = broker.Memory, 1
		if first, known := l.keys.Lookup(i, now); known {
			res.Seq, res.Time, res.Duplicate = first.Seq, first.Time, true
			continue
		}
		rec := wire.Record{Event: events[i], Seq: l.tail + 1}
		rec.Time = max(rec.Time, ms)
		l.tail, l.lastMs, ms = rec.Seq, rec.Time, rec.Time
		res.Seq, res.Time = rec.Seq, rec.Time
		l.keys.Remember(i, rec.Seq, rec.Time, now)
		l.records = append(l.records, rec)
	}
	return results
}

// Tail makes sink the one that Append calls. after must be the tail: the log
// keeps nothing that could be told again.
func (l *Log) Tail(ctx context.Context, after uint64, sink func([]wire.Record) error) error {
	failed, err := l.attach(after, sink)
	if err != nil {
		return err
	}
	tick := time.NewTicker(cleanupEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-failed:
			return err
		case <-l.closed:
			l.detach(failed)
			return broker.ErrClosed
		case <-ctx.Done():
			l.detach(failed)
			return ctx.Err()
		case <-tick.C:
			l.mu.Lock()
			l.keys.Expire(time.Since(l.start), keys.Slice)
			l.mu.Unlock()
		}
	}
}

func (l *Log) attach(after uint64, sink func([]wire.Record) error) (failed chan error, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.isClosed():
		return nil, broker.ErrClosed
	case l.sink != nil:
		return nil, errors.New("tailing: the log has a tail already")
	case after < l.tail:
		return nil, &broker.EvictedError{First: l.tail + 1}
	case after > l.tail:
		return nil, fmt.Errorf("tailing after %d: the log ends at %d", after, l.tail)
	}
	// One place, so that Append never waits for Tail to read it.
	l.failed = make(chan error, 1)
	l.sink = sink
	return l.failed, nil
}

// detach takes the sink away, unless another Tail has come since.
func (l *Log) detach(failed chan error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == failed {
		l.sink = nil
	}
}

// Read gives nothing: whoever asks for more than the tail is told that it is
// gone.
func (l *Log) Read(_ context.Context, after uint64, _ int) ([]wire.Record, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if after < l.tail {
		return nil, false, &broker.EvictedError{First: l.tail + 1}
	}
	return nil, false, nil
}

// Evicted does not know channels; the tail bounds them all.
func (l *Log) Evicted(context.Context, string) (seq uint64, known bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tail, false, nil
}

// Close never fails and may be called again.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.isClosed() {
		close(l.closed)
	}
	return nil
}

func (l *Log) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// Stats tells what the log remembers.
type Stats struct {
	Keys int
	// Early counts keys that were forgotten before keys.Span had passed, because
	// there were too many.
	Early uint64
}

// Stats reads them at one moment.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{Keys: l.keys.Len(), Early: l.keys.Early()}
}
