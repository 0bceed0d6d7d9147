package streamgateway

import (
	"math"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
	"github.com/streamgateway/streamgateway/controllers/rollout"
	"github.com/streamgateway/streamgateway/gateway/config"
)

func (s *scope) settings() rollout.Settings {
	out := rollout.Settings{
		Automatic: !s.paused(), GuardPeriod: 5 * time.Minute, WarmPeriod: 2 * time.Minute, ConsecutiveBreaches: consecutiveBreaches,
	}
	if b := s.sg.Spec.Rollback; b != nil {
		out.Automatic = out.Automatic && b.Mode != v1alpha1.RollbackManual
		out.GuardPeriod = length(b.GuardPeriod, out.GuardPeriod)
		out.WarmPeriod = length(b.WarmPeriod, out.WarmPeriod)
	}
	if a := s.analysis(); a != nil {
		out.OnInconclusive = rollout.OnInconclusive(a.OnInconclusive)
		if a.ConsecutiveBreaches > 0 {
			out.ConsecutiveBreaches = int(a.ConsecutiveBreaches)
		}
	}
	if o := s.sg.Spec.Rollout; o != nil && s.byStep(o) {
		for _, step := range o.Steps {
			out.Stages = append(out.Stages, rollout.Stage{Percent: int(step.Percent), Hold: length(step.Hold, 30*time.Second)})
		}
	}
	return out
}

// byStep tells whether the wanted revision goes by steps. One pod is no more
// than all pods.
func (s *scope) byStep(o *v1alpha1.Rollout) bool {
	if s.replicas() <= 1 {
		return false
	}
	switch wanted, stable := s.revision(s.desired), s.stable(); {
	case wanted == nil || stable == nil:
		return false
	case wanted.record.TemplateHash == stable.record.TemplateHash:
		return o.Hot == v1alpha1.HotCanary
	default: // which takes pods of both, over one log: readers of the one would miss what is published to the other
		return o.Restart == v1alpha1.RestartCanary && s.live(stable.record.TemplateHash) != nil &&
			resources.SameLog(wanted.record.Broker(s.sg), stable.record.Broker(s.sg))
	}
}

// stable is the newest revision that is healthy, nil if there is none.
func (s *scope) stable() (newest *revision) {
	for i := range s.revisions {
		if s.revisions[i].verdict == rollout.Healthy {
			newest = &s.revisions[i]
		}
	}
	return newest
}

func (s *scope) analysis() *v1alpha1.Analysis {
	if s.sg.Spec.Rollout == nil {
		return nil // of an object that was stored before there was such a section
	}
	return s.sg.Spec.Rollout.Analysis
}

func (s *scope) analysisInterval() time.Duration {
	if a := s.analysis(); a != nil {
		return length(a.Interval, time.Second)
	}
	return time.Second
}

// progressDeadline is how long a revision may make no progress.
func (s *scope) progressDeadline() time.Duration { return resources.ProgressDeadline(&s.sg.Spec) }

// window is how much time the pods' numbers are taken over.
func (s *scope) window() time.Duration {
	const otherwise = 10 * time.Second
	if a := s.analysis(); a != nil {
		return length(a.Window, otherwise)
	}
	return otherwise
}

func (s *scope) historyLimit() int {
	if b := s.sg.Spec.Rollback; b != nil && b.HistoryLimit > 0 {
		return int(b.HistoryLimit)
	}
	return 10
}

// thresholds are what the wanted revision is judged by where it stands: once it
// has reached every pod, by those of the guard period, if there are any; and not
// by pages that tell of the time before a flag was switched off.
func (s *scope) thresholds() rollout.Thresholds {
	t := s.analysisThresholds()
	v, b := s.revision(s.desired), s.sg.Spec.Rollback
	if v != nil && b != nil && b.Thresholds != nil && !v.detail.GuardStart.IsZero() {
		t = guardThresholds(b.Thresholds, t.MinEvents)
	}
	if s.settles() {
		t.MaxBrowserP95 = 0
	}
	return t
}

func (s *scope) analysisThresholds() rollout.Thresholds {
	t := rollout.DefaultThresholds()
	a := s.analysis()
	if a == nil {
		return t
	}
	if a.MinEvents != nil {
		t.MinEvents = int(*a.MinEvents)
	}
	w := a.Thresholds
	if w == nil {
		return t
	}
	t.MaxErrorPercent = percentage(w.MaxErrorPercent, t.MaxErrorPercent)
	t.MaxDropPercent = percentage(w.MaxDropPercent, t.MaxDropPercent)
	t.MaxP99Latency = length(w.MaxP99Latency, t.MaxP99Latency)
	t.MaxQueuePercent = count(w.MaxQueuePercent, t.MaxQueuePercent)
	t.MaxReconnectsPerMinutePercent = count(w.MaxReconnectsPerMinutePercent, t.MaxReconnectsPerMinutePercent)
	t.MaxBrowserP95 = length(w.MaxBrowserP95, 0)
	return t
}

// guardThresholds judge nothing that is not set.
func guardThresholds(w *v1alpha1.GuardThresholds, minEvents int) rollout.Thresholds {
	never := math.Inf(1)
	return rollout.Thresholds{
		MaxErrorPercent:               percentage(w.MaxErrorPercent, never),
		MaxDropPercent:                percentage(w.MaxDropPercent, never),
		MaxP99Latency:                 length(w.MaxP99Latency, math.MaxInt64),
		MaxQueuePercent:               count(w.MaxQueuePercent, never),
		MaxReconnectsPerMinutePercent: count(w.MaxReconnectsPerMinutePercent, never),
		MaxBrowserP95:                 length(w.MaxBrowserP95, 0),
		MinEvents:                     minEvents,
	}
}

// length and percentage read what the schema has checked; otherwise is for an
// object that was stored before the field was declared.
func length(text v1alpha1.Duration, otherwise time.Duration) time.Duration {
	d, err := config.ParseDuration(string(text))
	if text == "" || err != nil {
		return otherwise
	}
	return d
}

func percentage(p *intstr.IntOrString, otherwise float64) float64 {
	if p == nil {
		return otherwise
	}
	v, err := strconv.ParseFloat(p.String(), 64)
	if err != nil {
		return otherwise
	}
	return v
}

// count is a bound that has no zero.
func count(n int32, otherwise float64) float64 {
	if n <= 0 {
		return otherwise
	}
	return float64(n)
}
