// Package resources turns a StreamGateway into the objects that run it: pure
// builders, one file for each object, from a spec as the API server stores it
// (defaults filled in) to an apply configuration.
//
// It has no client, reads no clock and decides nothing about when an object is
// applied: that is controllers/streamgateway, its only caller. What a gateway
// pod reads is in gateway/config; the translation from spec is here, so that a
// new version of the custom resource never touches the data plane.
package resources

import (
	"maps"

	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// Labels of every object that belongs to a StreamGateway.
const (
	LabelName         = v1alpha1.Group + "/name"
	LabelComponent    = v1alpha1.Group + "/component"
	LabelTemplateHash = v1alpha1.Group + "/template-hash" // on Deployments and pods

	// ComponentGateway is the component of everything in this package.
	ComponentGateway = "gateway"
)

// AnnotationBuiltInImage on a Deployment is the image of its template, when
// that was the operator's built-in image and not the spec's. It pins the image
// to what the pods were made with, and, unlike the container's image, a person
// who edits the pods does not edit it.
const AnnotationBuiltInImage = v1alpha1.Group + "/built-in-image"

// ReviewersName is the ClusterRole, and its ClusterRoleBinding, by which
// gateways may review tokens. One for each installation, made with it; the
// operator keeps the binding's subjects.
const ReviewersName = "streamgateway-token-reviewer"

// ConfigName is the name of the ConfigMap that the pods of a StreamGateway read.
func ConfigName(gateway string) string { return gateway + "-config" }

// AccountName is the name of the pods' ServiceAccount, Role and RoleBinding.
func AccountName(gateway string) string { return gateway + "-gateway" }

// DeploymentName is the name of the Deployment of one template.
func DeploymentName(gateway, templateHash string) string { return gateway + "-" + templateHash }

// Selector selects the pods of a StreamGateway, of any template.
func Selector(gateway string) map[string]string {
	return map[string]string{LabelName: gateway, LabelComponent: ComponentGateway}
}

func templateSelector(gateway, templateHash string) map[string]string {
	selector := Selector(gateway)
	selector[LabelTemplateHash] = templateHash
	return selector
}

func labels(gateway string) map[string]string {
	all := map[string]string{
		"app.kubernetes.io/name":       "streamgateway",
		"app.kubernetes.io/instance":   gateway,
		"app.kubernetes.io/component":  ComponentGateway,
		"app.kubernetes.io/managed-by": "streamgateway-operator",
	}
	maps.Copy(all, Selector(gateway))
	return all
}

func templateLabels(gateway, templateHash string) map[string]string {
	all := labels(gateway)
	all[LabelTemplateHash] = templateHash
	return all
}

// owner makes the garbage collector remove the object with its StreamGateway.
func owner(sg *v1alpha1.StreamGateway) *metav1ac.OwnerReferenceApplyConfiguration {
	return metav1ac.OwnerReference().
		WithAPIVersion(v1alpha1.GroupVersion.String()).
		WithKind("StreamGateway").
		WithName(sg.Name).
		WithUID(sg.UID).
		WithController(true).
		WithBlockOwnerDeletion(true)
}
