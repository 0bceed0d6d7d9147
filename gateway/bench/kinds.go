//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamgateway/streamgateway/gateway/bench/load"
	"github.com/streamgateway/streamgateway/gateway/bench/proc"
)

const (
	drainTime  = 8 * time.Second         // longest wait for what is on its way
	silence    = 1500 * time.Millisecond // after which nothing more is expected
	patience   = 2                       // times what publishing should last
	floodAhead = 1000                    // events on their way to every subscriber
	owedRate   = 2000                    // requests per second of what reconnects are owed
	bulkRate   = 400                     // requests per second of what stalled streams are owed
	// bulkChannel is read by streams that stall, and by no other.
	bulkChannel = "bench.bulk"
)

// drain waits for what is on its way: until all is there, or nothing has come
// for a while.
func (t *trial) drain(ctx context.Context, longest time.Duration) {
	last, since := t.crowd.Counts().Received, time.Now()
	t.await(ctx, longest, func() bool {
		now := t.crowd.Counts().Received
		if now > last {
			last, since = now, time.Now()
		}
		return now >= t.result.Expected || time.Since(since) > silence
	})
}

// idle opens streams, and looks at memory when there were only a few of them
// and when all were there for a while.
func (t *trial) idle(ctx context.Context) error {
	const few = 16
	if err := t.crowd.Open(t.running.Address, 0, few, t.request("")); err != nil {
		return err
	}
	if !t.await(ctx, drainTime, func() bool { return t.crowd.Counts().Opened == few }) {
		return fmt.Errorf("%d of the first %d streams were opened", t.crowd.Counts().Opened, few)
	}
	if err := t.begin(); err != nil {
		return err
	}
	if err := t.crowd.Open(t.running.Address, few, t.Streams, t.request("")); err != nil {
		return err
	}
	if !t.await(ctx, drainTime, func() bool { return int(t.crowd.Counts().Opened) == t.Streams }) {
		return fmt.Errorf("%d of %d streams were opened", t.crowd.Counts().Opened, t.Streams)
	}
	select {
	case <-time.After(t.Lasts):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if lost := t.crowd.Counts().Lost; lost > 0 {
		return fmt.Errorf("%d of %d streams were ended", lost, t.Streams)
	}
	t.result.Idle = uint64(t.Streams - few)
	return t.end()
}

// paced publishes at a fixed rate and waits for the last delivery.
func (t *trial) paced(ctx context.Context) error {
	if err := t.open(ctx); err != nil {
		return err
	}
	before, err := t.stall(ctx)
	if err != nil {
		return err
	}
	if err := t.begin(); err != nil {
		return err
	}
	if t.Stalled > 0 {
		t.result.SocketsBefore = before
	}
	first := t.publisher.Next()
	// A server that cannot keep up gets fewer events, not more time.
	timed, cancel := context.WithTimeout(ctx, patience*t.Lasts)
	defer cancel()
	err = t.publisher.Paced(timed, t.Rate, int(t.Rate*t.Lasts.Seconds()), t.Group, t.channel)
	if err != nil && (timed.Err() == nil || ctx.Err() != nil) {
		return err
	}
	t.result.Published = t.publisher.Next() - first
	t.result.Expected = t.expected(int(t.result.Published))
	t.drain(ctx, drainTime)
	return t.end()
}

// stall makes streams stop reading, and publishes to them more than any kernel
// queue should take. It gives the memory of all sockets before.
func (t *trial) stall(ctx context.Context) (before proc.Sockets, err error) {
	if t.Stalled == 0 {
		return before, nil
	}
	if before, err = proc.SocketsOf(t.running.Address.Port()); err != nil {
		return before, err
	}
	for i := range t.Streams {
		if !t.stalls(i) {
			continue
		}
		if err := t.crowd.Stall(i); err != nil {
			return before, err
		}
	}
	const piece = 8 << 10 // what every server takes
	bulk, err := load.NewPublisher(t.running.Target(), func(dst []byte, n uint64, at int64) []byte {
		return load.AppendSized(dst, n, at, piece)
	}, 1)
	if err != nil {
		return before, err
	}
	err = bulk.Paced(ctx, bulkRate, t.Bulk/piece, 1, func(int) string { return bulkChannel })
	return before, errors.Join(err, bulk.Close(), t.calm(ctx))
}

// stalls tells which subscribers stop reading: they are spread evenly.
func (t *trial) stalls(i int) bool { return t.Stalled > 0 && i%(t.Streams/t.Stalled) == 0 }

// expected is how many deliveries the first n events on channels 0, 1, … make.
func (t *trial) expected(n int) (sum uint64) {
	readers := make([]uint64, t.Channels)
	for i, channels := range t.reads {
		if t.stalls(i) {
			continue
		}
		for _, c := range channels {
			readers[c]++
		}
	}
	for c, r := range readers {
		events := n / t.Channels
		if c < n%t.Channels {
			events++
		}
		sum += r * uint64(events)
	}
	return sum
}

// flood publishes as fast as subscribers get it.
func (t *trial) flood(ctx context.Context) error {
	if err := t.open(ctx); err != nil {
		return err
	}
	if t.Group = t.group(); !t.running.Batches {
		t.Group = 1 // a request of a hundred would be a million writes
	}
	first := t.publisher.Next()
	if err := t.begin(); err != nil {
		return err
	}
	mayGo := func() bool {
		ahead := float64(t.publisher.Next()-first) - float64(t.crowd.Counts().Received)/float64(t.Streams)
		return ahead < floodAhead
	}
	timed, cancel := context.WithTimeout(ctx, t.Lasts)
	defer cancel()
	if err := t.publisher.Flood(timed, 1<<40, t.Group, t.channel, mayGo); err != nil {
		return err
	}
	t.result.Published = t.publisher.Next() - first
	t.result.Expected = t.result.Published * uint64(t.Streams)
	t.drain(ctx, drainTime)
	return t.end()
}

// group is how many events a request holds: one where that is all a server
// takes.
func (t *trial) group() int {
	if t.running.Target().Many == nil {
		return 1
	}
	return t.Group
}

// reconnect lets everybody come at once with a position that is Owed events
// behind.
func (t *trial) reconnect(ctx context.Context) error {
	if !t.running.Replays {
		t.result.Skipped = "does not replay"
		return nil
	}
	f, err := t.running.Follow(name(0))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it only read
	if err := t.publisher.Paced(ctx, owedRate, 1, 1, t.channel); err != nil {
		return err
	}
	since, err := f.Wait(t.publisher.Next()-1, drainTime)
	if err != nil {
		return err
	}
	first := t.publisher.Next()
	if err := t.publisher.Paced(ctx, owedRate, t.Owed, 1, t.channel); err != nil {
		return err
	}
	if _, err := f.Wait(t.publisher.Next()-1, drainTime); err != nil {
		return err
	}
	t.crowd.Reset(first)
	if err := t.begin(); err != nil {
		return err
	}
	t.result.Published = uint64(t.Owed)
	t.result.Expected = uint64(t.Streams) * uint64(t.Owed)
	if err := t.crowd.Open(t.running.Address, 0, t.Streams, t.request(since)); err != nil {
		return err
	}
	t.drain(ctx, t.Lasts)
	return t.end()
}

// publish counts what a server takes; one subscriber sees that it does.
func (t *trial) publish(ctx context.Context) error {
	if err := t.open(ctx); err != nil {
		return err
	}
	t.Group, t.result.PublishOnly = t.group(), true
	first := t.publisher.Next()
	if err := t.begin(); err != nil {
		return err
	}
	timed, cancel := context.WithTimeout(ctx, t.Lasts)
	defer cancel()
	if err := t.publisher.Flood(timed, 1<<40, t.Group, t.channel, func() bool { return true }); err != nil {
		return err
	}
	t.result.Published = t.publisher.Next() - first
	t.result.Expected = t.result.Published
	if err := t.end(); err != nil { // the time of publishing, not of the reader
		return err
	}
	t.drain(ctx, drainTime)
	return nil
}

// bytes counts what events weigh on the wire for readers that accept gzip. All
// of a request's events are in one block, and every request has its own.
func (t *trial) bytes(ctx context.Context) error {
	plain := t.request("")
	readers, err := load.Inflate(t.running.Address, t.Streams, func(i int) []byte { return load.AcceptGzip(plain(i)) })
	if err != nil {
		return err
	}
	defer readers.Close()
	if err := t.publisher.Paced(ctx, t.Rate, int(t.Rate), 1, t.channel); err != nil { // the last one finds all of them there
		return err
	}
	if err := sleep(ctx, quiet); err != nil {
		return err
	}
	readers.Reset(t.publisher.Next())
	if err := t.begin(); err != nil {
		return err
	}
	requests, group := int(t.Rate*t.Lasts.Seconds()), t.group()
	if err := t.publisher.Paced(ctx, t.Rate, requests, group, t.channel); err != nil {
		return err
	}
	t.result.Published = uint64(requests * group)
	t.result.Expected = t.result.Published * uint64(t.Streams)
	readers.Await(t.result.Expected, silence)
	if err := t.end(); err != nil {
		return err
	}
	var compressed uint64
	t.result.Delivered, t.result.WireBytes, compressed, err = readers.Received()
	if compressed == 0 {
		t.result.Note = "not compressed"
	}
	if err == nil {
		t.result.Latency, err = timesOf(readers.Latency())
	}
	return err
}
