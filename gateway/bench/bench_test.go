//go:build linux

package bench

import (
	"math"
	"strings"
	"testing"
	"time"
)

func result(server string, round int, cpuSeconds float64, delivered uint64) *Result {
	return &Result{Scenario: "s", Server: server, Round: round, UserSeconds: cpuSeconds, Delivered: delivered, Expected: delivered}
}

func TestRatioIsTheMedianOfRatiosWithinRounds(t *testing.T) {
	run := &Run{Results: []*Result{
		result("floor", 1, 1, 100), result("gateway", 1, 2, 100), // 2.0
		result("floor", 2, 4, 100), result("gateway", 2, 12, 100), // 3.0: a loud round, for both
		result("floor", 3, 1, 100), result("gateway", 3, 2.5, 100), // 2.5
		result("gateway", 4, 9, 100), // without a floor beside it
	}}
	all := run.Summarize(Scenario{Name: "s", Kind: Paced, Window: time.Millisecond})
	if len(all) != 2 || all[1].Server != "gateway" || all[1].ToFloor != 2.5 || all[1].ToBatched != 0 {
		t.Errorf("%+v", all)
	}
	if got := all[1]; math.Abs(got.LeastCost-20_000) > 1e-6 || math.Abs(got.Cost-57_500) > 1e-6 {
		t.Errorf("cost %v, least %v", got.Cost, got.LeastCost)
	}
}

func TestRunThatFailedHasNoNumbersAndSaysWhy(t *testing.T) {
	broken := result("gateway", 1, 1, 100)
	broken.Error = "a stream was refused\nand more"
	run := &Run{Results: []*Result{result("floor", 1, 1, 100), broken}, Scenarios: []Scenario{{Name: "s", Title: "a scenario", Kind: Paced}}}
	table := run.Table()
	if !strings.Contains(table, "| gateway | a stream was refused | |") || !strings.Contains(table, "| floor | 10000.00 |") {
		t.Error(table)
	}
}

func TestTableReplacesOnlyWhatIsBetweenTheMarkers(t *testing.T) {
	const document = "before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter\n"
	got, err := Renew([]byte(document), "bench", "new\n")
	if want := strings.Replace(document, "old", "new", 1); err != nil || string(got) != want {
		t.Errorf("%v\n%s", err, got)
	}
	if _, err := Renew([]byte(document), "claims", "new"); err == nil {
		t.Error("a document without such markers was accepted")
	}
}

func TestExpectedCountsReadersOfEachChannelAndNoStalledOnes(t *testing.T) {
	s := Scenario{Streams: 20, Channels: 4, Each: 2, Stalled: 2}
	s.fill()
	tr := &trial{Scenario: s, seed: 7}
	tr.draw()
	want := uint64(0)
	for event := range 10 {
		for i, reads := range tr.reads {
			for _, c := range reads {
				if c == event%4 && i%10 != 0 {
					want++
				}
			}
		}
	}
	if got := tr.expected(10); got != want || want == 0 {
		t.Errorf("%d, want %d", got, want)
	}
}

func TestEveryScenarioIsWholeAndHasANameOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Scenarios() {
		if seen[s.Name] || s.Title == "" || s.Streams < 1 || s.Streams+s.Lines > 19_000 || s.Lasts <= 0 || s.Each > s.Channels {
			t.Errorf("%+v", s)
		}
		if s.Kind == Paced && s.Rate <= 0 || s.Kind == Reconnect && s.Owed <= 0 {
			t.Errorf("%+v", s)
		}
		seen[s.Name] = true
	}
}

func TestMonthAddsRequestsBytesAndProcessorAtTheirPrices(t *testing.T) {
	c := &Claims{Clients: 10}
	p := Prices{PerMillionRequests: 2, PerGigabyte: 0.5, PerCoreHour: 3, MinutesOpen: 60}
	// 10 clients for 100 s: 1,000 requests, 1 MB, 10 s; 100 clients for 1 hour are 360 times that.
	way := Claim{Way: Intervals, Seconds: 100, Requests: 1000, Bytes: 1_000_000, CPU: 10}
	if got, want := c.Month(way, 100, 1, p), 0.36*2+0.36*0.5+3; math.Abs(got-want) > 1e-9 {
		t.Errorf("%v, want %v", got, want)
	}
	way.Way = Streams // opened anew every hour
	if got, want := c.Month(way, 100, 1, p), 100/1e6*2+0.36*0.5+3; math.Abs(got-want) > 1e-9 {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestGrowthComparesTheLastTwoQuarters(t *testing.T) {
	var samples []Sample
	for _, heap := range []int64{1, 50, 90, 100, 100, 101, 120, 120} {
		samples = append(samples, Sample{Heap: heap})
	}
	if got := Growth(samples, func(s Sample) int64 { return s.Heap }); math.Abs(got-120/100.5) > 1e-9 {
		t.Error(got)
	}
}

func TestGaugesSumsOverLabelsAndReadsNothingElse(t *testing.T) {
	got := gauges(strings.NewReader("# HELP a b\na{x=\"1 2\"} 3\na{x=\"2\"} 4\nb 1.5e+06\n"))
	if got["a"] != 7 || got["b"] != 1_500_000 || len(got) != 2 {
		t.Errorf("%v", got)
	}
}
