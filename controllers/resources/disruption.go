package resources

import (
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// DisruptionBudget keeps node drains from taking more than one pod (a quarter
// above four) at a time. It is nil when there is nothing to keep: one pod that
// may not be evicted would block a node drain for good. It covers the pods of
// the serving template only, and lets go of pods that serve nobody anyway.
func DisruptionBudget(sg *v1alpha1.StreamGateway, servingTemplate string) *policyv1ac.PodDisruptionBudgetApplyConfiguration {
	g := sg.Spec.Gateway
	if *g.Replicas <= 1 || g.DisruptionBudget != v1alpha1.SwitchEnabled {
		return nil
	}
	unavailable := intstr.FromInt32(1)
	if *g.Replicas > 4 {
		unavailable = intstr.FromString("25%")
	}
	return policyv1ac.PodDisruptionBudget(sg.Name, sg.Namespace).
		WithLabels(labels(sg.Name)).
		WithOwnerReferences(owner(sg)).
		WithSpec(policyv1ac.PodDisruptionBudgetSpec().
			WithMaxUnavailable(unavailable).
			WithUnhealthyPodEvictionPolicy(policyv1.AlwaysAllow).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(templateSelector(sg.Name, servingTemplate))))
}
