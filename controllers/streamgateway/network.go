package streamgateway

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/streamgateway/streamgateway/controllers/resources"
)

// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch;create;patch

// network gives clients an address.
func (r *Reconciler) network(ctx context.Context, s *scope) error {
	live := &corev1.Service{}
	result, err := ensure(ctx, r, s, live, resources.Service(s.sg), corev1ac.ExtractService)
	if result != blocked && live.UID != "" {
		s.service = live
	}
	return err
}
