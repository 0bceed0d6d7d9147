package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// StreamGatewayStatus is what a StreamGateway is.
//
// +kubebuilder:validation:MinProperties=1
type StreamGatewayStatus struct {
	// conditions are Ready, Accepted, Programmed, Available, Healthy,
	// Paused, Reconciling, Stalled and RolledBack, always all of them. Ready means that what spec
	// asks for is live; Available that traffic is served.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the newest generation of spec that the operator has
	// acted on.
	// +kubebuilder:validation:Minimum=1
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// desiredRevision is the revision that spec asks for: 10 characters that
	// are equal for equal settings.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	DesiredRevision string `json:"desiredRevision,omitempty"`

	// activeRevision is the revision that most pods run.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	ActiveRevision string `json:"activeRevision,omitempty"`

	// stableRevision is the newest revision that proved healthy: what is gone
	// back to when a newer one fails.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	StableRevision string `json:"stableRevision,omitempty"`

	// revisions are the ten newest, newest first.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	// +optional
	Revisions []RevisionStatus `json:"revisions,omitempty"`

	// rollout tells where the newest change stands.
	// +optional
	Rollout *RolloutStatus `json:"rollout,omitempty"`

	// rollback tells of the last rollback, until a newer revision is healthy.
	// +optional
	Rollback *RollbackStatus `json:"rollback,omitempty"`

	// lastHandledRetry is the value of the annotation
	// streamgateway.io/retry-revision that was acted on last.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +optional
	LastHandledRetry string `json:"lastHandledRetry,omitempty"`

	// image is the image of the active revision.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Image string `json:"image,omitempty"`

	// url is the best address for clients: that of the load balancer, else the
	// Service's name inside the cluster.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	URL string `json:"url,omitempty"`

	// addresses are all addresses of the Service.
	// +listType=map
	// +listMapKey=value
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Addresses []Address `json:"addresses,omitempty"`

	// replicas is the number of pods that exist; read by the scale subresource.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`

	// selector selects the pods; read by the scale subresource.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Selector string `json:"selector,omitempty"`

	// pods counts the pods.
	// +optional
	Pods *PodsStatus `json:"pods,omitempty"`

	// config tells how far the newest settings have reached the pods.
	// +optional
	Config *ConfigStatus `json:"config,omitempty"`

	// metrics are the pods' own numbers, summed and rounded. Written only when
	// a rounded value moves, at most every 30 s; exact numbers are the pods'
	// Prometheus metrics.
	// +optional
	Metrics *MetricsStatus `json:"metrics,omitempty"`

	// features are the flags that clients get now.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Features []FeatureStatus `json:"features,omitempty"`
}

// AddressType is the kind of an address.
//
// +kubebuilder:validation:Enum=Hostname;IPAddress
type AddressType string

// Values of AddressType.
const (
	// AddressHostname is a DNS name.
	AddressHostname AddressType = "Hostname"
	// AddressIP is an IP address.
	AddressIP AddressType = "IPAddress"
)

// Address is one address of the Service.
type Address struct {
	// type is Hostname or IPAddress.
	// +required
	Type AddressType `json:"type,omitempty"`

	// value is the address.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Value string `json:"value,omitempty"`
}

// PodsStatus counts pods.
type PodsStatus struct {
	// desired is the number of pods that spec asks for.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Desired *int32 `json:"desired,omitempty"`

	// current is the number of pods that exist, of any template.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Current *int32 `json:"current,omitempty"`

	// ready is the number of pods that take traffic.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Ready *int32 `json:"ready,omitempty"`

	// updated is the number of pods made from the newest template.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Updated *int32 `json:"updated,omitempty"`

	// draining is the number of pods that send their clients on: those that end,
	// and those that stand by and have clients left.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Draining *int32 `json:"draining,omitempty"`

	// summary is ready of desired, such as 3/3.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=23
	// +optional
	Summary string `json:"summary,omitempty"`
}

// ConfigStatus tells how far the newest hot settings have come.
type ConfigStatus struct {
	// revision is the one pushed last.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Revision string `json:"revision,omitempty"`

	// serial is the number of the document pushed last; it grows by one with
	// each push, and pods acknowledge it.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Serial int64 `json:"serial,omitempty"`

	// acked is the number of pods that run it.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Acked *int32 `json:"acked,omitempty"`

	// nacked is the number of pods that refused it; they run the one before.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Nacked *int32 `json:"nacked,omitempty"`

	// pending is the number of pods that have not answered yet.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Pending *int32 `json:"pending,omitempty"`

	// nacks are the refusals, at most 5.
	// +listType=map
	// +listMapKey=pod
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	// +optional
	Nacks []ConfigNack `json:"nacks,omitempty"`
}

