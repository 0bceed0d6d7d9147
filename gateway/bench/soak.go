//go:build linux

package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/streamgateway/streamgateway/gateway/bench/contest"
	"github.com/streamgateway/streamgateway/gateway/bench/load"
	"github.com/streamgateway/streamgateway/gateway/bench/proc"
)

// Sample is the gateway at one moment of a soak.
type Sample struct {
	Seconds     float64
	Heap        int64 // bytes of objects, garbage with them
	Live        int64 // bytes that the last collection found in use, and stacks
	Resident    int64 // bytes
	Sockets     int64 // bytes of kernel memory in socket buffers
	Goroutines  int64
	Descriptors int
	Streams     int64
	Known       int64 // channels that the gateway knows
	Channels    int64 // made so far by this soak
	Published   uint64
	Delivered   uint64
}

const (
	soakStable   = 400 // streams that stay
	soakChurning = 400 // places of streams that come and go
	soakStalled  = 40  // places of streams that stop reading
	soakRate     = 200.0
	soakTurn     = 20 * time.Millisecond // a churning stream is cut and another opened
	soakStallFor = 30 * time.Second
	madeEvery    = 4 // events, of which one goes to a channel of its own
	sampleEvery  = time.Second
)

// soak is one under way.
type soak struct {
	server    *contest.Running
	crowd     *load.Crowd
	publisher *load.Publisher
	channels  int // made so far
	random    *rand.Rand
}

// Soak lets one gateway work for a while: streams that stay, streams that come
// and go, each with a new channel besides a common one, and streams that stop
// reading. sample is told how the gateway is, once a second.
func Soak(ctx context.Context, o Options, lasts time.Duration, sample func(Sample)) (err error) {
	s := &soak{random: rand.New(rand.NewPCG(o.Seed, 3))}
	const streams = soakStable + soakChurning + soakStalled
	if s.server, err = contest.Gateway().Start(ctx, o.Tools, contest.Setup{Window: window, Connections: streams + 16, Keep: lasts / 4}, o.Core); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.server.Stop()) }()
	if s.crowd, err = load.NewCrowd(streams); err != nil {
		return err
	}
	defer s.crowd.Close()
	if s.publisher, err = load.NewPublisher(s.server.Target(), load.NewMix(s.random).Append, 4); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.publisher.Close()) }()
	for i := range streams {
		if err := s.open(i); err != nil {
			return err
		}
	}
	timed, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	published := make(chan error, 1)
	go func() { published <- s.publish(timed) }()
	err = s.churn(timed, sample)
	cancel()
	if late := <-published; !errors.Is(late, context.DeadlineExceeded) && !errors.Is(late, context.Canceled) {
		err = errors.Join(err, late)
	}
	return errors.Join(err, context.Cause(ctx))
}

// open gives place i a stream. All read common channels; churning ones have a
// channel besides that nobody had before.
func (s *soak) open(i int) error {
	channels := []string{name(i % 20)}
	switch {
	case i >= soakStable+soakChurning: // enough for a reader that stops to be far behind soon
		for c := range 19 {
			channels = append(channels, name((i+c+1)%20))
		}
	case i >= soakStable:
		s.channels++
		channels = append(channels, fmt.Sprintf("bench.new.%d", s.channels))
	}
	return s.crowd.Open(s.server.Address, i, i+1, func(int) []byte { return s.server.Request(channels, "") })
}

// publish sends to the common channels, and some events to channels made for
// them.
func (s *soak) publish(ctx context.Context) error {
	return s.publisher.Paced(ctx, soakRate, 1<<40, 1, func(i int) string {
		if i%madeEvery == 0 {
			return fmt.Sprintf("bench.made.%d", i)
		}
		return name(i % 20)
	})
}

// churn cuts and opens streams, stalls some, and samples.
func (s *soak) churn(ctx context.Context, sample func(Sample)) error {
	turn, tick, stall := time.NewTicker(soakTurn), time.NewTicker(sampleEvery), time.NewTicker(soakStallFor/soakStalled)
	defer turn.Stop()
	defer tick.Stop()
	defer stall.Stop()
	began, next := time.Now(), 0
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-turn.C:
			err = s.renew(soakStable + s.random.IntN(soakChurning))
		case <-stall.C: // each is stalled for soakStallFor, then replaced
			i := soakStable + soakChurning + next%soakStalled
			next++
			if err = s.renew(i); err == nil {
				err = s.crowd.Stall(i)
			}
		case <-tick.C:
			var now Sample
			if now, err = s.look(ctx); err == nil {
				now.Seconds = time.Since(began).Seconds()
				sample(now)
			}
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func (s *soak) renew(i int) error {
	return errors.Join(s.crowd.Cut(i), s.open(i))
}

// look reads the gateway's own metrics and what the kernel knows of it.
func (s *soak) look(ctx context.Context) (Sample, error) {
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.server.Admin.String()+"/metrics", nil)
	if err != nil {
		return Sample{}, err
	}
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return Sample{}, fmt.Errorf("asking for metrics: %w", err)
	}
	defer answer.Body.Close()
	values := gauges(answer.Body)
	memory, err := proc.UserMemory(s.server.PID())
	if err != nil {
		return Sample{}, err
	}
	sockets, err := proc.SocketsOf(s.server.Address.Port())
	if err != nil {
		return Sample{}, err
	}
	descriptors, err := proc.Descriptors(s.server.PID())
	return Sample{
		Heap: values["go_memstats_heap_alloc_bytes"], Live: values["sg_memory_bytes"] - values[`sg_memory_bytes{class="sockets"}`],
		Resident: memory.Resident, Sockets: sockets.Total(), Goroutines: values["go_goroutines"], Descriptors: descriptors,
		Streams: values["sg_connections"], Known: values["sg_channels"], Channels: int64(s.channels), Published: s.publisher.Next() - 1, Delivered: s.crowd.Counts().Received,
	}, err
}

// gauges reads a Prometheus text: each sample, and the sum of those of a metric
// that has labels.
func gauges(text io.Reader) map[string]int64 {
	sums := map[string]int64{}
	for lines := bufio.NewScanner(text); lines.Scan(); {
		metric, value, ok := strings.Cut(lines.Text(), " ")
		if strings.HasPrefix(metric, "#") || !ok {
			continue
		}
		if v, err := strconv.ParseFloat(value[strings.LastIndexByte(value, ' ')+1:], 64); err == nil {
			sums[metric] += int64(v)
			if metric, _, ok = strings.Cut(metric, "{"); ok {
				sums[metric] += int64(v)
			}
		}
	}
	return sums
}

// CSVHead and CSV are samples as lines for a spreadsheet.
const CSVHead = "seconds,heap_bytes,live_bytes,resident_bytes,socket_bytes,goroutines,descriptors,streams,channels_known,channels_made,published,delivered\n"

// CSV is one line.
func (s Sample) CSV() string {
	return fmt.Sprintf("%.0f,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d\n", s.Seconds, s.Heap, s.Live, s.Resident, s.Sockets,
		s.Goroutines, s.Descriptors, s.Streams, s.Known, s.Channels, s.Published, s.Delivered)
}
