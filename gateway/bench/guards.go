//go:build linux

package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/streamgateway/streamgateway/gateway/bench/contest"
)

// Guards says what tokens and limits cost: the same scenarios on a gateway that
// is open to everybody, and on one whose doors are closed, in turn.
type Guards struct {
	Rounds    int        `json:"rounds"`
	Scenarios []Scenario `json:"scenarios"`
	Results   []*Result  `json:"results"`
}

// guarded are the scenarios in which doors are passed: by requests to publish,
// by streams that are opened, and, for limits of delivery, by every write.
func guarded() []string {
	return []string{"fanout-1k-10", "reconnect-5k", "most-1k", "publish-1", "publish-100"}
}

// MeasureGuards runs them. Which of the two comes first changes every round.
func MeasureGuards(ctx context.Context, o Options, progress io.Writer) (*Guards, error) {
	if len(o.Scenarios) == 0 {
		o.Scenarios = guarded()
	}
	scenarios, err := o.scenarios()
	if err != nil {
		return nil, err
	}
	guard, err := contest.NewGuard(0)
	if err != nil {
		return nil, err
	}
	token, err := guard.Token("tenant", "somebody")
	if err != nil {
		return nil, err
	}
	g := &Guards{Rounds: o.Rounds, Scenarios: scenarios}
	for round := range o.Rounds {
		servers := []*contest.Server{contest.Gateway(), contest.Guarded(guard)}
		if round%2 == 1 {
			slices.Reverse(servers)
		}
		for _, sc := range scenarios {
			fmt.Fprintln(progress, sc.Title)
			for _, server := range servers {
				t := &trial{Scenario: sc, seed: o.Seed, result: &Result{Scenario: sc.Name, Server: server.Name, Round: round + 1}}
				if server.Name == contest.GuardedName {
					t.token = token
				}
				t.run(ctx, server, o.Tools, o.Core)
				if ctx.Err() != nil {
					return nil, context.Cause(ctx)
				}
				g.Results = append(g.Results, t.result)
				fmt.Fprintln(progress, t.result)
			}
		}
	}
	return g, nil
}

// Table is what was found as Markdown. Ratios are of the two runs of one round.
func (g *Guards) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Open to everybody, and with a token, an origin and two proxies on every request and every limit counted; %d rounds.\n\n", g.Rounds)
	b.WriteString("| scenario | CPU µs each, open | guarded | ratio, median | least to most | p50 ms, open | guarded | ack p50 µs, open | guarded |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, sc := range g.Scenarios {
		open, closed := g.of(sc.Name, contest.Ours), g.of(sc.Name, contest.GuardedName)
		ratios := ratiosOf(open, closed)
		if len(ratios) == 0 {
			fmt.Fprintf(&b, "| %s | %s | | | | | | | |\n", sc.Title, g.failure(sc.Name))
			continue
		}
		over := func(of []*Result, f func(*Result) float64) float64 {
			var values []float64
			for _, r := range of {
				values = append(values, f(r))
			}
			return median(values)
		}
		cost := (*Result).MicrosecondsPerDelivery
		p50 := func(r *Result) float64 { return ms(r.Latency.P50) }
		ack := func(r *Result) float64 { return float64(r.Ack.P50) }
		fmt.Fprintf(&b, "| %s | %.2f | %.2f | %.2f | %.2f to %.2f | %.2f | %.2f | %.0f | %.0f |\n", sc.Title, over(open, cost), over(closed, cost),
			median(ratios), slices.Min(ratios), slices.Max(ratios), over(open, p50), over(closed, p50), over(open, ack), over(closed, ack))
	}
	return b.String()
}

// of are the good results of one server in a scenario, by their rounds.
func (g *Guards) of(scenario, server string) (found []*Result) {
	for _, r := range g.Results {
		if r.Scenario == scenario && r.Server == server && r.good() && r.MicrosecondsPerDelivery() > 0 {
			found = append(found, r)
		}
	}
	return found
}

// failure says why there are no numbers.
func (g *Guards) failure(scenario string) string {
	for _, r := range g.Results {
		if r.Scenario == scenario && !r.good() {
			return firstLine(r.Error + r.Skipped)
		}
	}
	return "nothing was delivered"
}

// ratiosOf compares the rounds that both have.
func ratiosOf(open, closed []*Result) (ratios []float64) {
	for _, o := range open {
		for _, c := range closed {
			if o.Round == c.Round {
				ratios = append(ratios, c.MicrosecondsPerDelivery()/o.MicrosecondsPerDelivery())
			}
		}
	}
	return ratios
}
