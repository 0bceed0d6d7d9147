//go:build linux

package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/streamgateway/streamgateway/gateway/bench/contest"
)

// Goal is what the gateway should reach in a scenario, and whether it did.
type Goal struct {
	What  string  `json:"what"`
	Bound float64 `json:"bound"`
	// Least makes the bound the least that is wanted, else it is the most.
	Least bool    `json:"least,omitempty"`
	Value float64 `json:"value"`
	Met   bool    `json:"met"`
}

// seen is the gateway and the floor in one scenario.
type seen struct{ ours, floor Summary }

// rule makes a Goal of what was seen in a scenario.
type rule struct {
	scenario, what string
	bound          float64
	least          bool
	value          func(seen) float64
}

func rules() []rule {
	toFloor := func(s seen) float64 { return s.ours.ToFloor }
	wire := func(s seen) float64 { return s.ours.BytesPerEvent }
	perSecond := func(s seen) float64 { return s.ours.PerSecond }
	later := func(s seen) float64 { return s.ours.P50 - s.floor.P50 }
	return []rule{
		{"idle-10k", "user bytes a stream", 2048, false, func(s seen) float64 { return s.ours.UserPer }},
		{"fanout-1k-100", "× floor", 0.30, false, toFloor},
		{"fanout-1k-100", "× batched floor", 1.4, false, func(s seen) float64 { return s.ours.ToBatched }},
		{"fanout-1k-10", "× floor", 1.15, false, toFloor},
		{"fanout-1k-10", "p50 ms behind the floor's", 5, false, later},
		{"fanout-10k-10", "× floor", 1.15, false, toFloor},
		{"fanout-10k-10", "p50 ms behind the floor's", 5, false, later},
		{"channels-100x50", "× floor", 1.2, false, toFloor},
		{"most-1k", "deliveries per CPU-second", 2_500_000, true, perSecond},
		{"most-10k", "deliveries per CPU-second", 600_000, true, perSecond},
		{"reconnect-5k", "seconds of the wall", 1.0, false, func(s seen) float64 { return s.ours.Seconds }},
		{"reconnect-5k", "CPU µs an event", 0.6, false, func(s seen) float64 { return s.ours.Cost }},
		{"bytes-1", "wire bytes an event", 140, false, wire},
		{"bytes-5", "wire bytes an event", 112, false, wire},
		{"bytes-20", "wire bytes an event", 103, false, wire},
		{"sets-10k", "× floor", 1.5, false, toFloor},
		{"stall-5pc", "kernel KiB a stalled stream", 256, false, func(s seen) float64 { return s.ours.Stalled / 1024 }},
	}
}

// judge compares what was found with the goals of scenarios that ran.
func (run *Run) judge() []Goal {
	look := func(name string) (s seen, ok bool) {
		at := slices.IndexFunc(run.Scenarios, func(sc Scenario) bool { return sc.Name == name })
		if at < 0 {
			return s, false
		}
		s.ours, ok = run.summary(run.Scenarios[at], contest.Ours)
		s.floor, _ = run.summary(run.Scenarios[at], "floor")
		return s, ok && s.ours.Note == "" && s.floor.Note == ""
	}
	var goals []Goal
	for _, r := range rules() {
		if s, ok := look(r.scenario); ok {
			goals = append(goals, newGoal("`"+r.scenario+"`, "+r.what, r.bound, r.least, r.value(s)))
		}
	}
	if without, ok := look("stall-none"); ok {
		if with, ok := look("stall-5pc"); ok {
			goals = append(goals, newGoal("`stall-5pc`, p99 × that without stalled streams", 1.2, false, with.ours.P99/without.ours.P99))
		}
	}
	var wrong, failed float64
	for _, r := range run.Results {
		switch {
		case r.Server != contest.Ours:
		case r.Error != "":
			failed++
		default:
			wrong += float64(r.Duplicates) + float64(r.Expected-min(r.Expected, r.Delivered))
		}
	}
	return append(goals,
		newGoal("all scenarios, events missing or twice", 0, false, wrong),
		newGoal("all scenarios, runs that failed", 0, false, failed))
}

func newGoal(what string, bound float64, least bool, value float64) Goal {
	return Goal{What: what, Bound: bound, Least: least, Value: value, Met: value == bound || value > bound == least}
}

// String is one line for a person who waits.
func (g Goal) String() string {
	verdict := "MISSED"
	if g.Met {
		verdict = "met"
	}
	return fmt.Sprintf("  %-6s %s: %s, wanted %s", verdict, g.What, figure(g.Value), g.wanted())
}

func (g Goal) wanted() string {
	if g.Least {
		return "≥ " + figure(g.Bound)
	}
	return "≤ " + figure(g.Bound)
}

// figure writes three digits or more.
func figure(v float64) string {
	if math.Abs(v) >= 100 || v == math.Trunc(v) {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// goalTable is the goals of the last run, with what each run found.
func goalTable(runs []*Run) string {
	var b strings.Builder
	b.WriteString("| goal | wanted | found | |\n|---|--:|--:|---|\n")
	for _, g := range runs[len(runs)-1].Goals {
		var found, verdicts []string
		for _, run := range runs {
			at := slices.IndexFunc(run.Goals, func(other Goal) bool { return other.What == g.What })
			if at < 0 {
				continue
			}
			verdict := "**missed**"
			if run.Goals[at].Met {
				verdict = "met"
			}
			found, verdicts = append(found, figure(run.Goals[at].Value)), append(verdicts, verdict)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", g.What, g.wanted(), strings.Join(found, between), strings.Join(slices.Compact(verdicts), between))
	}
	return b.String()
}
