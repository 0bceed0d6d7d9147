//go:build linux

package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/streamgateway/streamgateway/gateway/bench/contest"
	"github.com/streamgateway/streamgateway/gateway/bench/load"
	"github.com/streamgateway/streamgateway/gateway/bench/proc"
)

// Way is how browsers learn what is new.
type Way string

// The ways.
const (
	Streams    Way = "stream"
	Compressed Way = "stream, gzip"
	LongPolls  Way = "long-poll, 25 s"
	Intervals  Way = "polling every 25 s"
)

// streams tells whether a way has one request for all the time that a client is
// there.
func (w Way) streams() bool { return w == Streams || w == Compressed }

// Claims is one comparison of the three ways, against this gateway.
type Claims struct {
	Clients  int     `json:"clients"`
	Channels int     `json:"channels"`
	Rate     float64 `json:"eventsPerSecond"` // over all channels
	Ways     []Claim `json:"ways"`
	// Groups is how many subscriptions the gateway serves for all the streams.
	Groups int `json:"subscriptionsServed"`
}

// Claim is what one way cost and gave.
type Claim struct {
	Way       Way     `json:"way"`
	Seconds   float64 `json:"seconds"`
	Published uint64  `json:"published"`
	Delivered uint64  `json:"deliveries"`
	Requests  uint64  `json:"requests"` // opening a stream is one
	Bytes     uint64  `json:"bytes"`    // both ways, HTTP heads included, TCP and TLS not
	CPU       float64 `json:"serverCPUSeconds"`
	Latency   Times   `json:"latencyMicroseconds"`
}

const (
	claimClients  = 500
	claimChannels = 10
	claimRate     = 5.0
	pollEvery     = 25 * time.Second
	longPollWait  = 25 // seconds
	claimLasts    = 20 * time.Second
	settle        = 2 * time.Second // after the first requests of all
)

// MeasureClaims measures the ways one after the other, on a fresh gateway each.
func MeasureClaims(ctx context.Context, o Options, progress io.Writer) (*Claims, error) {
	c := &Claims{Clients: claimClients, Channels: claimChannels, Rate: claimRate}
	for _, way := range []Way{Streams, Compressed, LongPolls, Intervals} {
		got, err := c.measure(ctx, o, way)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", way, err)
		}
		c.Ways = append(c.Ways, got)
		fmt.Fprintf(progress, "%-20s mean %8.1f ms, p95 %8.1f ms, %6d requests, %9d bytes, %.2f s CPU, %d deliveries in %.0f s\n",
			way, got.Latency.Mean/1000, float64(got.Latency.P95)/1000, got.Requests, got.Bytes, got.CPU, got.Delivered, got.Seconds)
	}
	return c, nil
}

// clients is a crowd or pollers.
type clients interface {
	Reset(from uint64)
	Close()
}

func (c *Claims) measure(ctx context.Context, o Options, way Way) (Claim, error) {
	got := Claim{Way: way}
	server, err := contest.Gateway().Start(ctx, o.Tools, contest.Setup{Window: window, Connections: c.Clients}, o.Core)
	if err != nil {
		return got, err
	}
	defer func() { _ = server.Stop() }()
	p, err := load.NewPublisher(server.Target(), load.NewMix(rand.New(rand.NewPCG(o.Seed, 1))).Append, 2)
	if err != nil {
		return got, err
	}
	defer func() { _ = p.Close() }()
	readers, read, err := c.open(ctx, server, way)
	if err != nil {
		return got, err
	}
	defer readers.Close()
	if err := sleep(ctx, settle); err != nil {
		return got, err
	}
	readers.Reset(p.Next())
	if err := c.watch(ctx, server, p, read, &got); err != nil {
		return got, err
	}
	if way == Streams {
		c.Groups, err = groups(ctx, server)
	}
	return got, err
}

