package fleet

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/streamgateway/streamgateway/gateway/report"
)

func at(seconds float64) time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

func histogram(milliseconds ...float64) report.Histogram {
	h := report.Histogram{Counts: make([]uint64, report.Buckets)}
	for _, v := range milliseconds {
		h.Counts[report.Bucket(v/1000)]++
	}
	return h
}

func repeat(n int, value float64) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = value
	}
	return values
}

func TestPercentilesAreOfTheSumAndNotTheMeanOfPercentiles(t *testing.T) {
	// 98 fast deliveries on one pod, 2 slow ones on another: the mean of the
	// two medians would be half a second.
	busy := Sample{Older: &report.Report{Time: at(0)}, Newer: report.Report{Time: at(10), Latency: histogram(repeat(98, 10)...)}}
	slow := Sample{Older: &report.Report{Time: at(0)}, Newer: report.Report{Time: at(10), Latency: histogram(repeat(2, 1000)...)}}
	s := Summarize([]Sample{busy, slow}, 0, Wanted{})
	if s.LatencyP50 > 12*time.Millisecond || s.LatencyP95 > 12*time.Millisecond {
		t.Errorf("p50 %s, p95 %s, want about 10ms", s.LatencyP50, s.LatencyP95)
	}
	if s.LatencyP99 < 800*time.Millisecond {
		t.Errorf("p99 %s, want about 1s", s.LatencyP99)
	}
}

func TestPercentilesAreOfTheWindowOnly(t *testing.T) {
	old := histogram(repeat(1000, 5000)...)
	s := Summarize([]Sample{{
		Older: &report.Report{Time: at(0), Latency: old},
		Newer: report.Report{Time: at(10), Latency: old.Add(histogram(repeat(10, 10)...))},
	}}, 0, Wanted{})
	if s.LatencyP99 > 12*time.Millisecond {
		t.Errorf("p99 %s still counts what was before the window", s.LatencyP99)
	}
}

func TestRatesAreSummedOverPodsEachByItsOwnClock(t *testing.T) {
	ten := Sample{Older: &report.Report{Time: at(0)}, Newer: report.Report{
		Time: at(10), Events: report.Events{Delivered: 1000, Published: 50}, Connections: report.Connections{Lost: 5},
	}}
	five := Sample{Older: &report.Report{Time: at(3600)}, Newer: report.Report{
		Time: at(3605), Events: report.Events{Delivered: 1000, Published: 50},
	}}
	once := Sample{Newer: report.Report{Time: at(1), Events: report.Events{Delivered: 1 << 40}}}
	s := Summarize([]Sample{ten, five, once}, 0, Wanted{})
	if s.EventsPerSecond != 300 || s.PublishesPerSecond != 15 || s.ReconnectsPerMinute != 30 {
		t.Errorf("events %v/s, publishes %v/s, reconnects %v/min; want 300, 15, 30", s.EventsPerSecond, s.PublishesPerSecond, s.ReconnectsPerMinute)
	}
	if s.Pods != 3 || s.Rated != 2 {
		t.Errorf("%d pods, %d rated; want 3, 2", s.Pods, s.Rated)
	}
}

func TestErrorAndDropPercentAreOfAllAttempts(t *testing.T) {
	s := Summarize([]Sample{{Older: &report.Report{Time: at(0)}, Newer: report.Report{Time: at(10), Events: report.Events{
		Delivered: 890, DeliveryFailed: 10, Dropped: 100, Published: 95, PublishFailed: 5, PublishRejected: 1000,
	}}}}, 0, Wanted{})
	if s.DropPercent != 10 || s.ErrorPercent != 1.5 || s.Offered != 1000 {
		t.Errorf("drop %v %%, error %v %%, offered %v; want 10, 1.5, 1000", s.DropPercent, s.ErrorPercent, s.Offered)
	}
}

func TestQueuePercentIsTheMeanOverClientsAndNotOverPods(t *testing.T) {
	few := Sample{Newer: report.Report{Connections: report.Connections{Active: 10}, Queue: report.Queue{LagPercent: 100}}}
	many := Sample{Newer: report.Report{Connections: report.Connections{Active: 990}}}
	if s := Summarize([]Sample{few, many}, 0, Wanted{}); s.QueuePercent != 1 || s.Connections != 1000 {
		t.Errorf("queue %v %% over %d connections, want 1 over 1000", s.QueuePercent, s.Connections)
	}
	if s := Summarize([]Sample{{}}, 0, Wanted{}); s.QueuePercent != 0 {
		t.Errorf("queue %v %% without clients, want 0", s.QueuePercent)
	}
}

