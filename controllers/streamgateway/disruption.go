package streamgateway

import (
	"context"
	"fmt"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/controllers/resources"
)

// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch;delete

// disruption keeps node drains from taking too many pods at a time.
func (r *Reconciler) disruption(ctx context.Context, s *scope) error {
	if budget := resources.DisruptionBudget(s.sg, s.servingTemplate()); budget != nil {
		_, err := ensure(ctx, r, s, &policyv1.PodDisruptionBudget{}, budget, policyv1ac.ExtractPodDisruptionBudget)
		return err
	}
	live := &policyv1.PodDisruptionBudget{}
	err := r.Get(ctx, client.ObjectKeyFromObject(s.sg), live)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("reading PodDisruptionBudget %s: %w", s.sg.Name, err)
	case !metav1.IsControlledBy(live, s.sg):
		return nil
	}
	delete(s.memory.children, "PodDisruptionBudget "+live.Name)
	if err := r.Delete(ctx, live, client.Preconditions{UID: &live.UID}); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("deleting PodDisruptionBudget %s: %w", live.Name, err))
	}
	return nil
}

// servingTemplate is the template that clients are on: the wanted one once its
// pods are complete, before that the newest older one that was.
func (s *scope) servingTemplate() string {
	if d := s.deployment(); d != nil && complete(d, s.replicas()) {
		return s.plan.TemplateHash
	}
	for i := len(s.deployments) - 1; i >= 0; i-- {
		if served(&s.deployments[i]) {
			return s.deployments[i].Labels[resources.LabelTemplateHash]
		}
	}
	return s.plan.TemplateHash
}
