package streamgateway

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// Actions of events: what the operator was about.
const (
	actionRollout  = "Rollout"
	actionOverride = "Override"
	actionRollback = "Rollback"
	actionPush     = "Push"
	actionApply    = "Apply"
	actionDrain    = "Drain"
	actionObserve  = "Observe"
	actionResolve  = "Resolve"
)

// maxText is how long the note of an event, or a message in status, may be, in
// bytes.
const maxText = 1024

// short keeps a text within maxText.
func short(text string) string { return text[:min(len(text), maxText)] }

// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

func (r *Reconciler) normal(s *scope, related client.Object, reason, action, format string, args ...any) {
	r.event(s, related, corev1.EventTypeNormal, reason, action, fmt.Sprintf(format, args...))
}

func (r *Reconciler) warning(s *scope, reason, action, note string) {
	r.event(s, nil, corev1.EventTypeWarning, reason, action, note)
}

func (r *Reconciler) event(s *scope, related client.Object, kind, reason, action, note string) {
	var other runtime.Object // an interface that holds a nil object is not nil
	if related != nil && related.GetUID() != "" {
		other = related
	}
	r.Recorder.Eventf(s.sg, other, kind, reason, action, "%s", short(note))
}

// announce tells of what has changed from one written status to the next, so
// that nothing is told twice, also by the next leader.
func (r *Reconciler) announce(s *scope, before, after *v1alpha1.StreamGatewayStatus) {
	if after.ActiveRevision != before.ActiveRevision {
		r.normal(s, nil, "RevisionPromoted", actionRollout, "revision %s is live with image %s", after.ActiveRevision, after.Image)
	}
	if b, a := before.Pods, after.Pods; b != nil && b.Desired != nil && *b.Desired != *a.Desired {
		r.normal(s, nil, "Scaled", actionApply, "from %d to %d pods", *b.Desired, *a.Desired)
	}
	r.announceOverrides(s, before, after)
	r.announceControl(s, before, after)
	if c := turned(before, after, v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse); c != nil {
		r.warning(s, "RefNotResolved", actionResolve, c.Reason+": "+c.Message)
	}
	r.announceCertificate(s, before, after)
	if c := turned(before, after, v1alpha1.ConditionProgrammed, metav1.ConditionFalse); c != nil {
		switch c.Reason {
		case v1alpha1.ReasonConfigRejected, v1alpha1.ReasonConfigNotAcked:
			r.warning(s, c.Reason, actionPush, c.Message)
		case v1alpha1.ReasonNameCollision:
			r.warning(s, c.Reason, actionApply, c.Message)
		default:
			r.warning(s, "ApplyFailed", actionApply, c.Reason+": "+c.Message)
		}
	}
	if c := turned(before, after, v1alpha1.ConditionStalled, metav1.ConditionTrue); c != nil {
		switch c.Reason {
		case v1alpha1.ReasonProgressDeadlineExceeded, v1alpha1.ReasonAnalysisInconclusive:
			r.warning(s, c.Reason, actionRollout, c.Message)
		}
	}
	if c := turned(before, after, v1alpha1.ConditionHealthy, metav1.ConditionFalse); c != nil {
		switch c.Reason {
		case v1alpha1.ReasonBrokerUnavailable:
			r.warning(s, c.Reason, actionObserve, c.Message)
		case v1alpha1.ReasonBrokerStorageFull:
			r.warning(s, v1alpha1.ReasonBrokerUnavailable, actionObserve, c.Reason+": "+c.Message)
		default:
			r.warning(s, "UnhealthyStable", actionObserve, c.Reason+": "+c.Message)
		}
	}
	if c := turned(before, after, v1alpha1.ConditionHealthy, metav1.ConditionUnknown); c != nil && c.Reason == v1alpha1.ReasonMetricsStale {
		r.warning(s, c.Reason, actionObserve, c.Message)
	}
	r.announceDrains(s, before, after)
	r.announceTrouble(s)
}

// announceNoWayBack tells once of a revision that would be taken back if there
// were another.
func (r *Reconciler) announceNoWayBack(s *scope) {
	f := s.decision.NoWayBack
	if f == nil || s.memory.noWayBack == s.desired+f.Reason {
		return
	}
	s.memory.noWayBack = s.desired + f.Reason
	r.warning(s, "RollbackUnavailable", actionRollback,
		s.desired+" is bad, and no revision before it was healthy: it stays until spec changes; "+f.Reason+": "+f.Message)
}

// announceCertificate tells that another certificate is in use on all pods.
func (r *Reconciler) announceCertificate(s *scope, before, after *v1alpha1.StreamGatewayStatus) {
	b := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionResolvedRefs)
	a := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionResolvedRefs)
	if b != nil && a.Status == metav1.ConditionTrue && a.Message != "" && a.Message != b.Message {
		r.normal(s, nil, "CertificateInUse", actionResolve, "%s", a.Message)
	}
}

// announceOverrides tells of flags that a person has turned off, or given back.
func (r *Reconciler) announceOverrides(s *scope, before, after *v1alpha1.StreamGatewayStatus) {
	from := func(status *v1alpha1.StreamGatewayStatus, source v1alpha1.FeatureSource) (names []string) {
		for _, f := range status.Features {
			if f.Source == source {
				names = append(names, f.Name)
			}
		}
		return names
	}
	was, is := from(before, v1alpha1.FeatureSourceOverride), from(after, v1alpha1.FeatureSourceOverride)
	without := func(names, others []string) string {
		return strings.Join(slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(others, n) }), ", ")
	}
	if names := without(is, was); names != "" {
		r.normal(s, nil, "FeatureDisabled", actionOverride, "turned off on every pod by spec.override: %s", names)
	}
	if names := without(was, is); names != "" {
		r.normal(s, nil, "FeatureRestored", actionOverride, "as spec.features says again: %s", names)
	}
	if names := without(from(before, v1alpha1.FeatureSourceRollback), from(after, v1alpha1.FeatureSourceRollback)); names != "" {
		r.normal(s, nil, "FeatureRestored", actionRollout, "another revision has them as spec.features says: %s", names)
	}
}

// announceTrouble tells of pods that do not come up, once for each trouble.
// While an older template serves, no condition but a message shows it.
func (r *Reconciler) announceTrouble(s *scope) {
	reason, message := trouble(s.pods)
	if told := reason + message; told != s.memory.trouble {
		s.memory.trouble = told
		if reason == v1alpha1.ReasonImagePullFailed || reason == v1alpha1.ReasonPodsCrashing {
			r.warning(s, reason, actionRollout, message)
		}
	}
}

// turned is the condition if it has come to this status, or to another reason
// of it.
func turned(before, after *v1alpha1.StreamGatewayStatus, kind string, status metav1.ConditionStatus) *metav1.Condition {
	a := meta.FindStatusCondition(after.Conditions, kind)
	b := meta.FindStatusCondition(before.Conditions, kind)
	if a == nil || a.Status != status || b != nil && b.Status == status && b.Reason == a.Reason {
		return nil
	}
	return a
}