func TestAcksAreCountedBySerial(t *testing.T) {
	running := func(serial int64, nack *report.Nack) Sample {
		return Sample{Newer: report.Report{Pod: fmt.Sprint("pod-", serial), Serial: serial, Nack: nack}}
	}
	samples := []Sample{
		running(7, nil),
		running(8, nil), // newer than asked for
		running(6, nil),
		running(5, &report.Nack{Serial: 7, Revision: "bad", Message: "queue.maxBytes: too small", Time: at(1)}),
		running(9, &report.Nack{Serial: 4, Message: "long ago"}),
	}
	want := Acks{Acked: 3, Nacked: 1, Pending: 3, Nacks: []Nack{{Pod: "pod-5", Revision: "bad", Message: "queue.maxBytes: too small", Time: at(1)}}}
	if diff := cmp.Diff(want, Summarize(samples, 2, Wanted{Serial: 7}).Acks); diff != "" {
		t.Error(diff)
	}
}

func TestPodsWhoseLogFailsAreNamed(t *testing.T) {
	circuit := func(pod, state string) Sample {
		return Sample{Newer: report.Report{Pod: pod, CircuitBreaker: report.CircuitBreaker{State: state}}}
	}
	s := Summarize([]Sample{circuit("a", report.CircuitOpen), circuit("b", report.CircuitClosed), circuit("c", report.CircuitHalfOpen), circuit("older", "")}, 0, Wanted{Serial: 1})
	if diff := cmp.Diff([]string{"a", "c"}, s.BrokerDown); diff != "" {
		t.Error(diff)
	}
}

func TestNoShareIsMoreThanAllOfIt(t *testing.T) {
	s := Summarize([]Sample{{
		Older: &report.Report{Time: at(0)},
		Newer: report.Report{Time: at(1), Events: report.Events{Dropped: 0xa400000000001}},
	}}, 0, Wanted{})
	if s.DropPercent != 100 {
		t.Errorf("%v %% of events were dropped", s.DropPercent)
	}
}

func TestPodsThatCannotComeToTheirLogOrFindItFullAreNamed(t *testing.T) {
	shares := func(pod string, b report.Broker) Sample {
		return Sample{Newer: report.Report{Pod: pod, Time: at(10), Broker: &b}}
	}
	s := Summarize([]Sample{
		shares("a", report.Broker{DownSince: at(5), Message: "no servers available"}),
		shares("b", report.Broker{DownSince: at(5.1)}), // another server may take over any moment
		shares("c", report.Broker{Full: true}),
		shares("d", report.Broker{Reason: report.InvalidCredentials, Message: "Secret nats-user holds none of its keys"}),
	}, 0, Wanted{})
	if diff := cmp.Diff([][]string{{"a"}, {"c"}}, [][]string{s.BrokerDown, s.BrokerFull}); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Broker{Pod: "d", Reason: report.InvalidCredentials, Message: "Secret nats-user holds none of its keys"}, s.Brokers[3]); diff != "" || len(s.Brokers) != 4 {
		t.Error(diff)
	}
}

// Reports come in minutes, so what pods tell of the last one is summed as it is.
func TestReportsOfPagesAreSummedOverPodsWithoutAnOlderSample(t *testing.T) {
	s := Summarize([]Sample{
		{Newer: report.Report{Pod: "a", Browsers: report.Browsers{Latency: histogram(repeat(18, 10)...)}}},
		{Newer: report.Report{Pod: "b", Browsers: report.Browsers{Latency: histogram(repeat(2, 3000)...)}}},
	}, 0, Wanted{})
	if s.BrowserReports != 20 || s.BrowserP95 < 2500*time.Millisecond || s.BrowserP95 > 3600*time.Millisecond {
		t.Errorf("p95 %s of %v reports", s.BrowserP95, s.BrowserReports)
	}
}

func TestShortReplayAndDrainingPodsAreNamedAndCounted(t *testing.T) {
	s := Summarize([]Sample{
		{Newer: report.Report{Pod: "a", Replay: report.Replay{Short: true}, Time: at(3)}},
		{Newer: report.Report{Pod: "b", Draining: true, Time: at(2), Connections: report.Connections{Active: 1}}},
		{Newer: report.Report{Pod: "c", Draining: true, Time: at(2)}}, // stands by, and has no clients left
	}, 0, Wanted{})
	if diff := cmp.Diff([]string{"a"}, s.ShortReplay); diff != "" || s.Draining != 1 || !s.Time.Equal(at(3)) {
		t.Errorf("short %v, draining %d, time %s", s.ShortReplay, s.Draining, s.Time)
	}
}

func TestNoReportsGiveZeroes(t *testing.T) {
	if diff := cmp.Diff(Summary{Acks: Acks{Pending: 3}}, Summarize(nil, 3, Wanted{Serial: 1})); diff != "" {
		t.Error(diff)
	}
}

