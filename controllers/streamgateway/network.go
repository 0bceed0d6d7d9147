package streamgateway

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/streamgateway/streamgateway/controllers/resources"
)

// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch;create;patch

// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;patch

// network gives clients an address, and closes the admin port to all others than
// the operator and who may scrape. An operator that runs outside of a cluster is
// nobody whom a policy could name: it leaves things as they are.
func (r *Reconciler) network(ctx context.Context, s *scope) error {
	live := &corev1.Service{}
	result, err := ensure(ctx, r, s, live, resources.Service(s.sg), corev1ac.ExtractService)
	if result != blocked && live.UID != "" {
		s.service = live
	}
	if r.Namespace == "" {
		return err
	}
	_, policyErr := ensure(ctx, r, s, &networkingv1.NetworkPolicy{}, resources.NetworkPolicy(s.sg, r.Namespace), networkingv1ac.ExtractNetworkPolicy)
	return errors.Join(err, policyErr)
}
