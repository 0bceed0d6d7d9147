package resources

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// MonitorKind is the Prometheus operator's ServiceMonitor, which a cluster may
// know or not.
func MonitorKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "ServiceMonitor"}
}

// Monitor has every pod behind the Service scraped on its admin port, which is
// not a port of the Service. It is nil when nobody asked for it. Its shape is
// written out here: the Prometheus operator's types would be a dependency for
// three fields.
func Monitor(sg *v1alpha1.StreamGateway) *unstructured.Unstructured {
	if sg.Spec.Observability.ServiceMonitor != v1alpha1.SwitchEnabled {
		return nil
	}
	all := func(from map[string]string) map[string]any {
		to := map[string]any{}
		for key, value := range from {
			to[key] = value
		}
		return to
	}
	own := *owner(sg)
	u := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{
			"name": sg.Name, "namespace": sg.Namespace, "labels": all(labels(sg.Name)),
			"ownerReferences": []any{map[string]any{
				"apiVersion": *own.APIVersion, "kind": *own.Kind, "name": *own.Name, "uid": string(*own.UID),
				"controller": true, "blockOwnerDeletion": *own.BlockOwnerDeletion,
			}},
		},
		"spec": map[string]any{
			"selector":  map[string]any{"matchLabels": all(labels(sg.Name))},
			"endpoints": []any{map[string]any{"targetPort": AdminPortName, "path": "/metrics"}},
		},
	}}
	u.SetGroupVersionKind(MonitorKind())
	return u
}