// watch publishes, and reads what it cost and gave. Costs are those of the time
// of publishing; what is on its way then is waited for, since its latency
// counts.
func (c *Claims) watch(ctx context.Context, server *contest.Running, p *load.Publisher, read func(*Claim) error, got *Claim) error {
	lasts, wait := claimLasts, time.Second
	if got.Way == Intervals {
		lasts, wait = 2*pollEvery, wait+pollEvery // two polls of everyone, and the one that brings the last events
	}
	user, kernel, err := proc.CPU(server.PID())
	if err != nil {
		return err
	}
	began := time.Now()
	channel := func(i int) string { return name(i % c.Channels) }
	if err := p.Paced(ctx, c.Rate, int(c.Rate*lasts.Seconds()), 1, channel); err != nil {
		return err
	}
	got.Published, got.Seconds = p.Next()-1, time.Since(began).Seconds()
	user2, kernel2, err := proc.CPU(server.PID())
	if err != nil {
		return err
	}
	got.CPU = (user2 + kernel2 - user - kernel).Seconds()
	if err := read(got); err != nil {
		return err
	}
	costs := *got
	if err := sleep(ctx, wait); err != nil {
		return err
	}
	err = read(got)
	got.Requests, got.Bytes = costs.Requests, costs.Bytes
	return err
}

// open starts the clients of a way; read puts what they counted into a claim.
func (c *Claims) open(ctx context.Context, server *contest.Running, way Way) (clients, func(*Claim) error, error) {
	request := func(i int) []byte { return server.Request([]string{name(i % c.Channels)}, "") }
	if way == Compressed {
		return c.inflate(server, request)
	}
	if way == Streams {
		crowd, err := load.NewCrowd(c.Clients)
		if err != nil {
			return nil, nil, err
		}
		if err := crowd.Open(server.Address, 0, c.Clients, request); err != nil {
			crowd.Close()
			return nil, nil, err
		}
		return crowd, func(got *Claim) error {
			counts := crowd.Counts()
			h, err := crowd.Latency()
			if err != nil {
				return err
			}
			got.Delivered, got.Bytes, got.Requests = counts.Received, counts.WireBytes, 0
			got.Latency, err = timesOf(h)
			return err
		}, nil
	}
	every, wait := pollEvery, 0
	if way == LongPolls {
		every, wait = 0, longPollWait
	}
	pollers := load.Poll(ctx, server.Address, c.Clients, every, func(i int, cursor string) []byte {
		return contest.PollRequest(name(i%c.Channels), cursor, wait)
	})
	return pollers, func(got *Claim) error {
		polled, err := pollers.Polled()
		if err != nil {
			return err
		}
		got.Delivered, got.Requests, got.Bytes = polled.Received, polled.Requests, polled.Up+polled.Down
		got.Latency, err = timesOf(polled.Latency)
		return err
	}, nil
}

// inflate is open for streams that are compressed.
func (c *Claims) inflate(server *contest.Running, request func(i int) []byte) (clients, func(*Claim) error, error) {
	readers, err := load.Inflate(server.Address, c.Clients, func(i int) []byte { return load.AcceptGzip(request(i)) })
	if err != nil {
		return nil, nil, err
	}
	return readers, func(got *Claim) error {
		events, bytes, compressed, err := readers.Received()
		if err == nil && compressed != uint64(c.Clients) {
			err = fmt.Errorf("%d of %d streams are compressed", compressed, c.Clients)
		}
		if err != nil {
			return err
		}
		got.Delivered, got.Bytes, got.Requests = events, bytes, 0
		got.Latency, err = timesOf(readers.Latency())
		return err
	}, nil
}

// groups asks the gateway how many subscriptions it serves.
func groups(ctx context.Context, server *contest.Running) (int, error) {
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+server.Address.String()+"/v2/realtime/metrics", nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return 0, fmt.Errorf("asking for metrics: %w", err)
	}
	defer answer.Body.Close()
	var m struct {
		Subscriptions struct {
			Groups int `json:"groups"`
		} `json:"subscriptions"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&m); err != nil {
		return 0, fmt.Errorf("reading metrics: %w", err)
	}
	return m.Subscriptions.Groups, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
