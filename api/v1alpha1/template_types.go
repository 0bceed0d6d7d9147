package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// PodTemplate is what is added to the pods of a gateway.
//
// +kubebuilder:validation:MinProperties=1
type PodTemplate struct {
	// labels are added to the pods, at most 32. Keys of streamgateway.io/ and
	// app.kubernetes.io/ are the operator's own and refused. Effect: restart.
	// +streamgateway:class=restart
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('streamgateway.io/') && !k.startsWith('app.kubernetes.io/'))",message="keys of streamgateway.io/ and app.kubernetes.io/ are the operator's own"
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// annotations are added to the pods, at most 32: what meshes and scrapers
	// read. Effect: restart.
	// +streamgateway:class=restart
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// nodeSelector says which nodes the pods may run on, by their labels, at
	// most 32. Effect: restart.
	// +streamgateway:class=restart
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// tolerations let the pods run on tainted nodes, at most 16, as on a pod.
	// Effect: restart.
	// +streamgateway:class=restart
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// affinity is as on a pod. Absent: pods of one gateway prefer different
	// nodes. Effect: restart.
	// +streamgateway:class=restart
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// topologySpreadConstraints are as on a pod, at most 8. One without a
	// labelSelector counts the pods of this gateway that are made from the same
	// template. Effect: restart.
	// +streamgateway:class=restart
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +optional
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`

	// priorityClassName is as on a pod, 1 to 253 characters. Effect: restart.
	// +streamgateway:class=restart
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// env are environment variables of the gateway container, at most 64.
	// Effect: restart.
	// +streamgateway:class=restart
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Env []EnvVar `json:"env,omitempty"`

	// patch has the last word on the pods: for sidecars, volumes, a security
	// context, and whatever else has no field of its own. One that cannot be
	// merged, or that takes away what the gateway needs, is refused by the
	// condition Accepted, and what runs runs on. Absent: nothing is merged.
	// +optional
	Patch *PodPatch `json:"patch,omitempty"` //nolint:kubeapilinter // a pointer tells absent from empty, which is refused
}

// PatchType is how a patch is merged.
//
// +kubebuilder:validation:Enum=StrategicMerge;JSONMerge
type PatchType string

// Values of PatchType.
const (
	// PatchStrategicMerge merges lists by the keys that Kubernetes gives them:
	// containers by name, so that a new name is a new container.
	PatchStrategicMerge PatchType = "StrategicMerge"
	// PatchJSONMerge replaces lists as a whole (RFC 7386).
	PatchJSONMerge PatchType = "JSONMerge"
)

// PodPatch is merged over the pods that follow from all other fields.
type PodPatch struct {
	// type is how value is merged: StrategicMerge (default) as by kubectl, or
	// JSONMerge, which replaces lists as a whole. Effect: restart.
	// +streamgateway:class=restart
	// +kubebuilder:default=StrategicMerge
	// +optional
	Type PatchType `json:"type,omitempty"`

	// value is a part of a pod template: metadata and spec. It may not change
	// the labels that the operator sets, nor the volumes config, keys and tls,
	// nor command, args, ports, image, resources and those volumes' mounts of
	// the container named gateway, nor name another container's port http or
	// admin. Required. Effect: restart.
	// +streamgateway:class=restart
	// +kubebuilder:pruning:PreserveUnknownFields
	// +required
	Value *runtime.RawExtension `json:"value,omitempty"`
}

// EnvVar is one environment variable.
type EnvVar struct {
	// name of the variable, 1 to 128 characters. SG_… is reserved; POD_NAME,
	// POD_NAMESPACE and GOMEMLIMIT are set by the operator.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('SG_') && !(self in ['POD_NAME', 'POD_NAMESPACE', 'GOMEMLIMIT'])",message="SG_ is reserved, and POD_NAME, POD_NAMESPACE and GOMEMLIMIT are set by the operator"
	// +required
	Name string `json:"name,omitempty"`

	// value of the variable, at most 4096 characters. Absent: empty.
	// +kubebuilder:validation:MinLength=0
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	Value *string `json:"value,omitempty"`
}