// ConfigNack is a pod's refusal of a document.
type ConfigNack struct {
	// pod is the name of the pod.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Pod string `json:"pod,omitempty"`

	// revision is the one refused.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Revision string `json:"revision,omitempty"`

	// message is why, in the pod's own words.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`

	// time is when the pod refused it.
	// +optional
	Time *metav1.Time `json:"time,omitempty"`
}

// MetricsStatus is numbers of all pods together. Percentages have two decimals
// below 1, one below 10, else none; all others have two significant digits.
type MetricsStatus struct {
	// connections is the number of open streams.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Connections *int32 `json:"connections,omitempty"`

	// queuePercent is the mean lag of clients, in percent of the queue limits.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +optional
	QueuePercent *int32 `json:"queuePercent,omitempty"`

	// latencyP50Milliseconds is the median of the delivery latency: from the
	// event's arrival in the pod's log to its last byte handed to the socket,
	// by the pod's clock, in milliseconds.
	// +kubebuilder:validation:Minimum=0
	// +optional
	LatencyP50Milliseconds *int32 `json:"latencyP50Milliseconds,omitempty"`

	// latencyP95Milliseconds is its 95th percentile, in milliseconds.
	// +kubebuilder:validation:Minimum=0
	// +optional
	LatencyP95Milliseconds *int32 `json:"latencyP95Milliseconds,omitempty"`

	// latencyP99Milliseconds is its 99th percentile, in milliseconds.
	// +kubebuilder:validation:Minimum=0
	// +optional
	LatencyP99Milliseconds *int32 `json:"latencyP99Milliseconds,omitempty"`

	// browserP95Milliseconds is the latency from the log to a page's handler
	// that 95 of 100 pages reported, within a minute, for 95 of 100 of their
	// events, in milliseconds. Absent: no page reported.
	// +kubebuilder:validation:Minimum=0
	// +optional
	BrowserP95Milliseconds *int32 `json:"browserP95Milliseconds,omitempty"`

	// errorPercent is failed deliveries and publishes, in percent of attempts.
	// +optional
	ErrorPercent DecimalPercent `json:"errorPercent,omitempty"`

	// dropPercent is events skipped by the slow-consumer policy, in percent of
	// those offered.
	// +optional
	DropPercent DecimalPercent `json:"dropPercent,omitempty"`

	// eventsPerSecond is events delivered to clients, per second.
	// +kubebuilder:validation:Minimum=0
	// +optional
	EventsPerSecond *int64 `json:"eventsPerSecond,omitempty"`

	// publishesPerSecond is events published, per second.
	// +kubebuilder:validation:Minimum=0
	// +optional
	PublishesPerSecond *int64 `json:"publishesPerSecond,omitempty"`

	// reconnectsPerMinute is streams that pods ended or lost unasked, per
	// minute: write errors and timeouts, slow clients, overload. Drains, age
	// and closes by clients do not count.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ReconnectsPerMinute *int64 `json:"reconnectsPerMinute,omitempty"`

	// sampledPods is the number of pods that these numbers come from.
	// +kubebuilder:validation:Minimum=0
	// +optional
	SampledPods *int32 `json:"sampledPods,omitempty"`

	// sampledTime is when they were taken.
	// +optional
	SampledTime *metav1.Time `json:"sampledTime,omitempty"`
}

// FeatureSource says who decided a feature's mode.
//
// +kubebuilder:validation:Enum=Spec;Override;Rollback;Default
type FeatureSource string

// Values of FeatureSource.
const (
	// FeatureSourceSpec is spec.features.
	FeatureSourceSpec FeatureSource = "Spec"
	// FeatureSourceOverride is spec.override.disabledFeatures.
	FeatureSourceOverride FeatureSource = "Override"
	// FeatureSourceRollback is the operator, which has switched it off alone, for
	// pages that have it on report late events and others do not.
	FeatureSourceRollback FeatureSource = "Rollback"
	// FeatureSourceDefault is the gateway's built-in default.
	FeatureSourceDefault FeatureSource = "Default"
)

// FeatureStatus is a flag as clients get it.
type FeatureStatus struct {
	// name of the flag.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +required
	Name string `json:"name,omitempty"`

	// mode that is in force.
	// +optional
	Mode FeatureMode `json:"mode,omitempty"`

	// percent that is in force, with mode Percent.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +optional
	Percent *int32 `json:"percent,omitempty"`

	// source is who decided: Spec, Override, Rollback or Default.
	// +optional
	Source FeatureSource `json:"source,omitempty"`
}
