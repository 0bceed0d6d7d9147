package streamgateway

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/rollout"
)

// verdict is one condition without its history.
type verdict struct {
	status          metav1.ConditionStatus
	reason, message string
}

func yes(reason, format string, args ...any) verdict {
	return verdict{metav1.ConditionTrue, reason, fmt.Sprintf(format, args...)}
}

func no(reason, format string, args ...any) verdict {
	return verdict{metav1.ConditionFalse, reason, fmt.Sprintf(format, args...)}
}

func unknown(reason, format string, args ...any) verdict {
	return verdict{metav1.ConditionUnknown, reason, fmt.Sprintf(format, args...)}
}

// conditions judges the scope and sets all conditions of a status.
func (s *scope) conditions(status *v1alpha1.StreamGatewayStatus) {
	v := verdicts{
		accepted:   s.accepted(),
		resolved:   s.resolvedRefs(),
		programmed: s.programmed(),
		available:  s.available(status.ActiveRevision != ""),
		healthy:    s.healthy(),
		noLoss:     s.noLoss(),
		rolledBack: s.rolledBack(),
		paused:     s.pausedVerdict(),
	}
	if v.noLoss.status == metav1.ConditionFalse && (v.healthy.status != metav1.ConditionFalse || v.healthy.reason == v.noLoss.reason) {
		v.healthy = v.noLoss
	}
	v.stalled = s.stalled(v.programmed)
	v.reconciling = s.reconciling(&v)
	ready := v.ready(s, status.ActiveRevision)
	if v.reconciling.status == metav1.ConditionTrue {
		s.lookAgain(movingInterval)
	}
	generation := s.sg.Generation
	if s.failed() {
		generation = status.ObservedGeneration
	}
	for _, c := range []struct {
		kind string
		verdict
	}{
		{v1alpha1.ConditionReady, ready},
		{v1alpha1.ConditionAccepted, v.accepted},
		{v1alpha1.ConditionResolvedRefs, v.resolved},
		{v1alpha1.ConditionProgrammed, v.programmed},
		{v1alpha1.ConditionAvailable, v.available},
		{v1alpha1.ConditionHealthy, v.healthy},
		{v1alpha1.ConditionNoLossVerified, v.noLoss},
		{v1alpha1.ConditionRolledBack, v.rolledBack},
		{v1alpha1.ConditionPaused, v.paused},
		{v1alpha1.ConditionReconciling, v.reconciling},
		{v1alpha1.ConditionStalled, v.stalled},
	} {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: c.kind, Status: c.status, Reason: c.reason, Message: clip(c.message), ObservedGeneration: generation,
		})
	}
}

// clip keeps a message within what a condition holds.
func clip(message string) string {
	const most = 32768
	if len(message) > most {
		return message[:most]
	}
	return message
}

type verdicts struct {
	accepted, resolved, programmed, available, healthy, noLoss, rolledBack, paused, reconciling, stalled verdict
}

// ready folds the others: first what is wrong, then what is not known yet.
func (v *verdicts) ready(s *scope, activeRevision string) verdict {
	broken := func(reason string, because verdict) verdict {
		return no(reason, "%s: %s", because.reason, because.message)
	}
	waiting := v1alpha1.ReasonRollingOut
	if activeRevision == "" {
		waiting = v1alpha1.ReasonPending
	}
	switch {
	case v.accepted.status == metav1.ConditionFalse:
		return broken(v1alpha1.ReasonNotAccepted, v.accepted)
	case v.resolved.status == metav1.ConditionFalse:
		return broken(v1alpha1.ReasonRefsNotResolved, v.resolved)
	case v.programmed.status == metav1.ConditionFalse:
		return broken(v1alpha1.ReasonNotProgrammed, v.programmed)
	case v.rolledBack.status == metav1.ConditionTrue:
		return no(v1alpha1.ReasonRolledBack, "serving %s: %s", activeRevision, v.rolledBack.message)
	case v.stalled.status == metav1.ConditionTrue:
		return broken(v1alpha1.ReasonStalled, v.stalled)
	case v.available.status == metav1.ConditionFalse && v.available.reason != v1alpha1.ReasonScaledToZero:
		return broken(v1alpha1.ReasonUnavailable, v.available)
	case v.healthy.status == metav1.ConditionFalse:
		return broken(v1alpha1.ReasonUnhealthy, v.healthy)
	case s.paused() && (activeRevision != s.desired || v.programmed.status == metav1.ConditionUnknown):
		return unknown(v1alpha1.ReasonPaused, "serving %s; spec asks for %s, and spec.override.reconcile is Paused", activeRevision, s.desired)
	case v.programmed.status == metav1.ConditionUnknown:
		return unknown(waiting, "%s", v.programmed.message)
	case v.resolved.status == metav1.ConditionUnknown:
		return unknown(waiting, "%s", v.resolved.message)
	case v.available.status == metav1.ConditionUnknown:
		return unknown(waiting, "%s", v.available.message)
	}
	if v.available.reason == v1alpha1.ReasonScaledToZero {
		return yes(v1alpha1.ReasonReady, "revision %s is live without pods: %s", activeRevision, v.available.message)
	}
	if pinned(s.sg) != "" {
		return yes(v1alpha1.ReasonPinned, "serving revision %s, which spec.override pins", activeRevision)
	}
	return yes(v1alpha1.ReasonReady, "serving revision %s%s", activeRevision, s.flagsNote(activeRevision))
}

