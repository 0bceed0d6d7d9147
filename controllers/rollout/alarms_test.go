package rollout_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/controllers/fleet"
	"github.com/streamgateway/streamgateway/controllers/rollout"
	"github.com/streamgateway/streamgateway/gateway/report"
)

// pod models one that writes an event to 200 streams five times a second, on
// a machine that now and then has no time for it: once a minute on average it
// pauses, for 400 ms on average. Now and then a single client takes its time.
type pod struct {
	rand    *rand.Rand
	window  time.Duration // of batches
	now     time.Duration
	flushed time.Duration // the batch at hand was begun
	paused  time.Duration // until
	report  report.Report
}

const (
	podStreams = 200
	podTick    = 200 * time.Millisecond
)

func newPod(seed uint64, window time.Duration) *pod {
	p := &pod{rand: rand.New(rand.NewPCG(seed, 1)), window: window}
	p.report.Pod, p.report.Latency.Counts = "a", make([]uint64, report.Buckets)
	return p
}

// second is what the pod reports a second later.
func (p *pod) second() report.Report {
	for range time.Second / podTick {
		p.tick()
	}
	r := p.report
	r.Time = start.Add(p.now)
	r.Latency.Counts = append([]uint64(nil), r.Latency.Counts...)
	r.Queue.WaitingEvents = podStreams * uint64((p.now-p.flushed)/podTick)
	r.Queue.Waiting.Counts = make([]uint64, report.Buckets)
	r.Queue.Waiting.Counts[report.Bucket((p.now - p.flushed).Seconds())] = podStreams
	return r
}

func (p *pod) tick() {
	p.now += podTick
	if p.now < p.paused {
		return
	}
	if p.rand.Float64() < podTick.Minutes() {
		p.paused = p.now + time.Duration(p.rand.ExpFloat64()*float64(400*time.Millisecond))
	}
	if p.now-p.flushed < p.window {
		return
	}
	batch := uint64((p.now - p.flushed) / podTick)
	p.report.Events.Delivered += podStreams * batch
	latency := (p.now - p.flushed - podTick + 5*time.Millisecond).Seconds() // of a batch that waited for nothing
	p.report.Latency.Counts[report.Bucket(latency)] += podStreams - 1
	p.report.Latency.Counts[report.Bucket(latency+p.rand.ExpFloat64())]++
	p.flushed = p.now
}

// taken tries a change on the pod for the guard period, and tells after how
// long it was taken back; 0: it was not. Without goesOn every look counts, as
// long as the window holds what it found.
func (p *pod) taken(revision string, guard time.Duration, goesOn bool) time.Duration {
	var w fleet.Window
	var looks rollout.Looks
	t, begun := rollout.DefaultThresholds(), p.now
	p.report.Revision = revision
	for p.now-begun < guard {
		r := p.second()
		samples := w.Add([]fleet.Answer{{Pod: "a", Report: &r}}, 10*time.Second)
		s := fleet.Summarize(samples, 0, fleet.Wanted{})
		var counted bool
		looks, counted = looks.Next(r.Time, time.Second, revision, rollout.Judge(&s, t), func(b *rollout.Breach) bool {
			since := fleet.Summarize(w.SinceMark(samples, t.MaxP99Latency), 0, fleet.Wanted{})
			return !goesOn || b.GoesOn(&since, t)
		})
		if counted {
			w.Mark()
		}
		if looks.Count >= 2 {
			return p.now - begun
		}
	}
	return 0
}

// A machine that pauses is no fault of a change. In ten hours of changes that
// are guarded for five minutes each, hardly one is taken back.
func TestPausesOfTheMachineTakeNoChangeBack(t *testing.T) {
	const changes = 120
	wrong := func(goesOn bool) (n int) {
		p := newPod(7, 0)
		for range changes {
			if p.taken("good", 5*time.Minute, goesOn) > 0 {
				n++
			}
		}
		return n
	}
	every, ongoing := wrong(false), wrong(true)
	t.Logf("of %d good changes in %d hours, taken back: %d when every look counts, %d when the breach has to go on", changes, changes/12, every, ongoing)
	if every < changes/10 {
		t.Errorf("the model has too few pauses to show anything: %d", every)
	}
	if ongoing > changes/50 {
		t.Errorf("%d of %d good changes are taken back", ongoing, changes)
	}
}

// What is late without an end is found as fast as two looks can be, also when
// nothing has been written by then.
func TestLateBatchesAreFoundBeforeTheyAreWritten(t *testing.T) {
	for _, window := range []time.Duration{1500 * time.Millisecond, 4 * time.Second, time.Minute} {
		longest := time.Duration(0)
		for seed := range uint64(200) {
			p := newPod(seed, 0)
			for range 5 + seed%5 {
				p.tick()
			}
			p.window = window
			took := p.taken("bad", 5*time.Minute, true)
			if took == 0 {
				t.Fatalf("a window of %v was not found", window)
			}
			longest = max(longest, took)
		}
		t.Logf("a window of %v is found within %v", window, longest)
		if longest > 4*time.Second {
			t.Errorf("a window of %v is found after %v", window, longest)
		}
	}
}
