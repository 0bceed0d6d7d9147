package streamgateway

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/controllers/resources"
	"github.com/streamgateway/streamgateway/controllers/rollout"
)

// judge looks at the numbers of what runs, and takes a revision back that has
// turned out bad: the verdict is stored first, so that no leader after this
// one tries the revision again, then one write of the ConfigMap moves all pods,
// and their acks are waited for.
func (r *Reconciler) judge(ctx context.Context, s *scope) error {
	d, v := &s.decision, s.revision(s.desired)
	if v == nil {
		return nil // it could not be recorded; status says why
	}
	s.weigh()
	if v.verdict == rollout.Failed && d.Run != v.name {
		r.announceRetreat(s, v)
	}
	if v.verdict == rollout.Pending {
		s.lookAgain(s.analysisInterval())
	}
	r.announceNoWayBack(s)
	switch {
	case d.Failure != nil:
		return r.rollBack(ctx, s, v)
	case d.SwitchOff != nil:
		return r.switchOff(ctx, s, v)
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
	case d.StartHold:
		v.detail.StepStart = s.now
		r.normal(s, nil, "StepStarted", actionRollout, "step %d of %d: %d of %d pods run revision %s",
			d.Step, d.Steps, s.running(), len(s.samples), v.name)
		return r.writeRevision(ctx, s, v)
	case d.NextStep > 0:
		r.normal(s, nil, "StepPassed", actionRollout, "step %d of %d: revision %s goes on", d.Step, d.Steps, v.name)
		v.enter(d.NextStep, s.now)
		s.lookAgain(time.Millisecond)
		return r.writeRevision(ctx, s, v)
	}
	return nil
}

// weigh decides by what is seen now.
func (s *scope) weigh() {
	s.compare()
	s.decision = s.decide(s.observation())
}

// running is how many pods say that they run the wanted revision.
func (s *scope) running() (n int) {
	for _, sample := range s.samples {
		if sample.Newer.Revision == s.desired {
			n++
		}
	}
	return n
}

func (r *Reconciler) rollBack(ctx context.Context, s *scope, v *revision) error {
	f := s.decision.Failure
	v.verdict = rollout.Failed
	v.detail.VerdictTime, v.detail.Reason, v.detail.Message = s.now, f.Reason, f.Message
	v.detail.Metric, v.detail.Observed, v.detail.Threshold = f.Metric, f.Observed, f.Threshold
	if err := r.writeRevision(ctx, s, v); err != nil {
		return err
	}
	stored := s.memory.revisions[resources.RevisionName(s.sg.Name, v.name)]
	if stored == nil || stored.Labels[resources.LabelVerdict] != string(rollout.Failed) {
		return nil // the API server would not have the verdict, and status says why
	}
	v.object = stored
	r.event(s, about(v), corev1.EventTypeWarning, "RollbackStarted", actionRollback, v.name+": "+f.Message+"; returning to "+s.decision.Stable)
	s.memory.retreat = retreat{from: v.name, connections: s.summary.Connections}
	if err := s.runBase(); err != nil {
		return err
	}
	if s.deployment() == nil {
		r.warning(s, "RollbackStartingPods", actionRollback, "the pods of revision "+s.plan.Revision+" are gone and start; those of "+v.name+" serve until they are ready")
	}
	if err := r.config(ctx, s); err != nil {
		return err
	}
	if err := r.observe(ctx, s); err != nil {
		return err
	}
	s.decision = s.decide(s.observation())
	r.announceRetreat(s, v)
	return nil
}

// about is the related object of events about a revision, nil if it is not
// known: another one's rollback is no repetition of theirs.
func about(v *revision) client.Object {
	if v.object == nil {
		return nil
	}
	return v.object
}

// retreat is what is remembered of a rollback for the event that ends it.
type retreat struct {
	from        string // revision
	connections int    // before it
	told        bool
}

// announceRetreat tells once when all pods are back.
func (r *Reconciler) announceRetreat(s *scope, v *revision) {
	m := &s.memory.retreat
	if m.from != v.name {
		*m = retreat{from: v.name, connections: -1} // the leader before this one knew
	}
	status := s.statusBefore().Rollback
	known := status != nil && status.FromRevision == v.name && status.CompletedTime != nil && sameTime(status.DetectedTime, timeOf(v.detail.VerdictTime))
	if s.decision.State != rollout.RolledBack || m.told || known {
		return
	}
	m.told = true
	note := fmt.Sprintf("%s -> %s on %d pods in %d ms", v.name, s.decision.Run, s.summary.Acks.Acked, time.Since(v.detail.VerdictTime).Milliseconds())
	if m.connections >= 0 {
		note += fmt.Sprintf(", %d of %d streams still open", s.summary.Connections, m.connections)
	}
	r.normal(s, about(v), "RollbackCompleted", actionRollback, "%s", note)
}

func timeOf(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return &metav1.Time{Time: t.Truncate(time.Second)}
}
