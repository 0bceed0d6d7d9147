package v1alpha1

// Route is an HTTPRoute of the Gateway API, by which Gateways of the cluster
// hand requests on to this gateway.
type Route struct {
	// parentRefs name the Gateways that the HTTPRoute attaches to, 1 to 4.
	// Required. Effect: at once.
	// +streamgateway:class=outside
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	// +required
	ParentRefs []ParentRef `json:"parentRefs,omitempty"`

	// hostnames are those of requests that are handed on, such as
	// events.example.com or *.example.com; 1 to 16. Absent: all that the
	// Gateways' listeners take. Effect: at once.
	// +streamgateway:class=outside
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Hostnames []Hostname `json:"hostnames,omitempty"`

	// pathPrefix is what the path of requests begins with that are handed on,
	// in whole segments; it is not taken off, so / (default) or a prefix of the
	// gateway's own paths such as /v2/realtime. 1 to 256 characters. Effect: at
	// once.
	// +streamgateway:class=outside
	// +kubebuilder:default="/"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^/[A-Za-z0-9/._~-]*$`
	// +kubebuilder:validation:XValidation:rule="!self.contains('//') && !self.split('/').exists(s, s == '.' || s == '..')",message="must hold no empty segment, no . and no .."
	// +optional
	PathPrefix string `json:"pathPrefix,omitempty"`
}

// ParentRef names a Gateway of the Gateway API.
type ParentRef struct {
	// name is the Gateway's name, 1 to 253 characters.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`

	// namespace is the Gateway's, whose listeners must allow routes from here, 1
	// to 63 characters. Absent: that of the StreamGateway.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// sectionName is one listener of the Gateway, 1 to 253 characters. Absent:
	// all listeners that take the hostnames.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	SectionName string `json:"sectionName,omitempty"`
}

// Hostname is a name of the DNS in lower case, or one with * in the place of its
// first label.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:Pattern=`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
type Hostname string
