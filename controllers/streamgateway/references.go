package streamgateway

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/fleet"
	"github.com/streamgateway/streamgateway/controllers/resources"
)

// resolvedRefs: what spec refers to is there. The operator may not read
// Secrets: pods mount them, and say what is wrong with them.
func (s *scope) resolvedRefs() verdict {
	if bad := s.secretTrouble(); bad != nil {
		return no(bad.Reason, "pod %s: %s", bad.Pod, bad.Message)
	}
	if bad := s.keySetTrouble(); bad != nil {
		return no(bad.reason, "%s", bad.message)
	}
	if faults := s.summary.KeysFaults; len(faults) > 0 {
		return no(v1alpha1.ReasonInvalidJWKS, "pod %s: %s", faults[0].Pod, faults[0].Message)
	}
	if s.usesTLS() && len(s.certificates()) == 0 && s.replicas() > 0 {
		if c := s.before(v1alpha1.ConditionResolvedRefs); c != nil && c.ObservedGeneration == s.sg.Generation {
			return verdict{status: c.Status, reason: c.Reason, message: c.Message} // nothing new is known
		}
		return unknown(v1alpha1.ReasonPending, "no pod has told yet whether it can use Secret %s", s.plan.Cold.Listener.TLS.SecretName)
	}
	return yes(v1alpha1.ReasonResolvedRefs, "")
}

func (s *scope) usesTLS() bool { return s.plan.Cold.Listener.TLS.SecretName != "" }

// certificates are those of the pods of the wanted template.
func (s *scope) certificates() []fleet.Certificate {
	wanted := map[string]bool{}
	for i := range s.pods {
		if s.pods[i].Labels[resources.LabelTemplateHash] == s.plan.TemplateHash {
			wanted[s.pods[i].Name] = true
		}
	}
	var out []fleet.Certificate
	for _, c := range s.summary.Certificates {
		if s.usesTLS() && wanted[c.Pod] {
			out = append(out, c)
		}
	}
	return out
}

// secretTrouble is a certificate that a wanted pod cannot use; nil: none.
func (s *scope) secretTrouble() *fleet.Certificate {
	for _, c := range s.certificates() {
		if c.Reason != "" {
			return &c
		}
	}
	return nil
}

// missesRefs tells whether the wanted pods wait for something that spec refers
// to. It heals when that appears.
func (s *scope) missesRefs() bool {
	if s.unready {
		return true
	}
	d := s.deployment()
	return s.secretTrouble() != nil && (d == nil || !complete(d, s.replicas()))
}

// delayedByRefs tells whether no deadline may count against the wanted pods:
// they miss something, or did so lately, and have it for less than a deadline.
func (s *scope) delayedByRefs() bool {
	if !s.usesTLS() {
		return false
	}
	c := s.before(v1alpha1.ConditionResolvedRefs)
	switch {
	case s.missesRefs():
		return true
	case c == nil || c.Status == metav1.ConditionUnknown:
		return false
	}
	return c.Status == metav1.ConditionFalse || s.now.Sub(c.LastTransitionTime.Time) < s.progressDeadline()
}
