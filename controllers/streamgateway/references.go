package streamgateway

import (
	"fmt"
	"time"

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
	if s.route != nil && s.route.missing != "" {
		return no(v1alpha1.ReasonParentNotFound, "Gateway %s, which listener.route names, is not there", s.route.missing)
	}
	if pods := s.summary.SharedInvalid; len(pods) > 0 {
		return no(v1alpha1.ReasonInvalidCredentials, "pod %s cannot use Secret %s, which somebody has changed; delete it, and it is made anew", pods[0], resources.KeysName(s.sg.Name))
	}
	if s.usesTLS() && len(s.certificates()) == 0 && s.replicas() > 0 {
		if c := s.before(v1alpha1.ConditionResolvedRefs); c != nil && c.ObservedGeneration == s.sg.Generation {
			return verdict{status: c.Status, reason: c.Reason, message: c.Message} // nothing new is known
		}
		return unknown(v1alpha1.ReasonPending, "no pod has told yet whether it can use Secret %s", s.plan.Cold.Listener.TLS.SecretName)
	}
	if c := s.firstToExpire(); c != nil {
		return yes(v1alpha1.ReasonResolvedRefs, "the certificate of Secret %s is valid until %s",
			s.plan.Cold.Listener.TLS.SecretName, c.NotAfter.UTC().Format(time.RFC3339))
	}
	return yes(v1alpha1.ReasonResolvedRefs, "")
}

// firstToExpire is the certificate in use, of all wanted pods, that expires
// first; nil: none is in use.
func (s *scope) firstToExpire() *fleet.Certificate {
	var first *fleet.Certificate
	for _, c := range s.certificates() {
		if !c.NotAfter.IsZero() && (first == nil || c.NotAfter.Before(first.NotAfter)) {
			first = &c
		}
	}
	return first
}

// expiryNotice is how long before its end a certificate should have been
// renewed: a tenth of its time, which leaves those that are made for a day in
// peace, and two weeks at most.
func expiryNotice(c *fleet.Certificate) time.Duration {
	return min(c.NotAfter.Sub(c.NotBefore)/10, 14*24*time.Hour)
}

// announceExpiry tells once of each certificate that is about to expire.
func (r *Reconciler) announceExpiry(s *scope) {
	c := s.firstToExpire()
	if c == nil || c.Reason != "" || s.now.Before(c.NotAfter.Add(-expiryNotice(c))) || s.memory.expiring.Equal(c.NotAfter) {
		return
	}
	s.memory.expiring = c.NotAfter
	r.warning(s, "CertificateExpiring", actionResolve, fmt.Sprintf("the certificate of Secret %s expires at %s and has not been renewed",
		s.plan.Cold.Listener.TLS.SecretName, c.NotAfter.UTC().Format(time.RFC3339)))
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
