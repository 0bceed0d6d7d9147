package streamgateway

import (
	"cmp"
	"fmt"
	"slices"
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
		return no(bad.reason, "pod %s: %s", bad.pod, bad.message)
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
	if secret := s.untold(); secret != "" && s.replicas() > 0 {
		if c := s.before(v1alpha1.ConditionResolvedRefs); c != nil && c.ObservedGeneration == s.sg.Generation {
			return verdict{status: c.Status, reason: c.Reason, message: c.Message} // nothing new is known
		}
		return unknown(v1alpha1.ReasonPending, "no pod has told yet whether it can use Secret %s", secret)
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

// logSecret is a Secret by which pods come to their log, empty: they need none.
func (s *scope) logSecret() string {
	nats := s.plan.Cold.Broker.NATS
	return cmp.Or(nats.CredentialsSecretRef.Name, nats.CASecretRef.Name)
}

// certificates are those of the pods of the wanted template.
func (s *scope) certificates() []fleet.Certificate {
	if !s.usesTLS() {
		return nil
	}
	wanted := s.wantedPods()
	return slices.DeleteFunc(slices.Clone(s.summary.Certificates), func(c fleet.Certificate) bool { return !wanted[c.Pod] })
}

// brokers are what pods of the wanted template say of a log that they share.
func (s *scope) brokers() []fleet.Broker {
	wanted := s.wantedPods()
	return slices.DeleteFunc(slices.Clone(s.summary.Brokers), func(b fleet.Broker) bool { return !wanted[b.Pod] })
}

// wantedPods are those of the wanted template, by name.
func (s *scope) wantedPods() map[string]bool {
	wanted := map[string]bool{}
	for i := range s.pods {
		if s.pods[i].Labels[resources.LabelTemplateHash] == s.plan.TemplateHash {
			wanted[s.pods[i].Name] = true
		}
	}
	return wanted
}

// untold is a Secret that spec names and that no pod has told anything of, empty:
// there is none.
func (s *scope) untold() string {
	switch {
	case s.usesTLS() && len(s.certificates()) == 0:
		return s.plan.Cold.Listener.TLS.SecretName
	case s.logSecret() != "" && len(s.brokers()) == 0:
		return s.logSecret()
	}
	return ""
}

// secretFault is a Secret that a pod cannot use.
type secretFault struct{ pod, reason, message string }

// secretTrouble is a Secret that a wanted pod cannot use; nil: none.
func (s *scope) secretTrouble() *secretFault {
	for _, c := range s.certificates() {
		if c.Reason != "" {
			return &secretFault{c.Pod, c.Reason, c.Message}
		}
	}
	for _, b := range s.brokers() {
		if b.Reason != "" {
			return &secretFault{b.Pod, b.Reason, b.Message}
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
	if !s.usesTLS() && s.logSecret() == "" {
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

// delayedByLog tells whether no deadline may count against the wanted pods: the
// log that others serve from fails for these, too, or did so for less than a
// deadline ago.
func (s *scope) delayedByLog() bool {
	if !resources.Shared(s.plan.Cold.Broker) {
		return false
	}
	wanted, own, others := s.wantedPods(), false, false
	for _, pod := range slices.Concat(s.summary.BrokerDown, s.summary.BrokerFull) {
		own, others = own || wanted[pod], others || !wanted[pod]
	}
	c := s.before(v1alpha1.ConditionHealthy)
	lately := c != nil && s.now.Sub(c.LastTransitionTime.Time) < s.progressDeadline()
	return own && others || !own && !others && lately
}
