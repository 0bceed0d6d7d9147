package resources

import (
	"encoding/json"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// extend adds spec.gateway.template to the pods. What the operator sets itself
// comes after it, or is refused by the schema.
func extend(pods *corev1ac.PodTemplateSpecApplyConfiguration, sg *v1alpha1.StreamGateway, p *Plan) {
	t := sg.Spec.Gateway.Template
	if t == nil {
		return
	}
	own := pods.Labels
	pods.Labels = nil
	pods.WithLabels(t.Labels).WithLabels(own).WithAnnotations(t.Annotations)
	spec := pods.Spec.WithNodeSelector(t.NodeSelector)
	if t.PriorityClassName != "" {
		spec.WithPriorityClassName(t.PriorityClassName)
	}
	if t.Affinity != nil {
		spec.WithAffinity(configuration[corev1ac.AffinityApplyConfiguration](t.Affinity))
	}
	for i := range t.Tolerations {
		spec.WithTolerations(configuration[corev1ac.TolerationApplyConfiguration](&t.Tolerations[i]))
	}
	for i := range t.TopologySpreadConstraints {
		c := configuration[corev1ac.TopologySpreadConstraintApplyConfiguration](&t.TopologySpreadConstraints[i])
		if c.LabelSelector == nil {
			c.WithLabelSelector(metav1ac.LabelSelector().WithMatchLabels(templateSelector(sg.Name, p.TemplateHash)))
		}
		spec.WithTopologySpreadConstraints(c)
	}
	for _, v := range t.Env {
		env := corev1ac.EnvVar().WithName(v.Name)
		if value := ptr.Deref(v.Value, ""); value != "" { // an empty one is stored as none
			env.WithValue(value)
		}
		spec.Containers[0].WithEnv(env)
	}
}

// configuration is an object of Kubernetes as its apply configuration, which
// has the same fields under the same names.
func configuration[T any](of any) *T {
	out := new(T)
	text, err := json.Marshal(of)
	if err == nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		// One is generated from the other, so no object can do this.
		panic("resources: reading an apply configuration: " + err.Error())
	}
	return out
}