// programmed: the objects are there, and every ready pod runs what is wanted.
func (s *scope) programmed() verdict {
	acks := &s.summary.Acks
	if len(s.problems) > 0 {
		return no(s.problems[0].reason, "%s", s.problems[0].message)
	}
	if reason, message := s.podsRefused(); reason != "" {
		return no(reason, "%s", message)
	}
	switch {
	case acks.Nacked > 0:
		n := acks.Nacks[0]
		return no(v1alpha1.ReasonConfigRejected, "pod %s runs on with its last good config; it refused config %d: %s", n.Pod, s.document.Serial, n.Message)
	case s.silentReady():
		return no(v1alpha1.ReasonConfigNotAcked, "a ready pod has not acknowledged config %d for %s", s.document.Serial, ackTimeout)
	case s.addressMissing():
		return no(v1alpha1.ReasonAddressNotAssigned, "Service %s has no load balancer address yet", s.sg.Name)
	}
	if d := s.deployment(); d == nil || !complete(d, s.replicas()) && !served(d) {
		if _, message := trouble(s.pods); message != "" {
			return unknown(v1alpha1.ReasonPending, "%s", message)
		}
		return unknown(v1alpha1.ReasonPending, "waiting for the pods of revision %s", s.plan.Revision)
	}
	if s.unready {
		return unknown(v1alpha1.ReasonPending, "revision %s waits for what it refers to", s.plan.Revision)
	}
	if v := s.routed(); v != nil {
		return *v
	}
	if ready, missing := s.readyPods(), s.unacked(); missing > 0 {
		return unknown(v1alpha1.ReasonPending, "%d of %d ready pods run config %d", ready-missing, ready, s.document.Serial)
	}
	switch d := &s.decision; d.State {
	case rollout.Stepping, rollout.Promoting, rollout.Holding:
		if d.Percent < 100 || d.State == rollout.Promoting {
			return unknown(v1alpha1.ReasonPending, "step %d of %d: %d %% of the pods are to run revision %s", d.Step, d.Steps, d.Percent, s.plan.Revision)
		}
	}
	return yes(v1alpha1.ReasonProgrammed, "every ready pod runs revision %s", s.plan.Revision)
}

// podsRefused is why the API server would not have the wanted pods, in its own
// words, which reach a Deployment through its ReplicaSet.
func (s *scope) podsRefused() (reason, message string) {
	d := s.deployment()
	if d == nil {
		return "", ""
	}
	c := condition(d, appsv1.DeploymentReplicaFailure)
	if c == nil || c.Status != corev1.ConditionTrue {
		return "", ""
	}
	if reason = refusal(messageError(c.Message)); reason == "" {
		reason = v1alpha1.ReasonForbidden
	}
	return reason, c.Message
}

type messageError string

func (e messageError) Error() string { return string(e) }

func (s *scope) addressMissing() bool {
	return s.sg.Spec.Listener.Service.Type == v1alpha1.ServiceLoadBalancer &&
		s.service != nil && len(s.service.Status.LoadBalancer.Ingress) == 0
}

// available: enough pods of any template take traffic.
func (s *scope) available(servedBefore bool) verdict {
	ready, desired := s.readyPods(), int(s.replicas())
	if desired == 0 {
		return no(v1alpha1.ReasonScaledToZero, "spec.gateway.replicas is 0")
	}
	if ready > 0 && 4*ready >= 3*desired {
		return yes(v1alpha1.ReasonMinimumPodsReady, "%d/%d pods ready", ready, desired)
	}
	if reason, message := trouble(s.pods); reason != "" {
		return no(reason, "%s", message)
	}
	switch {
	case ready > 0:
		return no(v1alpha1.ReasonBelowMinimum, "%d/%d pods ready", ready, desired)
	case servedBefore || s.deadlineExceeded():
		return no(v1alpha1.ReasonNoPodsReady, "0/%d pods ready", desired)
	}
	return unknown(v1alpha1.ReasonPending, "waiting for the first pod")
}

