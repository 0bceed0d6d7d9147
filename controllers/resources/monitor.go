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
// not a port of the Service. It is nil when nobody asked for it.
func Monitor(sg *v1alpha1.StreamGateway) *unstructured.Unstructured {
	if sg.Spec.Observability.ServiceMonitor != v1alpha1.SwitchEnabled {
		return nil
	}
	return guest(sg, MonitorKind(), map[string]any{
		"selector":  map[string]any{"matchLabels": anyMap(labels(sg.Name))},
		"endpoints": []any{map[string]any{"targetPort": AdminPortName, "path": "/metrics"}},
	})
}

// guest is an object of another project's kind. Its shape is written out here:
// that project's types would be a dependency for a few fields.
func guest(sg *v1alpha1.StreamGateway, kind schema.GroupVersionKind, spec map[string]any) *unstructured.Unstructured {
	own := *owner(sg)
	u := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{
			"name": sg.Name, "namespace": sg.Namespace, "labels": anyMap(labels(sg.Name)),
			"ownerReferences": []any{map[string]any{
				"apiVersion": *own.APIVersion, "kind": *own.Kind, "name": *own.Name, "uid": string(*own.UID),
				"controller": true, "blockOwnerDeletion": *own.BlockOwnerDeletion,
			}},
		},
		"spec": spec,
	}}
	u.SetGroupVersionKind(kind)
	return u
}

func anyMap(from map[string]string) map[string]any {
	to := map[string]any{}
	for key, value := range from {
		to[key] = value
	}
	return to
}
