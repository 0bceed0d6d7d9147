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

	"github.com/streamgateway/streamgateway/controllers/resources"
)

// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=get;list;watch;create;patch;delete

// workload keeps one Deployment for the wanted template, and those of older
// templates for as long as they are needed to serve.
func (r *Reconciler) workload(ctx context.Context, s *scope) error {
	if s.document.Serial == 0 {
		return nil // pods would wait for a ConfigMap that is not there
	}
	live := &appsv1.Deployment{}
	result, err := ensure(ctx, r, s, live, resources.Deployment(s.sg, s.plan), appsv1ac.ExtractDeployment)
	if result == blocked {
		return err // the others serve on
	}
	if result == written && live.UID == "" {
		r.normal(s, live, "RolloutStarted", actionRollout, "revision %s: %s starts with image %s", s.plan.Revision, live.Name, s.plan.Image)
	}
	var errs []error
	for _, d := range retired(s.deployments, live, s.replicas()) {
		errs = append(errs, r.retire(ctx, s, d))
	}
	return errors.Join(errs...)
}

// retired are the Deployments that have nothing left to do: all of the older
// ones once the wanted one is complete; before that, those that never got
// their pods ready, since a newer spec has overtaken them.
func retired(deployments []appsv1.Deployment, wanted *appsv1.Deployment, replicas int32) []*appsv1.Deployment {
	var out []*appsv1.Deployment
	for i := range deployments {
		d := &deployments[i]
		if d.Name != wanted.Name && (complete(wanted, replicas) || !served(d)) {
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
