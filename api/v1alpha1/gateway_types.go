package v1alpha1

import corev1 "k8s.io/api/core/v1"

// Gateway is the pods of a StreamGateway.
type Gateway struct {
	// image is the image of the gateway container, 1 to 512 characters. Absent:
	// the operator's built-in image, resolved once when the pods are made, so
	// that an upgrade of the operator restarts no pod. Effect: restart (new
	// pods take over, then the old ones drain).
	// +streamgateway:class=restart
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Image string `json:"image,omitempty"`

	// imagePullPolicy is Always, IfNotPresent or Never, as on a container.
	// Absent: what Kubernetes chooses for the image's tag. Effect: restart.
	// +streamgateway:class=restart
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	// +optional
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// imagePullSecrets name at most 8 Secrets, in this namespace, that the node
	// uses to pull the image. Effect: restart.
	// +streamgateway:class=restart
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +optional
	ImagePullSecrets []SecretReference `json:"imagePullSecrets,omitempty"`

	// replicas is the number of pods. Default 1; 0 to 500, and with broker.type
	// Memory, which keeps events inside one pod, 0 or 1; 0 serves nobody and
	// keeps the settings. It is the path of the scale subresource, so leave it
	// out of manifests when `kubectl scale` or an autoscaler sets it. Effect: at
	// once.
	// +streamgateway:class=outside
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=500
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`

	// resources are the requests and limits of the gateway container. Default:
	// requests of 100m CPU and 256Mi memory, a limit of 768Mi memory. The Go
	// runtime is told to keep to 80 % of the memory limit (the kernel charges
	// socket buffers to the same limit), and replay.maxBytes may take at most
	// 60 % of it. claims is refused. Effect: restart.
	// +streamgateway:class=restart
	// +kubebuilder:default={requests: {cpu: "100m", memory: "256Mi"}, limits: {memory: "768Mi"}}
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// template is what is added to the pods. Absent: nothing.
	// +optional
	Template *PodTemplate `json:"template,omitempty"` //nolint:kubeapilinter // a pointer tells absent from empty, which is refused

	// disruptionBudget Enabled (default) keeps a PodDisruptionBudget while
	// there is more than one pod: one pod at a time may be evicted (25 % above
	// 4 replicas). Disabled: none. Effect: at once.
	// +streamgateway:class=outside
	// +kubebuilder:default=Enabled
	// +optional
	DisruptionBudget Switch `json:"disruptionBudget,omitempty"`
}

// SecretReference names a Secret in the namespace of the StreamGateway.
type SecretReference struct {
	// name is the name of the Secret, 1 to 253 characters.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`
}

// Listener is where subscribers and publishers connect.
type Listener struct {
	// port is the container port for subscribers and publishers. Default 8080;
	// 1024 to 65535, but not
	// observability.adminPort. Effect: restart.
	// +streamgateway:class=restart
	// +kubebuilder:default=8080
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=65535
	// +optional
	Port int32 `json:"port,omitempty"`

	// service describes the Service in front of the pods; it has the name of
	// the StreamGateway. Changes apply at once and restart nothing.
	// +kubebuilder:default={}
	// +optional
	Service *Service `json:"service,omitempty"`

	// allowedOrigins are the origins whose pages may use the gateway, besides
	// its own: https://shop.example.com[:port], https://*.example.com for all
	// names below a domain, or * as the only entry, which lets the pages of all
	// origins in, but without cookies. Absent: pages of the gateway's own
	// origin only. 1 to 64 origins of at most 300 characters. Effect: hot.
	// +streamgateway:class=hot
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="!self.exists(o, o == '*') || size(self) == 1",message="'*' must be the only entry in allowedOrigins"
	// +kubebuilder:validation:XValidation:rule="self.all(o, o == '*' || o.matches('^https?://[^/*]+$') || o.matches('^https?://[*][.][^/*]+$'))",message="each origin must be scheme://host[:port], scheme://*.domain or '*'"
	// +optional
	AllowedOrigins []Origin `json:"allowedOrigins,omitempty"`

	// trustedProxies are the networks, such as 10.0.0.0/8, of proxies whose
	// X-Forwarded-For is believed. It is read from the right: the client is the
	// first address that is not in one of them. What anybody else sends in that
	// header is passed over. Absent: whoever connects to the pod is the client.
	// 1 to 32 networks. Effect: hot.
	// +streamgateway:class=hot
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	TrustedProxies []Network `json:"trustedProxies,omitempty"`

	// route makes an HTTPRoute of the StreamGateway's name, without a limit on
	// how long an answer may take, so that no stream is cut. Absent: none.
	// +optional
	Route *Route `json:"route,omitempty"` //nolint:kubeapilinter // a pointer tells absent, which is none, from empty, which is refused

	// tls makes pods answer clients with TLS, and HTTP/2. Absent: without; put
	// an Ingress or Gateway in front that does.
	// +optional
	TLS *TLS `json:"tls,omitempty"` //nolint:kubeapilinter // a pointer tells absent, which is off, from empty, which is refused
}

