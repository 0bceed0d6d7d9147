package streamgateway_test

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// TestAddedTemplateIsWrittenOnce has the API server take every field, and the
// operator see that what is stored is what it asked for.
func TestAddedTemplateIsWrittenOnce(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{Gateway: &v1alpha1.Gateway{Template: &v1alpha1.PodTemplate{
		Labels: map[string]string{"team": "pricing"}, Annotations: map[string]string{"example.com/inject": "false"},
		NodeSelector:      map[string]string{"kubernetes.io/arch": "amd64"},
		Tolerations:       []corev1.Toleration{{Key: "edge", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
		Affinity:          &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{}},
		PriorityClassName: "system-cluster-critical",
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{
			{MaxSkew: 1, TopologyKey: "topology.kubernetes.io/zone", WhenUnsatisfiable: corev1.ScheduleAnyway}},
		Env: []v1alpha1.EnvVar{{Name: "GODEBUG", Value: ptr.To("http2debug=0")}, {Name: "EMPTY", Value: ptr.To("")}, {Name: "ABSENT"}},
	}}})
	d := w.deployment(builtInImage)
	pod := d.Spec.Template
	if pod.Labels["team"] != "pricing" || len(pod.Spec.Containers[0].Env) != 6 || pod.Spec.Affinity.PodAntiAffinity == nil ||
		pod.Spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels["streamgateway.io/name"] != "prices" {
		t.Errorf("the template is %+v", pod)
	}
	w.serve(builtInImage)
	time.Sleep(3 * time.Second) // passes enough to write it again
	writes := 0
	for _, line := range w.requests.since(0) {
		if strings.HasPrefix(line, "PATCH ") && strings.HasSuffix(line, "/deployments/"+d.Name) {
			writes++
		}
	}
	if live := must(get[appsv1.Deployment](w, d.Name)); writes != 1 || live.Generation != d.Generation {
		t.Errorf("the Deployment was written %d times, its generation is %d", writes, live.Generation)
	}
}
