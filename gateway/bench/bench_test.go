//go:build linux

package bench

import (
	"maps"
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
	got, ok := run.summary(Scenario{Name: "s", Kind: Paced, Window: time.Millisecond}, "gateway")
	if !ok || got.ToFloor != 2.5 || got.ToBatched != 0 {
		t.Errorf("%+v", got)
	}
	if math.Abs(got.LeastCost-20_000) > 1e-6 || math.Abs(got.Cost-57_500) > 1e-6 {
		t.Errorf("cost %v, least %v", got.Cost, got.LeastCost)
	}
}

func TestRunThatFailedHasNoNumbersAndSaysWhy(t *testing.T) {
	broken := result("gateway", 1, 1, 100)
	broken.Error = "a stream was refused\nand more"
	run := &Run{Results: []*Result{result("floor", 1, 1, 100), broken}, Scenarios: []Scenario{{Name: "s", Title: "a scenario", Kind: Paced}}}
	table := Table(run)
	if !strings.Contains(table, "| gateway | a stream was refused | |") || !strings.Contains(table, "| floor | 10000.00 |") {
		t.Error(table)
	}
}

func TestTableOfTwoRunsHasTheNumbersOfBoth(t *testing.T) {
	first := &Run{Results: []*Result{result("floor", 1, 1, 100), result("gateway", 1, 2, 100)}}
	broken := result("gateway", 1, 1, 100)
	broken.Error = "was refused"
	second := &Run{Results: []*Result{result("floor", 1, 3, 100), broken}, Scenarios: []Scenario{{Name: "s", Title: "a scenario", Kind: Paced}}}
	table := Table(first, second)
	if !strings.Contains(table, "| floor | 10000.00 · 30000.00 |") || !strings.Contains(table, "| gateway | 20000.00 · was refused |") {
		t.Error(table)
	}
}

func TestGoalsSayWhatTheGatewayReachedAndWhatItDidNot(t *testing.T) {
	paced := func(name, server string, cpuSeconds float64, p99 int64) *Result {
		return &Result{Scenario: name, Server: server, Round: 1, UserSeconds: cpuSeconds, Delivered: 100, Expected: 100, Latency: Times{P99: p99}}
	}
	run := &Run{
		Scenarios: []Scenario{{Name: "channels-100x50", Kind: Paced}, {Name: "stall-none", Kind: Paced}, {Name: "stall-5pc", Kind: Paced, Stalled: 50}},
		Results: []*Result{
			paced("channels-100x50", "floor", 1, 0), paced("channels-100x50", "gateway", 1.1, 0),
			paced("stall-none", "floor", 1, 1000), paced("stall-none", "gateway", 1, 1000),
			paced("stall-5pc", "floor", 1, 1000), paced("stall-5pc", "gateway", 1, 1300),
		},
	}
	run.Results[5].Duplicates = 3
	run.Results[5].SocketsAfter.Queued = 50 * 100 << 10
	want := map[string]bool{
		"`channels-100x50`, × floor 1.10":                      true,
		"`stall-5pc`, kernel KiB a stalled stream 100":         true,
		"`stall-5pc`, p99 × that without stalled streams 1.30": false,
		"all scenarios, events missing or twice 3":             false,
		"all scenarios, runs that failed 0":                    true,
	}
	got := map[string]bool{}
	for _, g := range run.judge() {
		got[g.What+" "+figure(g.Value)] = g.Met
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestRunsCompareOnlyWithThoseOfTheSamePrograms(t *testing.T) {
	a := &Run{Versions: map[string]string{"gateway": "1"}, Scenarios: []Scenario{{Name: "s", Quick: true}}}
	b := &Run{Versions: map[string]string{"gateway": "1"}, Scenarios: []Scenario{{Name: "s"}}}
	if !a.ComparesWith(b) {
		t.Error("two runs of one version do not compare")
	}
	for what, other := range map[string]*Run{
		"another version":   {Versions: map[string]string{"gateway": "2"}, Scenarios: b.Scenarios},
		"another scenario":  {Versions: b.Versions, Scenarios: []Scenario{{Name: "s", Rate: 1}}},
		"only a quick look": {Versions: b.Versions, Scenarios: b.Scenarios, Quick: true},
	} {
		if a.ComparesWith(other) {
			t.Error(what)
		}
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

func TestClaimsCompareStreamsWithEveryWayOfPolling(t *testing.T) {
	c := &Claims{Clients: 10, Ways: []Claim{
		{Way: Streams, Seconds: 10, Bytes: 500, Latency: Times{Mean: 2}},
		{Way: LongPolls, Seconds: 10, Bytes: 1000, Requests: 7, Latency: Times{Mean: 4}},
		{Way: Intervals, Seconds: 20, Bytes: 4000, Requests: 9, Latency: Times{Mean: 1000}},
	}}
	table := c.Table()
	for _, want := range []string{"| long-poll, 25 s | stream | 50 % | 50 % | none |", "| polling every 25 s | stream | 0.2 % | 25 % | none |"} {
		if !strings.Contains(table, want) {
			t.Errorf("%q is not in\n%s", want, table)
		}
	}
}

func TestTrendIsOfTheSecondHalfAndNoSawtooth(t *testing.T) {
	of := func(live func(i int) int64) (growth float64, level bool) {
		var samples []Sample
		for i := range 1200 {
			samples = append(samples, Sample{Seconds: float64(i), Live: live(i)})
		}
		trend := Trends(samples)[0]
		return trend.Growth, trend.Level()
	}
	if growth, level := of(func(i int) int64 { return min(int64(i), 600)<<16 + int64(i%40)<<15 }); !level || math.Abs(growth) > 0.01 {
		t.Errorf("filled in the first half, then collected every 40 s: %v, level %v", growth, level)
	}
	if growth, level := of(func(i int) int64 { return 50<<20 + int64(i)*8<<10 + int64(i%40)<<13 }); level || math.Abs(growth-0.08) > 0.02 {
		t.Errorf("8 KiB/s of 58 MiB leaked: %v, level %v", growth, level)
	}
	if growth, level := of(func(i int) int64 { return 50<<20 - int64(i)<<14 }); !level || growth > -0.1 {
		t.Errorf("shrinks: %v, level %v", growth, level)
	}
}

func TestGaugesHaveEachSampleAndTheSumOverLabels(t *testing.T) {
	got := gauges(strings.NewReader("# HELP a b\na{x=\"1\"} 3\na{x=\"2\"} 4\nb 1.5e+06\n"))
	if got["a"] != 7 || got[`a{x="2"}`] != 4 || got["b"] != 1_500_000 {
		t.Errorf("%v", got)
	}
}