// Whatever a pod claims, no number that reaches status is out of its range.
func TestNoReportMakesASummaryThatCannotBe(t *testing.T) {
	counter := rapid.OneOf(rapid.Uint64(), rapid.Just(uint64(math.MaxUint64)), rapid.Uint64Range(0, 1000))
	reports := rapid.Custom(func(t *rapid.T) report.Report {
		return report.Report{
			Time:        at(rapid.Float64Range(-1e6, 1e6).Draw(t, "time")),
			Connections: report.Connections{Active: rapid.IntRange(0, math.MaxInt32).Draw(t, "active"), Lost: counter.Draw(t, "lost")},
			Queue:       report.Queue{LagPercent: rapid.Float64Range(0, 100).Draw(t, "lag")},
			Events: report.Events{
				Delivered: counter.Draw(t, "delivered"), DeliveryFailed: counter.Draw(t, "failed"), Dropped: counter.Draw(t, "dropped"),
				Published: counter.Draw(t, "published"), PublishFailed: counter.Draw(t, "publishFailed"),
			},
			Latency: report.Histogram{Counts: rapid.SliceOfN(counter, 0, report.Buckets).Draw(t, "latency")},
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		var w Window
		var s Summary
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			a, b := reports.Draw(t, "a"), reports.Draw(t, "b")
			s = Summarize(w.Add([]Answer{{Pod: "a", Report: &a}, {Pod: "b", Report: &b}}, shortWindow), 0, Wanted{Serial: 1})
		}
		for name, v := range map[string]float64{"error": s.ErrorPercent, "drop": s.DropPercent, "queue": s.QueuePercent} {
			if !(v >= 0 && v <= 100.0001) {
				t.Fatalf("%s is %v percent", name, v)
			}
		}
		for name, v := range map[string]float64{"events": s.EventsPerSecond, "publishes": s.PublishesPerSecond, "reconnects": s.ReconnectsPerMinute} {
			if !(v >= 0) {
				t.Fatalf("%s is %v", name, v)
			}
		}
		if s.LatencyP50 < 0 || s.LatencyP99 > 2*time.Minute {
			t.Fatalf("latency %s..%s", s.LatencyP50, s.LatencyP99)
		}
	})
}

func TestPodThatRunsAnotherRevisionThanItShallHasNotAcknowledged(t *testing.T) {
	pods := []Sample{
		{Newer: report.Report{Pod: "canary", Serial: 7, Revision: "new"}},
		{Newer: report.Report{Pod: "of an engine without canaries", Serial: 7, Revision: "old"}},
		{Newer: report.Report{Pod: "another", Serial: 7, Revision: "old"}},
	}
	wanted := Wanted{Serial: 7, Revision: func(pod string) string {
		if pod == "another" {
			return "old"
		}
		return "new"
	}}
	if a := Summarize(pods, 0, wanted).Acks; a.Acked != 2 || a.Pending != 1 {
		t.Errorf("got %+v, want 2 acked and 1 pending", a)
	}
}

func TestPagesOfAllPodsAreSummedUpByFlag(t *testing.T) {
	votes := func(n uint64, seconds float64) report.Histogram {
		h := report.Histogram{Counts: make([]uint64, report.Buckets)}
		h.Counts[report.Bucket(seconds)] = n
		return h
	}
	of := func(flags ...report.Cohorts) Sample {
		return Sample{Newer: report.Report{Browsers: report.Browsers{Flags: flags}}}
	}
	s := Summarize([]Sample{
		of(report.Cohorts{Flag: "b", On: votes(7, 3), Off: votes(5, 0.02)}, report.Cohorts{Flag: "a", On: votes(1, 1)}),
		of(report.Cohorts{Flag: "b", On: votes(4, 3)}),
	}, 0, Wanted{})
	if len(s.Flags) != 2 || s.Flags[0].Name != "a" || s.Flags[1].OnReports != 11 || s.Flags[1].OffReports != 5 {
		t.Fatalf("flags are %+v", s.Flags)
	}
	if f := s.Flags[1]; f.OnP95.Seconds() < 2 || f.OffP95.Seconds() > 0.1 {
		t.Errorf("flag b is %+v", f)
	}
	if err := checkFlags(make([]report.Cohorts, report.MaxFlags+1)); err == nil {
		t.Error("a pod may tell of any number of flags")
	}
	if err := checkFlags([]report.Cohorts{{Flag: "x", On: report.Histogram{Counts: make([]uint64, report.Buckets+1)}}}); err == nil {
		t.Error("a histogram may be of any length")
	}
}
