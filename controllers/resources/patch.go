package resources

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	kubejson "sigs.k8s.io/json"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// Fault is why pods cannot be made as spec.gateway.template says.
type Fault struct {
	Reason  string // of the condition Accepted
	Message string
}

// podTemplate is the pods of a plan, spec.gateway.template.patch last. One that
// cannot be followed is left out; Plan.Fault says why.
func podTemplate(sg *v1alpha1.StreamGateway, p *Plan) *corev1ac.PodTemplateSpecApplyConfiguration {
	pods := plainPods(sg, p)
	if merged, fault := patched(pods, sg, p); fault == nil {
		return merged
	}
	return pods
}

// patched merges the patch of spec over pods.
func patched(pods *corev1ac.PodTemplateSpecApplyConfiguration, sg *v1alpha1.StreamGateway, p *Plan) (*corev1ac.PodTemplateSpecApplyConfiguration, *Fault) {
	t := sg.Spec.Gateway.Template
	if t == nil || t.Patch == nil || t.Patch.Value == nil {
		return pods, nil
	}
	invalid := func(err error) (*corev1ac.PodTemplateSpecApplyConfiguration, *Fault) {
		return nil, &Fault{v1alpha1.ReasonInvalidPodTemplatePatch, "spec.gateway.template.patch: " + err.Error()}
	}
	plain, err := json.Marshal(pods)
	if err != nil {
		return invalid(err)
	}
	merged, err := mergeInto(plain, t.Patch)
	if err != nil {
		return invalid(err)
	}
	var before, after corev1.PodTemplateSpec
	if err := json.Unmarshal(plain, &before); err != nil {
		return invalid(err)
	}
	if strict, err := kubejson.UnmarshalStrict(merged, &after); err != nil || len(strict) > 0 {
		return invalid(errors.Join(append(strict, err)...)) // a field that pods do not have is a typing error
	}
	if key := reservedKey(&after, templateLabels(sg.Name, p.TemplateHash)); key != "" {
		return nil, &Fault{v1alpha1.ReasonReservedKey, "spec.gateway.template.patch: " + key + " is the operator's own"}
	}
	if err := needed(&before, &after); err != nil {
		return invalid(err)
	}
	out, err := asStored(merged, &after)
	if err != nil {
		return invalid(err)
	}
	return out, nil
}

// asStored is merged in the words that the API server will give back: what it
// drops (an empty string, a false) left out, quantities in their usual form, and
// the protocol of ports, which is a part of their key, filled in. Otherwise the
// Deployment would look edited.
func asStored(merged []byte, typed *corev1.PodTemplateSpec) (*corev1ac.PodTemplateSpecApplyConfiguration, error) {
	var tree any
	if err := json.Unmarshal(merged, &tree); err != nil {
		return nil, err
	}
	kept, err := canonical(typed)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(common(tree, kept))
	if err != nil {
		return nil, err
	}
	out := &corev1ac.PodTemplateSpecApplyConfiguration{}
	if err := json.Unmarshal(text, out); err != nil {
		return nil, err
	}
	// The gateway first: it is what kubectl logs shows when nobody names a container.
	slices.SortStableFunc(out.Spec.Containers, func(a, b corev1ac.ContainerApplyConfiguration) int {
		return cmp.Compare(isSidecar(&a), isSidecar(&b))
	})
	for _, containers := range [][]corev1ac.ContainerApplyConfiguration{out.Spec.InitContainers, out.Spec.Containers} {
		for i := range containers {
			for j := range containers[i].Ports {
				if port := &containers[i].Ports[j]; port.Protocol == nil {
					port.WithProtocol(corev1.ProtocolTCP)
				}
			}
		}
	}
	return out, nil
}

// isSidecar is 1 for all containers but the gateway's.
func isSidecar(c *corev1ac.ContainerApplyConfiguration) int {
	if c.Name != nil && *c.Name == ContainerName {
		return 0
	}
	return 1
}

// common is the fields of tree that kept has too, with kept's values.
func common(tree, kept any) any {
	switch kept := kept.(type) {
	case map[string]any:
		fields, ok := tree.(map[string]any)
		if !ok {
			return kept
		}
		out := map[string]any{}
		for name, value := range fields {
			if also, ok := kept[name]; ok {
				out[name] = common(value, also)
			}
		}
		return out
	case []any:
		items, ok := tree.([]any)
		if !ok || len(items) != len(kept) {
			return kept
		}
		out := make([]any, len(kept))
		for i := range kept {
			out[i] = common(items[i], kept[i])
		}
		return out
	}
	return kept
}

