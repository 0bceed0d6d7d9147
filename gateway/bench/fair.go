//go:build linux

package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/streamgateway/streamgateway/gateway/bench/contest"
	"github.com/streamgateway/streamgateway/gateway/bench/load"
	"github.com/streamgateway/streamgateway/gateway/bench/proc"
)

// Fair says what a noisy tenant costs a quiet one: how late the quiet one's
// events are when it is alone, and beside a tenant that publishes at its quota,
// and at twenty times that. All take turns in every round, on one gateway.
type Fair struct {
	Rounds  int           `json:"rounds"`
	Quota   int           `json:"quotaEventsPerSecond"`
	Streams int           `json:"streamsOfTheNoisyTenant"`
	Turn    time.Duration `json:"turnNs"`
	Beside  []Beside      `json:"beside"` // the first is alone
}

// Beside is the quiet tenant in one company.
type Beside struct {
	Times  float64 `json:"noisyTimesItsQuota"` // 0 = alone
	Rounds []Turn  `json:"rounds"`
}

// Turn is one of its rounds.
type Turn struct {
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"serverCPUSeconds"`
	Latency Times   `json:"latencyMicroseconds"`
	// Late is how far the measuring client was behind its own pace: where it is
	// much, the client's core is what is measured.
	Late  Times `json:"latenessMicroseconds"`
	Noise Heard `json:"noise"`

	latency *hdrhistogram.Histogram
}

const (
	fairQuota    = 500 // events per second
	fairGroup    = 10  // events a request of it
	fairChannels = 8   // of the quiet tenant
	fairReaders  = 32  // of the quiet tenant
	// fairRate is that of the quiet tenant: each channel's events are further
	// apart than a batching window, so that none waits for one.
	fairRate   = 100.0 // events per second
	fairNice   = 15    // of the noisy client, which shares a core with the measuring one
	fairPauses = 300 * time.Millisecond
)

// MeasureFair measures it in so many rounds; the noisy tenant has so many
// streams, and each turn of a round lasts so long.
func MeasureFair(ctx context.Context, o Options, streams int, turn time.Duration, progress io.Writer) (f *Fair, err error) {
	f = &Fair{Rounds: o.Rounds, Quota: fairQuota, Streams: streams, Turn: turn, Beside: []Beside{{Times: 0}, {Times: 1}, {Times: 20}}}
	guard, err := contest.NewGuard(fairQuota)
	if err != nil {
		return nil, err
	}
	server, err := contest.Guarded(guard).Start(ctx, o.Tools, contest.Setup{Window: window, Connections: fairReaders + streams}, o.Core)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	q, err := newQuiet(ctx, server, guard, turn, o.Seed)
	if err != nil {
		return nil, err
	}
	defer func() { q.crowd.Close(); err = errors.Join(err, q.publisher.Close()) }()
	noisy, err := guard.Token("noisy", "loud")
	if err != nil {
		return nil, err
	}
	for round := range o.Rounds {
		order := []int{0, 1, 2}
		if round%2 == 1 {
			slices.Reverse(order) // what changes with time meets all alike
		}
		for _, i := range order {
			b := &f.Beside[i]
			turn, err := q.beside(ctx, o.Tools.Bench, Noise{Token: noisy, Streams: streams, Rate: b.Times * fairQuota, Group: fairGroup})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", b, err)
			}
			b.Rounds = append(b.Rounds, turn)
			fmt.Fprintf(progress, "round %2d  %-24s p50 %6.2f p90 %6.2f p99 %6.2f ms of %d; client late p99 %.2f ms; server %3.0f %% of a core; %.0f requests/s of the noisy one, %.0f refused\n",
				round+1, b, ms(turn.Latency.P50), ms(turn.Latency.P90), ms(turn.Latency.P99), turn.Latency.Count, ms(turn.Late.P99), 100*turn.CPU/turn.Seconds,
				float64(turn.Noise.Requests)/max(turn.Noise.Seconds, 1), float64(turn.Noise.Refused)/max(turn.Noise.Seconds, 1))
		}
	}
	return f, nil
}

func ms(microseconds int64) float64 { return float64(microseconds) / 1000 }

// String names the company.
func (b *Beside) String() string {
	if b.Times == 0 {
		return "alone"
	}
	return fmt.Sprintf("beside %g × its quota", b.Times)
}

// newQuiet opens the streams of the tenant that is looked at.
func newQuiet(ctx context.Context, server *contest.Running, guard *contest.Guard, turn time.Duration, seed uint64) (*trial, error) {
	token, err := guard.Token("quiet", "page")
	if err != nil {
		return nil, err
	}
	t := &trial{
		Scenario: Scenario{Streams: fairReaders, Channels: fairChannels, Each: 1, Lines: 4, Rate: fairRate, Lasts: turn},
		running:  server.As(token), seed: seed, result: &Result{},
	}
	if t.crowd, err = load.NewCrowd(t.Streams); err != nil {
		return nil, err
	}
	if t.publisher, err = load.NewPublisher(t.running.Target(), t.fill(), t.Lines); err != nil {
		t.crowd.Close()
		return nil, err
	}
	t.draw()
	if err := t.open(ctx); err != nil {
		return nil, errors.Join(err, t.publisher.Close())
	}
	return t, nil
}

// beside measures the quiet tenant in one company.
func (t *trial) beside(ctx context.Context, program string, noise Noise) (turn Turn, err error) {
	end := func() (Heard, error) { return Heard{}, nil }
	if noise.Rate > 0 {
		noise.Server = t.running.Address
		if end, err = noise.start(ctx, program); err != nil {
			return turn, err
		}
	}
	if err := sleep(ctx, fairPauses); err != nil {
		return turn, err
	}
	first := t.publisher.Next()
	t.crowd.Reset(first)
	t.publisher.Forget()
	user, kernel, err := proc.CPU(t.running.PID())
	if err != nil {
		return turn, err
	}
	began := time.Now()
	if err := t.publisher.Paced(ctx, t.Rate, int(t.Rate*t.Lasts.Seconds()), 1, t.channel); err != nil {
		return turn, err
	}
	turn.Seconds = time.Since(began).Seconds()
	user2, kernel2, err := proc.CPU(t.running.PID())
	if err != nil {
		return turn, err
	}
	turn.CPU = (user2 + kernel2 - user - kernel).Seconds()
	t.result.Expected = t.expected(int(t.publisher.Next() - first))
	t.drain(ctx, drainTime)
	if got := t.crowd.Counts().Received; got != t.result.Expected {
		return turn, fmt.Errorf("%d of %d events arrived", got, t.result.Expected)
	}
	var errs [4]error
	turn.latency, errs[0] = t.crowd.Latency()
	turn.Latency, errs[1] = timesOf(turn.latency)
	turn.Late, errs[2] = timesOf(t.publisher.Published().Late)
	turn.Noise, errs[3] = end()
	return turn, errors.Join(errs[:]...)
}

// start starts a process of noise and waits until it is loud. end ends it.
func (n Noise) start(ctx context.Context, program string) (end func() (Heard, error), err error) {
	job, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, "nice", "-n", fmt.Sprint(fairNice), program, "noise")
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting noise: %w", err)
	}
	lines := bufio.NewScanner(out)
	if _, err := fmt.Fprintf(in, "%s\n", job); err != nil || !lines.Scan() {
		return nil, errors.Join(errors.New("starting noise: it is not loud"), err, command.Wait())
	}
	return func() (heard Heard, err error) {
		if err := in.Close(); err != nil {
			return heard, err
		}
		if !lines.Scan() {
			return heard, errors.Join(errors.New("ending noise: it says nothing"), command.Wait())
		}
		return heard, errors.Join(json.Unmarshal(lines.Bytes(), &heard), command.Wait())
	}, nil
}

// Table is what was found as Markdown. Latencies are of all rounds together;
// the ratio's range holds nine in ten of what rounds drawn at random would say.
func (f *Fair) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "A quiet tenant: %d streams on %d channels, %g events/s. A noisy one: %d streams, a quota of %d events/s, %d events a request. %d rounds of %s in each company.\n\n",
		fairReaders, fairChannels, fairRate, f.Streams, f.Quota, fairGroup, f.Rounds, f.Turn)
	b.WriteString("| the quiet tenant | p50 ms | p99 ms | p99 × alone | of 90 % of draws | deliveries | server's core | noisy: requests/s | of these refused |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for i := range f.Beside {
		c := &f.Beside[i]
		h := pool(c.Rounds, inOrder(len(c.Rounds)))
		ratio, low, high := f.ratio(i)
		requests, refused, seconds, cpu := 0.0, 0.0, 0.0, 0.0
		for _, turn := range c.Rounds {
			requests, refused = requests+float64(turn.Noise.Requests)/max(turn.Noise.Seconds, 1), refused+float64(turn.Noise.Refused)/max(turn.Noise.Seconds, 1)
			seconds, cpu = seconds+turn.Seconds, cpu+turn.CPU
		}
		n := float64(len(c.Rounds))
		fmt.Fprintf(&b, "| %s | %.2f | %.2f | %.2f | %.2f to %.2f | %d | %.0f %% | %.0f | %.0f |\n", c, ms(h.ValueAtQuantile(50)), ms(h.ValueAtQuantile(99)), ratio, low, high,
			h.TotalCount(), 100*cpu/seconds, requests/n, refused/n)
	}
	return b.String()
}

// ratio is p99 in a company against that alone, and the range that nine in ten
// draws of rounds give.
func (f *Fair) ratio(i int) (all, low, high float64) {
	of := func(rounds []int) float64 {
		return float64(pool(f.Beside[i].Rounds, rounds).ValueAtQuantile(99)) / float64(pool(f.Beside[0].Rounds, rounds).ValueAtQuantile(99))
	}
	const draws = 200
	r, found := rand.New(rand.NewPCG(1, 2)), make([]float64, draws)
	for d := range found {
		rounds := make([]int, f.Rounds)
		for k := range rounds {
			rounds[k] = r.IntN(f.Rounds)
		}
		found[d] = of(rounds)
	}
	slices.Sort(found)
	return of(inOrder(f.Rounds)), found[draws/20], found[draws-1-draws/20]
}

func inOrder(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func pool(turns []Turn, rounds []int) *hdrhistogram.Histogram {
	h := load.NewHistogram()
	for _, i := range rounds {
		h.Merge(turns[i].latency)
	}
	return h
}
