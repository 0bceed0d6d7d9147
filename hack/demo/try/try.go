// Package try is the demo's own reader: it opens the live stream of a running
// demo, posts revenues, and measures how long each event took to arrive, all by
// one clock. It is what "demo try" runs; it checks nothing but that every posted
// revenue arrives (gateway/cmd/noloss is the tool that proves more).
package try

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"
)

// shown is how many events are printed one by one; more are only summed up.
const shown = 10

type settings struct {
	url, token     string
	posts          int
	pause, timeout time.Duration
	asJSON         bool
}

// Summary is the result, in milliseconds from the start of a POST to the
// arrival of its event. FromCommit leaves out the way to the database: it
// starts when the demo had committed, by the demo's clock, to the millisecond.
type Summary struct {
	Posts      int     `json:"posts"`
	AvgMs      float64 `json:"avgMs"`
	P50Ms      float64 `json:"p50Ms"`
	P95Ms      float64 `json:"p95Ms"`
	MaxMs      float64 `json:"maxMs"`
	FromCommit float64 `json:"fromCommitAvgMs"`
}

// Main parses args and runs. It prints to out.
func Main(ctx context.Context, args []string, out io.Writer) error {
	var s settings
	flags := flag.NewFlagSet("demo try", flag.ContinueOnError)
	flags.StringVar(&s.url, "url", "http://127.0.0.1:8088", "`URL` of the demo")
	flags.StringVar(&s.token, "token", "", "bearer token of the demo; by default that of the variable DEMO_TOKEN, which no process list shows")
	flags.IntVar(&s.posts, "posts", 1, "how many revenues to post, one after the other")
	flags.DurationVar(&s.pause, "pause", 0, "wait between an event and the next post")
	flags.DurationVar(&s.timeout, "timeout", 10*time.Second, "longest wait for the stream, a post or an event")
	flags.BoolVar(&s.asJSON, "json", false, "print only the summary, as JSON")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if s.posts < 1 {
		return fmt.Errorf("--posts must be at least 1, not %d", s.posts)
	}
	if s.token == "" {
		s.token = os.Getenv("DEMO_TOKEN")
	}
	return run(ctx, s, out)
}

func run(ctx context.Context, s settings, out io.Writer) error {
	text := out
	if s.asJSON {
		text = io.Discard
	}
	stream, err := open(ctx, s.url, s.timeout)
	if err != nil {
		return err
	}
	defer stream.close()
	fmt.Fprintf(text, "stream open at %s\n", stream.cursor)
	tookMs, fromCommitMs := make([]float64, s.posts), 0.0
	for i := range tookMs {
		p, err := post(ctx, s)
		if err != nil {
			return err
		}
		e, err := stream.wait(ctx, p.id, s.timeout)
		if err != nil {
			return err
		}
		tookMs[i] = milliseconds(e.at.Sub(p.began))
		fromCommitMs += max(milliseconds(e.at.Sub(time.UnixMilli(p.committedMs))), 0)
		if s.posts <= shown {
			fmt.Fprintf(text, "posted  %s, answered in %.1f ms\narrived %.1f ms after the post began: id %s, data %s\n",
				p.body, milliseconds(p.answered.Sub(p.began)), tookMs[i], e.cursor, e.data)
		}
		if err := sleep(ctx, s.pause); err != nil {
			return err
		}
	}
	return report(summarize(tookMs, fromCommitMs), s.asJSON, out)
}

func report(sum Summary, asJSON bool, out io.Writer) error {
	if asJSON {
		return json.NewEncoder(out).Encode(sum)
	}
	if sum.Posts == 1 { // told already, and no more than that
		_, err := fmt.Fprintf(out, "commit to event: %.1f ms\n", sum.FromCommit)
		return err
	}
	_, err := fmt.Fprintf(out, "%d posts, POST to event: avg %.1f ms, p50 %.1f ms, p95 %.1f ms, max %.1f ms; commit to event: avg %.1f ms\n",
		sum.Posts, sum.AvgMs, sum.P50Ms, sum.P95Ms, sum.MaxMs, sum.FromCommit)
	return err
}

func summarize(tookMs []float64, fromCommitMs float64) Summary {
	sorted := slices.Sorted(slices.Values(tookMs))
	n := len(sorted)
	rank := func(q float64) float64 { return sorted[max(int(math.Ceil(q*float64(n))), 1)-1] }
	sum := 0.0
	for _, v := range sorted {
		sum += v
	}
	return Summary{Posts: n, AvgMs: thousandth(sum / float64(n)), P50Ms: rank(0.5), P95Ms: rank(0.95), MaxMs: sorted[n-1], FromCommit: thousandth(fromCommitMs / float64(n))}
}

// milliseconds keeps microseconds: more would be noise in the output.
func milliseconds(d time.Duration) float64 {
	return thousandth(float64(d) / float64(time.Millisecond))
}

func thousandth(v float64) float64 { return math.Round(v*1000) / 1000 }

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