func mergeInto(plain []byte, patch *v1alpha1.PodPatch) ([]byte, error) {
	if patch.Type != v1alpha1.PatchJSONMerge {
		return strategicpatch.StrategicMergePatch(plain, patch.Value.Raw, corev1.PodTemplateSpec{})
	}
	var tree, change any
	if err := json.Unmarshal(plain, &tree); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(patch.Value.Raw, &change); err != nil {
		return nil, err
	}
	return json.Marshal(jsonMerge(tree, change))
}

// jsonMerge is a JSON merge patch (RFC 7386).
func jsonMerge(tree, change any) any {
	changes, ok := change.(map[string]any)
	if !ok {
		return change
	}
	fields, ok := tree.(map[string]any)
	if !ok {
		fields = map[string]any{}
	}
	for name, value := range changes {
		if value == nil {
			delete(fields, name)
		} else {
			fields[name] = jsonMerge(fields[name], value)
		}
	}
	return fields
}

// reservedKey is a label or variable that is the operator's own and not as it
// set it; empty: there is none.
func reservedKey(pods *corev1.PodTemplateSpec, own map[string]string) string {
	for key, value := range own {
		if pods.Labels[key] != value {
			return "the label " + key
		}
	}
	for key := range pods.Labels {
		_, ours := own[key]
		if !ours && (strings.HasPrefix(key, v1alpha1.Group+"/") || strings.HasPrefix(key, "app.kubernetes.io/")) {
			return "the label " + key
		}
	}
	if c := gatewayOf(pods); c != nil {
		for _, v := range c.Env {
			if strings.HasPrefix(v.Name, "SG_") {
				return "the variable " + v.Name
			}
		}
	}
	return ""
}

func gatewayOf(pods *corev1.PodTemplateSpec) *corev1.Container {
	for i := range pods.Spec.Containers {
		if pods.Spec.Containers[i].Name == ContainerName {
			return &pods.Spec.Containers[i]
		}
	}
	return nil
}

// needed tells what a patch took away that pods cannot do without.
func needed(before, after *corev1.PodTemplateSpec) error {
	was, is := gatewayOf(before), gatewayOf(after)
	if is == nil {
		return fmt.Errorf("the container %s is gone", ContainerName)
	}
	for _, field := range []struct {
		name    string
		was, is any
		instead string
	}{
		{"image", was.Image, is.Image, "; set spec.gateway.image"},
		{"command", was.Command, is.Command, ""},
		{"args", was.Args, is.Args, ""},
		{"ports", was.Ports, is.Ports, "; set spec.listener.port and spec.observability.adminPort"},
		{"resources", was.Resources, is.Resources, "; set spec.gateway.resources"},
	} {
		if !equality.Semantic.DeepEqual(field.was, field.is) {
			return fmt.Errorf("%s of the container %s must stay as they are%s", field.name, ContainerName, field.instead)
		}
	}
	for _, v := range was.Env {
		if !containsEqual(is.Env, v) {
			return fmt.Errorf("the variable %s of the container %s must stay as it is", v.Name, ContainerName)
		}
	}
	for _, m := range was.VolumeMounts {
		if !containsEqual(is.VolumeMounts, m) {
			return fmt.Errorf("the mount of the volume %s must stay as it is", m.Name)
		}
	}
	for _, v := range before.Spec.Volumes {
		if !containsEqual(after.Spec.Volumes, v) {
			return fmt.Errorf("the volume %s must stay as it is", v.Name)
		}
	}
	return ownPortNames(after)
}

// ownPortNames keeps others from the names by which the operator, the Service
// and the NetworkPolicy find the gateway's ports.
func ownPortNames(pods *corev1.PodTemplateSpec) error {
	for _, c := range slices.Concat(pods.Spec.InitContainers, pods.Spec.Containers) {
		for _, port := range c.Ports {
			if c.Name != ContainerName && (port.Name == ClientPortName || port.Name == AdminPortName) {
				return fmt.Errorf("the container %s must give its port another name than %s", c.Name, port.Name)
			}
		}
	}
	return nil
}

func containsEqual[T any](list []T, item T) bool {
	return slices.ContainsFunc(list, func(other T) bool { return equality.Semantic.DeepEqual(other, item) })
}
