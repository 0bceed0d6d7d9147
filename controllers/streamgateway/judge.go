package streamgateway

import (
	"context"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/fleet"
	"github.com/streamgateway/streamgateway/controllers/resources"
	"github.com/streamgateway/streamgateway/controllers/rollout"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// looks is how often in a row the same breach was found, at looks that are
// an interval apart.
type looks struct {
	revision, reason string
	count            int
	time             time.Time
}

// judge looks at the numbers of what runs, and takes a revision back that has
// turned out bad: the verdict is stored first, so that no leader after this
// one tries the revision again, then one write of the ConfigMap moves all pods,
// and their acks are waited for.
func (r *Reconciler) judge(ctx context.Context, s *scope) error {
	s.breach = rollout.Judge(&s.summary, s.thresholds())
	s.count()
	s.decision = rollout.Step(s.observation())
	d, v := &s.decision, s.revision(s.desired)
	if v == nil {
		return nil // it could not be recorded; status says why
	}
	if v.verdict == rollout.Pending {
		s.lookAgain(s.analysisInterval())
	}
	switch {
	case d.Failure != nil:
		return r.rollBack(ctx, s, v)
	case d.Promote != "":
		if v.detail.GuardStart.IsZero() {
			v.detail.GuardStart = s.now
		}
		v.verdict, v.detail.VerdictTime, v.detail.Reason = rollout.Healthy, s.now, d.Promote
		r.normal(s, nil, "RevisionHealthy", actionRollout, "revision %s is what is gone back to from now on (%s)", v.name, d.Promote)
		return r.writeRevision(ctx, s, v)
	case d.StartGuard:
		v.detail.GuardStart = s.now
		return r.writeRevision(ctx, s, v)
	}
	return nil
}

// pullFailure is since when a revision's image cannot be pulled.
type pullFailure struct {
	revision string
	since    time.Time
}

// pullPatience is how long an image may not be there: a registry has hiccups.
const pullPatience = 10 * time.Second

func (r *Reconciler) rollBack(ctx context.Context, s *scope, v *revision) error {
	f := s.decision.Failure
	v.verdict = rollout.Failed
	v.detail.VerdictTime, v.detail.Reason, v.detail.Message = s.now, f.Reason, f.Message
	v.detail.Metric, v.detail.Observed, v.detail.Threshold = f.Metric, f.Observed, f.Threshold
	start := time.Now()
	if err := r.writeRevision(ctx, s, v); err != nil {
		return err
	}
	// The revision is the events' related object: another one's rollback is no
	// repetition of theirs.
	about := s.memory.revisions[resources.RevisionName(s.sg.Name, v.name)]
	if about == nil || about.Labels[resources.LabelVerdict] != string(rollout.Failed) {
		return nil // the API server would not have the verdict, and status says why
	}
	r.event(s, about, corev1.EventTypeWarning, "RollbackStarted", actionRollback, v.name+": "+f.Message+"; returning to "+s.decision.Stable)
	connections := s.summary.Connections
	if err := s.restore(s.decision.Stable); err != nil {
		return err
	}
	if err := r.config(ctx, s); err != nil {
		return err
	}
	if err := r.observe(ctx, s); err != nil {
		return err
	}
	s.breach = rollout.Judge(&s.summary, s.thresholds())
	s.decision = rollout.Step(s.observation())
	if s.decision.State == rollout.RolledBack {
		r.normal(s, about, "RollbackCompleted", actionRollback, "%s -> %s on %d pods in %d ms, %d of %d streams still open",
			v.name, s.decision.Run, s.summary.Acks.Acked, time.Since(start).Milliseconds(), s.summary.Connections, connections)
	}
	return nil
}

// count counts looks in a row. Passes that follow one another faster than the
// interval, as they do when pods change, are one look.
func (s *scope) count() {
	j := &s.memory.looks
	reason := ""
	if s.breach != nil {
		reason = s.breach.Reason
	}
	if reason == "" || reason != j.reason || j.revision != s.document.Stable.Name {
		*j = looks{revision: s.document.Stable.Name, reason: reason}
	}
	if reason != "" && s.now.Sub(j.time) >= s.analysisInterval()*9/10 {
		j.count, j.time = j.count+1, s.now
	}
}

// history is what decisions go by before anybody has been asked.
func (s *scope) history() *rollout.Observation {
	o := &rollout.Observation{Settings: s.settings(), Now: s.now, Desired: s.desired}
	for i := range s.revisions {
		v := &s.revisions[i]
		o.Revisions = append(o.Revisions, rollout.Revision{
			Name: v.name, Verdict: v.verdict, GuardStart: v.detail.GuardStart, UnhealthyBefore: v.detail.UnhealthyBefore,
		})
	}
	return o
}

// observation is what decisions go by.
func (s *scope) observation() *rollout.Observation {
	o := s.history()
	o.TooQuiet = s.summary.Offered < float64(s.thresholds().MinEvents)
	runs := s.document.Stable.Name == s.plan.Revision
	d := s.deployment()
	serves := d != nil && (complete(d, s.replicas()) || served(d))
	acked := runs && s.summary.Acks.Acked >= s.readyPods() && s.summary.Acks.Nacked == 0
	if s.plan.Revision != s.desired {
		o.LeftBehind = acked && serves
		return o
	}
	o.TemplateReady, o.AllAcked = serves, acked
	o.Breach, o.Breaches = s.breach, s.memory.looks.count
	if runs && s.summary.Acks.Nacked > 0 {
		n := s.summary.Acks.Nacks[0]
		o.Nack = "pod " + n.Pod + " refused config " + strconv.FormatInt(s.document.Serial, 10) + ": " + n.Message
	}
	if !serves {
		o.PodReason, o.PodMessage = candidateTrouble(s)
		o.Deadline = s.deadlineExceeded()
		if o.Deadline && o.PodMessage == "" {
			o.PodMessage = "the pods are not ready"
		}
	}
	return o
}

// candidateTrouble is why the pods of the wanted template do not come up, if
// that is their own fault. One that finds no node may find one later.
func candidateTrouble(s *scope) (reason, message string) {
	var own []corev1.Pod
	for i := range s.pods {
		if s.pods[i].Labels[resources.LabelTemplateHash] == s.plan.TemplateHash {
			own = append(own, s.pods[i])
		}
	}
	reason, message = trouble(own)
	since := &s.memory.pullFailure
	if reason != v1alpha1.ReasonImagePullFailed || since.revision != s.plan.Revision {
		*since = pullFailure{revision: s.plan.Revision, since: s.now}
	}
	switch {
	case reason == v1alpha1.ReasonPodsCrashing:
		return reason, message
	case reason == v1alpha1.ReasonImagePullFailed && s.now.Sub(since.since) >= pullPatience:
		return reason, message
	}
	return "", message
}

func (s *scope) settings() rollout.Settings {
	out := rollout.Settings{Automatic: true, GuardPeriod: 5 * time.Minute, ConsecutiveBreaches: consecutiveBreaches}
	if b := s.sg.Spec.Rollback; b != nil {
		out.Automatic = b.Mode != v1alpha1.RollbackManual
		out.GuardPeriod = length(b.GuardPeriod, out.GuardPeriod)
	}
	if a := s.analysis(); a != nil && a.ConsecutiveBreaches > 0 {
		out.ConsecutiveBreaches = int(a.ConsecutiveBreaches)
	}
	return out
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

func (s *scope) historyLimit() int {
	if b := s.sg.Spec.Rollback; b != nil && b.HistoryLimit > 0 {
		return int(b.HistoryLimit)
	}
	return 10
}

func (s *scope) thresholds() rollout.Thresholds {
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
	if w.MaxErrorPercent != nil {
		t.MaxErrorPercent = decimal(w.MaxErrorPercent.String(), t.MaxErrorPercent)
	}
	if w.MaxDropPercent != nil {
		t.MaxDropPercent = decimal(w.MaxDropPercent.String(), t.MaxDropPercent)
	}
	t.MaxP99Latency = length(w.MaxP99Latency, t.MaxP99Latency)
	if w.MaxQueuePercent > 0 {
		t.MaxQueuePercent = float64(w.MaxQueuePercent)
	}
	if w.MaxReconnectsPerMinutePercent > 0 {
		t.MaxReconnectsPerMinutePercent = float64(w.MaxReconnectsPerMinutePercent)
	}
	t.MaxBrowserP95 = length(w.MaxBrowserP95, 0)
	return t
}

// length and decimal read what the schema has checked; otherwise is for an
// object that was stored before the field was declared.
func length(text v1alpha1.Duration, otherwise time.Duration) time.Duration {
	d, err := config.ParseDuration(string(text))
	if text == "" || err != nil {
		return otherwise
	}
	return d
}

func decimal(text string, otherwise float64) float64 {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return otherwise
	}
	return v
}

// forgetNumbers begins the window anew when other settings run: what the ones
// before did is not held against them.
func (s *scope) forgetNumbers() { s.memory.window = fleet.Window{} }

func timeOf(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return &metav1.Time{Time: t.Truncate(time.Second)}
}