func (s *scope) deadlineExceeded() bool {
	d := s.deployment()
	if d == nil || complete(d, s.replicas()) {
		return false
	}
	c := condition(d, appsv1.DeploymentProgressing)
	return c != nil && c.Status == corev1.ConditionFalse && c.Reason == v1alpha1.ReasonProgressDeadlineExceeded
}

// stalled: nothing will change until somebody changes something. p is the
// verdict on Programmed.
func (s *scope) stalled(p verdict) verdict {
	if a := s.accepted(); a.status == metav1.ConditionFalse {
		return yes(v1alpha1.ReasonInvalidSpec, "%s", a.message)
	}
	switch d := &s.decision; {
	case d.State == rollout.RolledBack:
		return yes(v1alpha1.ReasonRolledBack, "change spec, or set the annotation %s to %s/1, to try again", v1alpha1.AnnotationRetry, s.desired)
	case d.State == rollout.Holding && d.Bad != nil && d.Bad.Reason == rollout.ReasonInconclusive:
		return yes(v1alpha1.ReasonAnalysisInconclusive, "%s; set the annotation %s to %s/1 to go on", d.Bad.Message, v1alpha1.AnnotationRetry, s.desired)
	case d.State == rollout.Holding && d.Bad != nil:
		return yes(v1alpha1.ReasonManualRollbackRequired, "%s: %s", s.desired, d.Bad.Message)
	case d.State == rollout.RollingBack:
		return no(v1alpha1.ReasonNotStalled, "")
	}
	if p.status == metav1.ConditionFalse {
		switch p.reason {
		case v1alpha1.ReasonNameCollision:
			return yes(p.reason, "%s", p.message)
		case v1alpha1.ReasonConfigRejected:
			return yes(v1alpha1.ReasonInvalidSpec, "%s", p.message)
		case v1alpha1.ReasonQuotaExceeded, v1alpha1.ReasonForbidden, v1alpha1.ReasonAdmissionDenied:
			if s.lasted(v1alpha1.ConditionProgrammed, p) {
				reason := p.reason
				if reason == v1alpha1.ReasonAdmissionDenied {
					reason = v1alpha1.ReasonProgressDeadlineExceeded
				}
				return yes(reason, "%s", p.message)
			}
		}
	}
	if s.deadlineExceeded() && !s.delayedByRefs() && !s.delayedByLog() {
		_, message := trouble(s.pods)
		if message == "" {
			message = "the pods are not ready"
		}
		return yes(v1alpha1.ReasonProgressDeadlineExceeded, "no progress for %s: %s", s.progressDeadline(), message)
	}
	return no(v1alpha1.ReasonNotStalled, "")
}

// lasted tells whether a condition has been as it is now for the deadline.
func (s *scope) lasted(kind string, now verdict) bool {
	c := s.before(kind)
	return c != nil && c.Status == now.status && c.Reason == now.reason &&
		s.now.Sub(c.LastTransitionTime.Time) >= s.progressDeadline()
}

// reconciling: the operator, or Kubernetes on its behalf, is at work.
func (s *scope) reconciling(v *verdicts) verdict {
	d := s.deployment()
	ready, desired := s.readyPods(), int(s.replicas())
	switch {
	case v.stalled.status == metav1.ConditionTrue:
		return no(v1alpha1.ReasonStalled, "")
	case s.paused():
		return no(v1alpha1.ReasonPaused, "")
	case s.decision.State == rollout.RollingBack:
		return yes(v1alpha1.ReasonRollingBack, "pods return to revision %s", s.decision.Run)
	case s.err != nil:
		return yes(v1alpha1.ReasonRetrying, "%v", s.err)
	case v.resolved.status == metav1.ConditionFalse && s.missesRefs():
		return yes(v1alpha1.ReasonResolvingRefs, "%s", v.resolved.message)
	case s.decision.State == rollout.Stepping:
		return yes(v1alpha1.ReasonStepping, "%s", v.programmed.message)
	case s.decision.State == rollout.Promoting:
		return yes(v1alpha1.ReasonPromoting, "%s", v.programmed.message)
	case v.programmed.status == metav1.ConditionFalse:
		return yes(v1alpha1.ReasonRetrying, "%s", v.programmed.message)
	case d == nil || !complete(d, s.replicas()) && !served(d):
		return yes(v1alpha1.ReasonNewRevision, "%s", v.programmed.message)
	case v.programmed.status == metav1.ConditionUnknown:
		return yes(v1alpha1.ReasonPushing, "%s", v.programmed.message)
	case ready != desired:
		return yes(v1alpha1.ReasonScaling, "%d/%d pods ready", ready, desired)
	case s.draining() > 0:
		return yes(v1alpha1.ReasonDraining, "%s", s.drainNote(s.draining()))
	}
	return no(v1alpha1.ReasonUpToDate, "")
}

// failed tells whether this pass ended in an error that may mend itself.
func (s *scope) failed() bool { return s.err != nil }
