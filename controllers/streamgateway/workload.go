package streamgateway

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
)

// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=get;list;watch;create;patch;delete

// workload keeps a Deployment for the wanted template, and those of other
// templates for as long as they are needed: to serve, or for a way back.
func (r *Reconciler) workload(ctx context.Context, s *scope) error {
	if s.document.Serial == 0 {
		return nil // pods would wait for a ConfigMap that is not there
	}
	live := &appsv1.Deployment{}
	result, err := ensure(ctx, r, s, live, resources.Deployment(s.sg, s.plan, s.size()), appsv1ac.ExtractDeployment)
	if result == blocked {
		return err // the others serve on
	}
	if result == written && live.UID == "" {
		r.normal(s, live, "RolloutStarted", actionRollout, "revision %s: %s starts with image %s", s.plan.Revision, live.Name, s.plan.Image)
	}
	errs := []error{r.keepBase(ctx, s)}
	for _, d := range s.retired(live) {
		errs = append(errs, r.retire(ctx, s, d))
	}
	return errors.Join(errs...)
}

// kept is the Deployment of the stable revision's template while it is needed,
// nil if it is not, or if it is gone already and would have to be started.
func (s *scope) kept() *appsv1.Deployment {
	if s.base == nil || !s.decision.KeepBase {
		return nil
	}
	return s.live(s.other())
}

// keepBase keeps the stable revision's pods at their number.
func (r *Reconciler) keepBase(ctx context.Context, s *scope) error {
	d := s.kept()
	if d == nil {
		return nil
	}
	size := s.baseSize(d)
	result, err := ensure(ctx, r, s, &appsv1.Deployment{}, resources.Deployment(s.base.sg, s.base.plan, size), appsv1ac.ExtractDeployment)
	if result == written && d.Spec.Replicas != nil && size < *d.Spec.Replicas && size < s.replicas() {
		r.warning(s, "WarmPodsReduced", actionRollout, fmt.Sprintf(
			"there is no room for new pods beside those that stand by: of %s %d stay; going back will start pods", d.Name, size))
	}
	return err
}

// baseSize is the number of the stable revision's pods: as many as there are,
// and at least those that have to serve beside the wanted ones. Where new ones
// find no room, those that stand by give theirs, and do not come back.
func (s *scope) baseSize(d *appsv1.Deployment) int32 {
	size := s.replicas()
	if d.Spec.Replicas != nil {
		size = min(size, *d.Spec.Replicas)
	}
	size = max(size, s.replicas()-s.size())
	if s.cramped() {
		ready := int32(countReady(s.podsOf(s.plan.TemplateHash)))
		size = max(size-s.standing(), s.replicas()-ready)
	}
	return min(size, *s.base.sg.Spec.Gateway.Replicas) // which is one for pods with a log of their own
}

// cramped tells whether wanted pods find no node, or no room in a quota.
func (s *scope) cramped() bool {
	if reason, _ := s.podsRefused(); reason == v1alpha1.ReasonQuotaExceeded {
		return true
	}
	var own []corev1.Pod
	for _, p := range s.podsOf(s.plan.TemplateHash) {
		own = append(own, *p)
	}
	reason, _ := trouble(own)
	return reason == v1alpha1.ReasonUnschedulable
}

// retired are the Deployments that have nothing left to do: all other ones once
// the wanted one is complete, but not the one that stands by; those that
// another one than the wanted makes up for; and those that never got their pods
// ready, since a newer spec has overtaken them.
func (s *scope) retired(wanted *appsv1.Deployment) []*appsv1.Deployment {
	kept := s.kept()
	madeUp := complete(wanted, s.replicas()) || kept != nil && complete(kept, s.replicas())
	var out []*appsv1.Deployment
	for i := range s.deployments {
		d := &s.deployments[i]
		if d.Name != wanted.Name && d != kept && (madeUp || !served(d)) {
			out = append(out, d)
		}
	}
	return out
}

// complete tells whether all pods of a Deployment are there and ready.
func complete(d *appsv1.Deployment, replicas int32) bool {
	return d.Status.ObservedGeneration >= d.Generation && d.UID != "" &&
		d.Status.UpdatedReplicas == replicas && d.Status.ReadyReplicas == replicas && d.Status.Replicas == replicas
}

// served tells whether all pods of a Deployment were ready once, ready now or
// not: such pods hold a log that clients resume from.
func served(d *appsv1.Deployment) bool {
	c := condition(d, appsv1.DeploymentProgressing)
	return c != nil && c.Status == corev1.ConditionTrue && c.Reason == "NewReplicaSetAvailable"
}

func condition(d *appsv1.Deployment, kind appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range d.Status.Conditions {
		if d.Status.Conditions[i].Type == kind {
			return &d.Status.Conditions[i]
		}
	}
	return nil
}

// retire deletes a Deployment; its pods drain in their own grace period.
func (r *Reconciler) retire(ctx context.Context, s *scope, d *appsv1.Deployment) error {
	err := r.Delete(ctx, d, client.PropagationPolicy(metav1.DeletePropagationBackground), client.Preconditions{UID: &d.UID})
	if err != nil {
		return client.IgnoreNotFound(fmt.Errorf("deleting Deployment %s: %w", d.Name, err))
	}
	delete(s.memory.children, "Deployment "+d.Name)
	return nil
}
