package fleet

import (
	"errors"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/report"
)

const shortWindow = 10 * time.Second

func seen(pod string, time, start time.Time, delivered uint64) Answer {
	return Answer{Pod: pod, Report: &report.Report{Pod: pod, Time: time, StartTime: start, Events: report.Events{Delivered: delivered}}}
}

func TestFirstReportHasNoRate(t *testing.T) {
	var w Window
	if s := w.Add([]Answer{seen("a", at(0), at(0), 1000)}, shortWindow); len(s) != 1 || s[0].Older != nil {
		t.Errorf("got %+v", s)
	}
}

func TestWindowReachesTenSecondsBack(t *testing.T) {
	var w Window
	var s []Sample
	for second := range 60 {
		s = w.Add([]Answer{seen("a", at(float64(second)), at(0), uint64(second))}, shortWindow)
	}
	if got := s[0].seconds(); got != 10 {
		t.Errorf("the window is %v s long, want 10", got)
	}
	if n := len(w.pods["a"]); n > 12 {
		t.Errorf("%d reports are remembered", n)
	}
}

func TestSparseReportsStillGiveARate(t *testing.T) {
	var w Window
	w.Add([]Answer{seen("a", at(0), at(0), 0)}, shortWindow)
	w.Add([]Answer{seen("a", at(30), at(0), 30)}, shortWindow)
	if s := w.Add([]Answer{seen("a", at(60), at(0), 60)}, shortWindow); s[0].seconds() != 30 {
		t.Errorf("the sample is %v s long, want 30", s[0].seconds())
	}
}

func TestFastRoundsAreRememberedTwiceASecondAtMost(t *testing.T) {
	var w Window
	var s []Sample
	for i := range 2000 {
		s = w.Add([]Answer{seen("a", at(float64(i)/100), at(0), uint64(i))}, shortWindow)
	}
	if n := len(w.pods["a"]); n > 23 {
		t.Errorf("%d reports are remembered of 10 s", n)
	}
	if got := s[0].seconds(); got < 9 || got > 11 {
		t.Errorf("the window is %v s long, want about 10", got)
	}
	if rate := Summarize(s, 0, Wanted{}).EventsPerSecond; rate < 99 || rate > 101 {
		t.Errorf("%v events/s, want 100", rate)
	}
}

func TestRestartedPodBeginsAnew(t *testing.T) {
	var w Window
	w.Add([]Answer{seen("a", at(0), at(0), 1000)}, shortWindow)
	if s := w.Add([]Answer{seen("a", at(5), at(4), 10)}, shortWindow); s[0].Older != nil {
		t.Error("a rate was taken across a restart")
	}
}

func TestSilentPodIsKeptForARoundAndAGoneOneForgotten(t *testing.T) {
	var w Window
	w.Add([]Answer{seen("a", at(0), at(0), 0), seen("b", at(0), at(0), 0)}, shortWindow)
	if s := w.Add([]Answer{{Pod: "a", Err: errors.New("silent")}}, shortWindow); len(s) != 0 {
		t.Errorf("a silent pod gave %+v", s)
	}
	if len(w.pods) != 1 {
		t.Errorf("%d pods are remembered, want 1", len(w.pods))
	}
	if s := w.Add([]Answer{seen("a", at(5), at(0), 5)}, shortWindow); s[0].seconds() != 5 {
		t.Errorf("the sample is %v s long, want 5", s[0].seconds())
	}
}

func TestPodWithAnotherRevisionBeginsAnew(t *testing.T) {
	var w Window
	before := seen("a", at(0), at(0), 0)
	before.Report.Revision = "old"
	w.Add([]Answer{before}, shortWindow)
	if s := w.Add([]Answer{seen("a", at(5), at(0), 5)}, shortWindow); s[0].Older != nil {
		t.Error("what the revision of before did is held against the next one")
	}
}

func TestLongWindowIsRememberedInFewPieces(t *testing.T) {
	var w Window
	var s []Sample
	for second := range 3600 {
		s = w.Add([]Answer{seen("a", at(float64(second)), at(0), uint64(second))}, 10*time.Minute)
	}
	if n := len(w.pods["a"]); n > 23 {
		t.Errorf("%d reports are remembered", n)
	}
	if got := s[0].seconds(); got < 600 || got > 660 {
		t.Errorf("the window is %v s long, want about 600", got)
	}
}

// late is a report with so many writes that took two seconds, and so many that
// have waited for as long.
func late(second float64, written, waiting uint64) Answer {
	a := seen("a", at(second), at(0), 100*written)
	counts := func(n uint64) report.Histogram {
		h := report.Histogram{Counts: make([]uint64, report.Buckets)}
		h.Counts[report.Bucket(2)] = n
		return h
	}
	a.Report.Latency, a.Report.Queue.Waiting, a.Report.Queue.WaitingEvents = counts(written), counts(waiting), waiting
	return a
}

func TestWhatTheMarkSawIsNotSeenAgain(t *testing.T) {
	var w Window
	p99 := func(samples []Sample) time.Duration {
		s := Summarize(w.SinceMark(samples, time.Second), 0, Wanted{})
		return s.LatencyP99
	}
	w.Add([]Answer{late(0, 0, 0)}, shortWindow)
	if got := p99(w.Add([]Answer{late(1, 7, 20)}, shortWindow)); got < time.Second {
		t.Errorf("without a mark the sample has a p99 of %v", got)
	}
	w.Mark()
	whole := w.Add([]Answer{late(2, 27, 0)}, shortWindow)
	if got := p99(whole); got != 0 {
		t.Errorf("those that were waiting have been written: a p99 of %v", got)
	}
	if s := Summarize(whole, 0, Wanted{}); s.LatencyP99 < time.Second {
		t.Errorf("the whole window has a p99 of %v", s.LatencyP99)
	}
	if got := p99(w.Add([]Answer{late(3, 28, 0)}, shortWindow)); got < time.Second {
		t.Errorf("another late one: a p99 of %v", got)
	}
	if got := p99(w.Add([]Answer{late(4, 27, 20)}, shortWindow)); got < time.Second {
		t.Errorf("those that still wait: a p99 of %v", got)
	}
}

func TestPodThatBeganAnewHasNoMark(t *testing.T) {
	var w Window
	w.Add([]Answer{seen("a", at(0), at(0), 1000)}, shortWindow)
	w.Mark()
	w.Add([]Answer{seen("a", at(1), at(1), 0)}, shortWindow)
	samples := w.SinceMark(w.Add([]Answer{seen("a", at(3), at(1), 10)}, shortWindow), time.Second)
	if got := samples[0].seconds(); got != 2 {
		t.Errorf("the sample is %v s long, want 2", got)
	}
}
