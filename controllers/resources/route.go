package resources

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// RouteKind is the Gateway API's HTTPRoute, which a cluster may know or not.
func RouteKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"}
}

// ParentKind is what an HTTPRoute attaches to.
func ParentKind() schema.GroupVersionKind {
	kind := RouteKind()
	kind.Kind = "Gateway"
	return kind
}

// Route has Gateways of the cluster hand requests on to the Service, for as long
// as an answer takes: with the usual limit they would cut every stream. It is
// nil when nobody asked for it.
func Route(sg *v1alpha1.StreamGateway) *unstructured.Unstructured {
	route := sg.Spec.Listener.Route
	if route == nil {
		return nil
	}
	var parents, hostnames []any
	for _, p := range route.ParentRefs {
		// Group and kind are said although they have defaults, so that what is
		// there can be compared with what is wanted.
		parent := map[string]any{"group": ParentKind().Group, "kind": ParentKind().Kind, "name": p.Name}
		if p.Namespace != "" {
			parent["namespace"] = p.Namespace
		}
		if p.SectionName != "" {
			parent["sectionName"] = p.SectionName
		}
		parents = append(parents, parent)
	}
	for _, h := range route.Hostnames {
		hostnames = append(hostnames, string(h))
	}
	spec := map[string]any{
		"parentRefs": parents,
		"rules": []any{map[string]any{
			"matches":     []any{map[string]any{"path": map[string]any{"type": "PathPrefix", "value": route.PathPrefix}}},
			"backendRefs": []any{map[string]any{"name": sg.Name, "port": int64(sg.Spec.Listener.Service.Port)}},
			"timeouts":    map[string]any{"request": "0s"},
		}},
	}
	if len(hostnames) > 0 {
		spec["hostnames"] = hostnames
	}
	return guest(sg, RouteKind(), spec)
}
