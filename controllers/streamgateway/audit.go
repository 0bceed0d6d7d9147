package streamgateway

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// noLoss judges what pods find that publish events to themselves and read them
// back. A pod that cannot say it proves nothing.
func (s *scope) noLoss() verdict {
	var oldest time.Time
	var stale, young []string
	for _, a := range s.summary.Audits {
		switch {
		case a.Broken:
			return no(v1alpha1.ReasonLossDetected, "pod %s: %s", a.Pod, a.Message)
		case a.Stale:
			stale = append(stale, a.Pod)
		case a.LastProof.IsZero():
			young = append(young, a.Pod)
		case oldest.IsZero() || a.LastProof.Before(oldest):
			oldest = a.LastProof
		}
	}
	switch {
	case len(s.summary.Audits) == 0 && s.summary.Pods == 0 && s.readyPods() > 0:
		return s.lossBefore()
	case len(stale) > 0:
		return unknown(v1alpha1.ReasonAuditStale, "no proof for a minute from %s", strings.Join(stale, ", "))
	case oldest.IsZero() || len(young) > 0:
		return unknown(v1alpha1.ReasonPending, "no proof yet from every pod")
	}
	return yes(v1alpha1.ReasonVerified, "last proof at %s; %d of %d pods audit themselves",
		oldest.UTC().Format(time.RFC3339), len(s.summary.Audits), s.summary.Pods)
}

// lossBefore is what status says already while no pod answers, until that is
// too old to mean anything.
func (s *scope) lossBefore() verdict {
	c := s.before(v1alpha1.ConditionNoLossVerified)
	switch {
	case c == nil:
		return unknown(v1alpha1.ReasonPending, "no pod has told yet")
	case s.now.Sub(s.memory.lastAnswer(s.now)) >= time.Minute:
		return unknown(v1alpha1.ReasonAuditStale, "no pod has told for a minute")
	}
	return verdict{status: c.Status, reason: c.Reason, message: c.Message}
}

// onlyProved tells whether nothing has changed but the time of the last proof.
func onlyProved(before, after *v1alpha1.StreamGatewayStatus) bool {
	same := after.DeepCopy()
	sameProof(before, same)
	return equality.Semantic.DeepEqual(before, same)
}

// sameProof takes the time of the last proof for the one that status tells
// already: an idle gateway is not written to only to say that it still loses
// nothing.
func sameProof(before, after *v1alpha1.StreamGatewayStatus) {
	b := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionNoLossVerified)
	a := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionNoLossVerified)
	if a != nil && b != nil && a.Status == metav1.ConditionTrue && a.Status == b.Status && a.Reason == b.Reason {
		a.Message = b.Message
	}
}
