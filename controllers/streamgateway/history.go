package streamgateway

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/rollout"
)

// shownRevisions is how many revisions are in status.
const shownRevisions = 10

// revisionStatus puts into status what became of revisions.
func (s *scope) revisionStatus(after, before *v1alpha1.StreamGatewayStatus) {
	after.StableRevision = s.decision.Stable
	after.Revisions = nil
	for i := len(s.revisions) - 1; i >= 0 && len(after.Revisions) < shownRevisions; i-- {
		v := &s.revisions[i]
		after.Revisions = append(after.Revisions, v1alpha1.RevisionStatus{
			Name: v.name, Number: v.number, Verdict: v1alpha1.Verdict(v.verdict),
			Reason: v.detail.Reason, Message: short(v.detail.Message), Change: v.detail.Change, Image: v.record.Image,
			CreationTime: timeOf(v.created), VerdictTime: timeOf(v.detail.VerdictTime),
		})
	}
	v := s.revision(s.desired)
	if v == nil {
		return
	}
	if v.detail.Retry != "" {
		after.LastHandledRetry = v.detail.Retry
	}
	after.Rollout = &v1alpha1.RolloutStatus{
		State: v1alpha1.RolloutState(s.decision.State), Change: v.detail.Change, StartTime: timeOf(v.created),
	}
	if d := &s.decision; d.Base != "" {
		after.Rollout.Step, after.Rollout.Steps, after.Rollout.Percent = int32(d.Step), int32(d.Steps), int32(d.Percent)
		after.Rollout.NextStepTime = timeOf(d.NextStepTime)
	}
	after.Rollback = s.rollbackStatus(v, before.Rollback)
}

// rollbackStatus tells of the last rollback for as long as no newer revision
// is healthy.
func (s *scope) rollbackStatus(v *revision, before *v1alpha1.RollbackStatus) *v1alpha1.RollbackStatus {
	switch {
	case v.verdict == rollout.Failed && s.decision.Run != v.name:
		out := &v1alpha1.RollbackStatus{
			FromRevision: v.name, ToRevision: s.decision.Run, Change: v.detail.Change,
			Reason: v.detail.Reason, Metric: v.detail.Metric, Observed: v.detail.Observed, Threshold: v.detail.Threshold,
			DetectedTime: timeOf(v.detail.VerdictTime),
		}
		switch same := before != nil && before.FromRevision == v.name && sameTime(before.DetectedTime, out.DetectedTime); {
		case same && before.CompletedTime != nil:
			out.CompletedTime = before.CompletedTime
		case s.decision.State == rollout.RolledBack:
			out.CompletedTime = timeOf(s.now)
		}
		return out
	case v.verdict == rollout.Healthy:
		return nil
	}
	return before
}

func sameTime(a, b *metav1.Time) bool {
	return a != nil && b != nil && a.Truncate(time.Second).Equal(b.Truncate(time.Second))
}

// rolledBack: something else runs than spec asks for.
func (s *scope) rolledBack() verdict {
	v := s.revision(s.desired)
	if v == nil || v.verdict != rollout.Failed || s.decision.Run == s.desired {
		return no(v1alpha1.ReasonNotRolledBack, "")
	}
	return yes(v.detail.Reason, "%s -> %s: %s", v.name, s.decision.Run, v.detail.Message)
}
