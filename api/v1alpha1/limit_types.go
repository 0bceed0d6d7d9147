package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// Limits bounds what publishers and new streams may ask of one pod.
type Limits struct {
	// maxEventBytes is the largest data of one event, in bytes: a quantity such
	// as 65536, 64Ki or 1Mi. Larger events are refused with 413. Default 64Ki;
	// 64 to 1Mi, and at most batching.maxBytes. Effect: hot, for new requests.
	// +streamgateway:class=hot
	// +kubebuilder:default="64Ki"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('64')) >= 0 && quantity(string(self)).compareTo(quantity('1Mi')) <= 0",message="must be between 64 and 1Mi"
	// +optional
	MaxEventBytes *resource.Quantity `json:"maxEventBytes,omitempty"`

	// publish is how fast events may come.
	// +kubebuilder:default={}
	// +optional
	Publish *PublishLimits `json:"publish,omitempty"`

	// delivery is how fast one stream gets live events.
	// +kubebuilder:default={}
	// +optional
	Delivery *DeliveryLimits `json:"delivery,omitempty"`

	// connect is how fast new streams are let in.
	// +kubebuilder:default={}
	// +optional
	Connect *ConnectLimits `json:"connect,omitempty"`
}

// PublishLimits are token buckets for events. A request above is refused whole
// with 429 and told when to come again. Each pod counts for itself.
type PublishLimits struct {
	// perPublisherEventsPerSecond is how many events per second one publisher,
	// such as a service account, may send on the long run. Default 200; 1 to
	// 1000000. Effect: hot, for new requests.
	// +streamgateway:class=hot
	// +kubebuilder:default=200
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	PerPublisherEventsPerSecond int32 `json:"perPublisherEventsPerSecond,omitempty"`

	// burst is how many events one publisher may send at once after a quiet
	// time. Default 1000; 1 to 2000000, and at least
	// perPublisherEventsPerSecond. Effect: hot, for new requests.
	// +streamgateway:class=hot
	// +kubebuilder:default=1000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2000000
	// +optional
	Burst int32 `json:"burst,omitempty"`

	// perTenantEventsPerSecond is how many events per second all publishers of a
	// tenant may send to one pod; publishers known to Kubernetes are of one
	// tenant. Default 5000; 1 to 1000000. Effect: hot, for new requests.
	// +streamgateway:class=hot
	// +kubebuilder:default=5000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	PerTenantEventsPerSecond int32 `json:"perTenantEventsPerSecond,omitempty"`
}

// DeliveryLimits bounds how fast one stream gets live events, with a burst of
// one second's worth. A stream above is held back; when it lags by a limit of
// queue, queue.slowConsumerPolicy acts and the client is told, with the reason
// rate, what it missed. Disconnect acts as DropWithGap here. What a client
// catches up with after a reconnect is not counted.
type DeliveryLimits struct {
	// eventsPerSecond is how many events per second one stream gets on the long
	// run. Default 2000; 1 to 1000000. Effect: hot, also for running streams.
	// +streamgateway:class=hot
	// +kubebuilder:default=2000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	EventsPerSecond int32 `json:"eventsPerSecond,omitempty"`

	// bytesPerSecond is how many bytes per second one stream gets on the long
	// run, before compression: a quantity such as 1048576 or 4Mi. Default 4Mi;
	// 1Ki to 1Gi. Effect: hot, also for running streams.
	// +streamgateway:class=hot
	// +kubebuilder:default="4Mi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('1Ki')) >= 0 && quantity(string(self)).compareTo(quantity('1Gi')) <= 0",message="must be between 1Ki and 1Gi"
	// +optional
	BytesPerSecond *resource.Quantity `json:"bytesPerSecond,omitempty"`
}

// ConnectLimits is a token bucket for new streams of one pod.
type ConnectLimits struct {
	// perSecond is how many new streams one pod lets in per second, on the long
	// run. Those above are told to come back a little later, spread over time.
	// Long-polls are not counted. Default 2000; 1 to 100000. Effect: hot, for
	// new streams.
	// +streamgateway:class=hot
	// +kubebuilder:default=2000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	// +optional
	PerSecond int32 `json:"perSecond,omitempty"`

	// burst is how many new streams may come at once after a quiet time.
	// Default 10000; 1 to 200000, and at least perSecond. Effect: hot, for new
	// streams.
	// +streamgateway:class=hot
	// +kubebuilder:default=10000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=200000
	// +optional
	Burst int32 `json:"burst,omitempty"`
}
