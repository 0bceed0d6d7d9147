package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group; it prefixes labels and annotations as well.
const Group = "streamgateway.io"

// GroupVersion is the group and version of this package's types.
var GroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

// SchemeGroupVersion is GroupVersion under the name that generated apply
// configurations look for.
var SchemeGroupVersion = GroupVersion

// AddToScheme registers the types of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &StreamGateway{}, &StreamGatewayList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
