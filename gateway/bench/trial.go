//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/streamgateway/streamgateway/gateway/bench/contest"
	"github.com/streamgateway/streamgateway/gateway/bench/load"
	"github.com/streamgateway/streamgateway/gateway/bench/proc"
)

// trial is one server in one scenario.
type trial struct {
	Scenario
	running   *contest.Running
	crowd     *load.Crowd
	publisher *load.Publisher
	result    *Result
	reads     [][]int // channels of each subscriber
	seed      uint64
	token     string // shown with every request; "" = none

	began                   time.Time
	user, kernel, generator time.Duration
}

const (
	probeRounds  = 40
	probeTimeout = 1500 * time.Millisecond
	quiet        = 300 * time.Millisecond
	// trialTimeout ends a server that never comes to an end of a trial.
	trialTimeout = 90 * time.Second
)

// run makes a whole trial of it; what goes wrong is in the result.
func (t *trial) run(ctx context.Context, server *contest.Server, tools contest.Tools, core int) {
	ctx, cancel := context.WithTimeout(ctx, trialTimeout)
	defer cancel()
	err := t.try(ctx, server, tools, core)
	switch {
	case errors.Is(err, contest.ErrMissing):
		t.result.Skipped = err.Error()
	case err != nil:
		t.result.Error = err.Error()
	}
}

func (t *trial) try(ctx context.Context, server *contest.Server, tools contest.Tools, core int) (err error) {
	if t.result.LoadBefore, err = proc.Load(); err != nil {
		return err
	}
	t.running, err = server.Start(ctx, tools, contest.Setup{Window: t.Window, Connections: t.Streams + 16}, core)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.running.Stop()) }()
	if t.token != "" {
		t.running = t.running.As(t.token)
	}
	if t.crowd, err = load.NewCrowd(t.Streams); err != nil {
		return err
	}
	defer t.crowd.Close()
	if t.publisher, err = load.NewPublisher(t.running.Target(), t.fill(), t.Lines); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.publisher.Close()) }()
	t.draw()
	switch t.Kind {
	case Idle:
		err = t.idle(ctx)
	case Paced:
		err = t.paced(ctx)
	case Flood:
		err = t.flood(ctx)
	case Reconnect:
		err = t.reconnect(ctx)
	case Publish:
		err = t.publish(ctx)
	case Bytes:
		return t.bytes(ctx)
	}
	return errors.Join(err, t.gather())
}

func (t *trial) fill() load.Fill {
	if t.Size > 0 {
		return func(dst []byte, n uint64, at int64) []byte { return load.AppendSized(dst, n, at, t.Size) }
	}
	return load.NewMix(rand.New(rand.NewPCG(t.seed, 1))).Append
}

// draw decides who reads what: the same for every server.
func (t *trial) draw() {
	r := rand.New(rand.NewPCG(t.seed, 2))
	t.reads = make([][]int, t.Streams)
	for i := range t.reads {
		set := map[int]bool{i % t.Channels: true}
		t.reads[i] = []int{i % t.Channels}
		for len(t.reads[i]) < t.Each {
			if c := r.IntN(t.Channels); !set[c] {
				set[c] = true
				t.reads[i] = append(t.reads[i], c)
			}
		}
	}
}

func name(channel int) string { return fmt.Sprintf("bench.%d", channel) }

func (t *trial) channel(i int) string { return name(i % t.Channels) }

func (t *trial) request(since string) func(i int) []byte {
	return func(i int) []byte {
		var names []string
		for _, c := range t.reads[i] {
			names = append(names, name(c))
		}
		if t.stalls(i) {
			names = append(names, bulkChannel)
		}
		return t.running.Request(names, since)
	}
}

// open connects everybody and makes sure that everybody gets events.
func (t *trial) open(ctx context.Context) error {
	if err := t.crowd.Open(t.running.Address, 0, t.Streams, t.request("")); err != nil {
		return err
	}
	// Who is not answered yet would miss the probe.
	t.await(ctx, drainTime, func() bool { return int(t.crowd.Counts().Opened) >= t.Streams })
	for range probeRounds {
		if err := t.publisher.Paced(ctx, 2000, t.Channels, 1, t.channel); err != nil {
			return err
		}
		if t.await(ctx, probeTimeout, func() bool { return t.crowd.Counts().Reached == t.Streams }) {
			return t.calm(ctx)
		}
	}
	c := t.crowd.Counts()
	_, err := t.crowd.Latency()
	return errors.Join(fmt.Errorf("only %d of %d streams got an event, %d were ended", c.Reached, t.Streams, c.Lost), err)
}

// calm waits until nothing arrives any more, then forgets what has.
func (t *trial) calm(ctx context.Context) error {
	for before := uint64(0); ; {
		now := t.crowd.Counts().Received
		if now == before {
			break
		}
		before = now
		select {
		case <-time.After(quiet):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	t.crowd.Reset(t.publisher.Next())
	return nil
}

// await looks every millisecond; false = it did not become true in time.
func (t *trial) await(ctx context.Context, longest time.Duration, done func() bool) bool {
	for end := time.Now().Add(longest); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(time.Millisecond) {
		if done() {
			return true
		}
	}
	return done()
}

// begin and end stand around what is measured.
func (t *trial) begin() (err error) {
	if t.user, t.kernel, err = proc.CPU(t.running.PID()); err != nil {
		return err
	}
	if t.result.UserBefore, err = proc.UserMemory(t.running.PID()); err != nil {
		return err
	}
	if t.result.SocketsBefore, err = proc.SocketsOf(t.running.Address.Port()); err != nil {
		return err
	}
	if t.result.SlabBefore, err = proc.Slab(); err != nil {
		return err
	}
	user, kernel, err := proc.CPU(os.Getpid())
	t.generator, t.began = user+kernel, time.Now()
	return err
}

func (t *trial) end() error {
	t.result.Seconds = time.Since(t.began).Seconds()
	user, kernel, err := proc.CPU(t.running.PID())
	if err != nil {
		return err
	}
	t.result.UserSeconds, t.result.KernelSeconds = (user - t.user).Seconds(), (kernel - t.kernel).Seconds()
	own, more, err := proc.CPU(os.Getpid())
	if err != nil {
		return err
	}
	// The server is a child of this process, so its time is in the sum.
	t.result.BenchSeconds = (own + more - t.generator).Seconds() - t.result.CPU()
	if t.result.UserAfter, err = proc.UserMemory(t.running.PID()); err != nil {
		return err
	}
	if t.result.SlabAfter, err = proc.Slab(); err != nil {
		return err
	}
	t.result.SocketsAfter, err = proc.SocketsOf(t.running.Address.Port())
	return err
}

// gather puts into the result what crowd and publisher counted.
func (t *trial) gather() (err error) {
	c, r := t.crowd.Counts(), t.result
	r.Delivered, r.Duplicates, r.LostStreams, r.WireBytes = c.Received, c.Duplicates, c.Lost, c.WireBytes
	latency, failure := t.crowd.Latency()
	published := t.publisher.Published()
	var errs [4]error
	r.Latency, errs[0] = timesOf(latency)
	r.Ack, errs[1] = timesOf(published.Acks)
	r.Late, errs[2] = timesOf(published.Late)
	errs[3] = failure
	return errors.Join(errs[:]...)
}