// Origin is the origin of pages, as browsers write it, in lower case.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=300
// +kubebuilder:validation:Pattern=`^[^\s,?#@\\]+$`
type Origin string

// Network is a network in CIDR form, of IPv4 or IPv6.
//
// +kubebuilder:validation:MinLength=3
// +kubebuilder:validation:MaxLength=43
// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="must be a network such as 10.0.0.0/8"
type Network string

// ServiceType is how a Service is reached.
//
// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer
type ServiceType string

// Values of ServiceType, as on a Kubernetes Service.
const (
	// ServiceClusterIP is reached from inside the cluster only.
	ServiceClusterIP ServiceType = "ClusterIP"
	// ServiceNodePort opens a port of every node as well.
	ServiceNodePort ServiceType = "NodePort"
	// ServiceLoadBalancer asks the cloud for a load balancer as well.
	ServiceLoadBalancer ServiceType = "LoadBalancer"
)

// TrafficPolicy says which pods a node hands outside traffic to.
//
// +kubebuilder:validation:Enum=Cluster;Local
type TrafficPolicy string

// Values of TrafficPolicy, as on a Kubernetes Service.
const (
	// TrafficCluster uses pods on any node; pods see a node's address.
	TrafficCluster TrafficPolicy = "Cluster"
	// TrafficLocal uses pods on the same node; pods see the client's address.
	TrafficLocal TrafficPolicy = "Local"
)

// Service is the Service in front of the pods.
type Service struct {
	// type is how the Service is reached: ClusterIP (default) from inside the
	// cluster, NodePort through a port of every node, LoadBalancer through the
	// cloud. Effect: at once.
	// +streamgateway:class=outside
	// +kubebuilder:default=ClusterIP
	// +optional
	Type ServiceType `json:"type,omitempty"`

	// port is the port of the Service. Default 80; 1 to 65535. Effect: at once.
	// +streamgateway:class=outside
	// +kubebuilder:default=80
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	Port int32 `json:"port,omitempty"`

	// nodePort fixes the port on the nodes, 1 to 65535 and inside the cluster's
	// node port range. Absent: the cluster chooses. Needs type NodePort or
	// LoadBalancer. Effect: at once.
	// +streamgateway:class=outside
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	NodePort int32 `json:"nodePort,omitempty"`

	// loadBalancerClass chooses an implementation of load balancers, as on a
	// Service, 1 to 253 characters. Absent: the cluster's default. Needs type
	// LoadBalancer; a Service does not allow to change it later. Effect: at
	// once.
	// +streamgateway:class=outside
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	LoadBalancerClass string `json:"loadBalancerClass,omitempty"`

	// externalTrafficPolicy Cluster (default) spreads outside traffic over all
	// pods; Local keeps it on the node it came to, so that pods see the
	// client's address, which connections.maxPerAddress counts. Of no effect
	// with type ClusterIP. Effect: at once.
	// +streamgateway:class=outside
	// +kubebuilder:default=Cluster
	// +optional
	ExternalTrafficPolicy TrafficPolicy `json:"externalTrafficPolicy,omitempty"`

	// annotations are set on the Service, at most 32: what load balancers and
	// meshes read. Effect: at once.
	// +streamgateway:class=outside
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}
