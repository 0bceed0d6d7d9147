package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// +kubebuilder:object:root=true
// +kubebuilder:resource:path=streamgateways,singular=streamgateway,shortName=sg;sgw,categories=all,scope=Namespaced
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.gateway.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:printcolumn:name="READY",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="True when what spec asks for is live"
// +kubebuilder:printcolumn:name="REASON",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why Ready is what it is"
// +kubebuilder:printcolumn:name="ACTIVE",type=string,JSONPath=`.status.activeRevision`,description="Revision that the pods run"
// +kubebuilder:printcolumn:name="DESIRED",type=string,JSONPath=`.status.desiredRevision`,description="Revision that spec asks for"
// +kubebuilder:printcolumn:name="PODS",type=string,JSONPath=`.status.pods.summary`,description="Ready pods of desired pods"
// +kubebuilder:printcolumn:name="CONNS",type=integer,JSONPath=`.status.metrics.connections`,description="Open streams, rounded"
// +kubebuilder:printcolumn:name="ERR%",type=string,JSONPath=`.status.metrics.errorPercent`,description="Failed deliveries and publishes, percent of attempts"
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="QUEUE%",type=integer,JSONPath=`.status.metrics.queuePercent`,priority=1,description="Mean lag of clients, percent of the queue limits"
// +kubebuilder:printcolumn:name="P99MS",type=integer,JSONPath=`.status.metrics.latencyP99Milliseconds`,priority=1,description="99th percentile of the delivery latency, milliseconds"
// +kubebuilder:printcolumn:name="DROP%",type=string,JSONPath=`.status.metrics.dropPercent`,priority=1,description="Events skipped by the slow-consumer policy, percent of those offered"
// +kubebuilder:printcolumn:name="EV/S",type=integer,JSONPath=`.status.metrics.eventsPerSecond`,priority=1,description="Events delivered per second"
// +kubebuilder:printcolumn:name="ACKED",type=integer,JSONPath=`.status.config.acked`,priority=1,description="Pods that run the newest config"
// +kubebuilder:printcolumn:name="NACKED",type=integer,JSONPath=`.status.config.nacked`,priority=1,description="Pods that refused the newest config"
// +kubebuilder:printcolumn:name="DRAINING",type=integer,JSONPath=`.status.pods.draining`,priority=1,description="Pods that send their clients on"
// +kubebuilder:printcolumn:name="ROLLBACK",type=string,JSONPath=`.status.rollback.reason`,priority=1,description="Why the last change was taken back"
// +kubebuilder:printcolumn:name="IMAGE",type=string,JSONPath=`.status.image`,priority=1,description="Image of the active revision"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 36 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must be a DNS-1035 label of at most 36 characters, so that child names fit"

// StreamGateway is a gateway that streams business events to browsers over
// Server-Sent Events: a set of pods, the Service in front of them, and the
// settings they run. `spec: {}` is a working gateway.
type StreamGateway struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata. The name is a DNS-1035 label
	// of at most 36 characters.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what the gateway shall be. An empty spec is valid: every field
	// has a default or may be left out.
	// +required
	Spec StreamGatewaySpec `json:"spec"`

	// status is what the gateway is, as the operator last saw it. Written by
	// the operator alone; until it has looked, the conditions say that it is
	// waited for.
	// +kubebuilder:default={conditions: {{type: "Ready", status: "Unknown", reason: "Pending", message: "waiting for the operator", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: "Reconciling", status: "True", reason: "NewRevision", message: "waiting for the operator", lastTransitionTime: "1970-01-01T00:00:00Z"}}}
	// +optional
	Status StreamGatewayStatus `json:"status,omitzero"`
}

// +kubebuilder:object:root=true

// StreamGatewayList is a list of StreamGateways.
type StreamGatewayList struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard list's metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`

	// items are the StreamGateways.
	Items []StreamGateway `json:"items"`
}

// StreamGatewaySpec is what a StreamGateway shall be. Rules across sections sit
// here and not on a section: the default {} of a section is checked before the
// defaults of its fields exist.
//
// +kubebuilder:validation:XValidation:rule="self.broker.type != 'Memory' || self.gateway.replicas <= 1",fieldPath=".gateway.replicas",message="broker.type Memory keeps events inside one pod, so gateway.replicas must be 0 or 1; use NATS for more"
// +kubebuilder:validation:XValidation:rule="!has(self.gateway.resources.limits) || !('memory' in self.gateway.resources.limits) || quantity(string(self.replay.maxBytes)).asApproximateFloat() <= 0.6 * quantity(string(self.gateway.resources.limits['memory'])).asApproximateFloat()",fieldPath=".replay.maxBytes",message="replay.maxBytes must be at most 60% of gateway.resources.limits.memory; lower it or raise the limit"
// +kubebuilder:validation:XValidation:rule="!has(self.gateway.resources.claims)",fieldPath=".gateway.resources.claims",message="gateway.resources.claims is not supported: gateway pods have no resource claims; remove it"
// +kubebuilder:validation:XValidation:rule="self.listener.port != self.observability.adminPort",fieldPath=".listener.port",message="listener.port must differ from observability.adminPort, which pods serve to the operator (9090 unless set)"
// +kubebuilder:validation:XValidation:rule="self.listener.service.type == 'LoadBalancer' || !has(self.listener.service.loadBalancerClass)",fieldPath=".listener.service.loadBalancerClass",message="listener.service: loadBalancerClass needs type LoadBalancer"
// +kubebuilder:validation:XValidation:rule="self.listener.service.type != 'ClusterIP' || !has(self.listener.service.nodePort)",fieldPath=".listener.service.nodePort",message="listener.service: nodePort needs type NodePort or LoadBalancer"
// +kubebuilder:validation:XValidation:rule="duration(self.batching.window) < duration(self.connections.heartbeat)",fieldPath=".batching.window",message="batching.window must be shorter than connections.heartbeat"
// +kubebuilder:validation:XValidation:rule="self.queue.maxEvents >= self.batching.maxEvents",fieldPath=".queue.maxEvents",message="queue.maxEvents must be at least batching.maxEvents, or no full batch could ever be queued"
// +kubebuilder:validation:XValidation:rule="quantity(string(self.queue.maxBytes)).compareTo(quantity(string(self.batching.maxBytes))) >= 0",fieldPath=".queue.maxBytes",message="queue.maxBytes must be at least batching.maxBytes"
// +kubebuilder:validation:XValidation:rule="self.broker.type != 'Memory' || duration(self.replay.ttl) <= duration('1h')",fieldPath=".replay.ttl",message="replay.ttl above 1h needs broker.type NATS: Memory keeps the replay buffer in the pod"
// +kubebuilder:validation:XValidation:rule="self.replay.mode == 'Disabled' || duration(self.replay.ttl) >= duration(self.drain.timeout) + duration(self.drain.reconnectSpread)",fieldPath=".replay.ttl",message="replay.ttl must cover drain.timeout + drain.reconnectSpread, or clients moved by a drain would lose events"
// +kubebuilder:validation:XValidation:rule="duration(self.drain.reconnectSpread) <= duration(self.drain.timeout)",fieldPath=".drain.reconnectSpread",message="drain: reconnectSpread must not exceed timeout"
// +kubebuilder:validation:XValidation:rule="self.connections.maxPatterns <= self.connections.maxSubscriptions",fieldPath=".connections.maxPatterns",message="connections.maxPatterns must not exceed connections.maxSubscriptions"
// +kubebuilder:validation:XValidation:rule="quantity(string(self.limits.maxEventBytes)).compareTo(quantity(string(self.batching.maxBytes))) <= 0",fieldPath=".limits.maxEventBytes",message="limits.maxEventBytes must not exceed batching.maxBytes"
// +kubebuilder:validation:XValidation:rule="self.limits.publish.burst >= self.limits.publish.perPublisherEventsPerSecond",fieldPath=".limits.publish.burst",message="limits.publish: burst must be at least perPublisherEventsPerSecond"
// +kubebuilder:validation:XValidation:rule="self.limits.connect.burst >= self.limits.connect.perSecond",fieldPath=".limits.connect.burst",message="limits.connect: burst must be at least perSecond"
// +kubebuilder:validation:XValidation:rule="self.auth.subscribers.mode != 'Anonymous' || has(self.auth.subscribers.anonymousChannels) || (self.listener.service.type == 'ClusterIP' && !has(self.listener.route))",fieldPath=".auth.subscribers",message="auth.subscribers: an exposed gateway, with a listener.route or a service that is not of type ClusterIP, needs anonymousChannels (['>'] opens all of them)"
// +kubebuilder:validation:XValidation:rule="(self.auth.subscribers.mode == 'JWT') == has(self.auth.subscribers.jwt)",fieldPath=".auth.subscribers.jwt",message="auth.subscribers: jwt must be set if, and only if, mode is JWT"
// +kubebuilder:validation:XValidation:rule="(self.auth.publishers.mode == 'JWT') == has(self.auth.publishers.jwt)",fieldPath=".auth.publishers.jwt",message="auth.publishers: jwt must be set if, and only if, mode is JWT"
// +kubebuilder:validation:XValidation:rule="self.auth.publishers.mode != 'Anonymous' || (self.listener.service.type == 'ClusterIP' && !has(self.listener.route))",fieldPath=".auth.publishers.mode",message="auth.publishers.mode Anonymous is allowed only on a ClusterIP service without listener.route"
// +kubebuilder:validation:XValidation:rule="(self.broker.type == 'NATS') == has(self.broker.nats)",fieldPath=".broker.nats",message="broker: nats must be set if, and only if, type is NATS"
// +kubebuilder:validation:XValidation:rule="self.broker.type == 'NATS' || !has(self.broker.subjectPrefix)",fieldPath=".broker.subjectPrefix",message="broker: subjectPrefix may be set only when type is NATS"
// +kubebuilder:validation:XValidation:rule="duration(self.rollout.analysis.window) >= duration(self.rollout.analysis.interval)",fieldPath=".rollout.analysis.window",message="rollout.analysis: window must be at least interval"
// +kubebuilder:validation:XValidation:rule="self.rollout.steps[size(self.rollout.steps)-1].percent == 100",fieldPath=".rollout.steps",message="rollout: the last rollout step must have percent 100"
// +kubebuilder:validation:XValidation:rule="self.rollout.steps.map(x, x.percent).isSorted()",fieldPath=".rollout.steps",message="rollout: rollout steps must have strictly increasing percent"
// +kubebuilder:validation:XValidation:rule="duration(self.rollback.warmPeriod) <= duration(self.rollback.guardPeriod)",fieldPath=".rollback.warmPeriod",message="rollback: warmPeriod must not exceed guardPeriod"
type StreamGatewaySpec struct {
	// gateway says which image the pods run, how many pods there are and what
	// they may use.
	// +kubebuilder:default={}
	// +optional
	Gateway *Gateway `json:"gateway,omitempty"`

	// listener says on which port the pods listen, and describes the Service,
	// named as the StreamGateway, that subscribers and publishers connect to.
	// +kubebuilder:default={}
	// +optional
	Listener *Listener `json:"listener,omitempty"`

	// batching says when events that wait for subscribers are written to them.
	// The first event after a pause is written at once; those that follow wait
	// until window has passed, or maxEvents or maxBytes wait, whichever comes
	// first. Larger batches cost less CPU and network for each event and add up
	// to window of latency. Every field is hot: a change reaches running
	// streams without a restart and without a reconnect.
	// +kubebuilder:default={}
	// +optional
	Batching *Batching `json:"batching,omitempty"`

	// queue says how far one client may lag behind the newest event. Nothing is
	// stored for a client: its queue is its distance from the head of the log
	// that all share, so generous limits cost no memory. At half of any limit
	// the client is sent a slow notice; at the first limit reached
	// slowConsumerPolicy acts. Every field is hot.
	// +kubebuilder:default={}
	// +optional
	Queue *Queue `json:"queue,omitempty"`

	// replay says what a client that reconnects with Last-Event-ID can be given
	// again. Events leave the buffer when they are older than ttl, or oldest
	// first when the buffer is larger than maxBytes. Every field is hot.
	// +kubebuilder:default={}
	// +optional
	Replay *Replay `json:"replay,omitempty"`

	// connections bounds and paces the streams of one pod. Every field is hot:
	// limits apply to new streams, timers to running ones as well.
	// +kubebuilder:default={}
	// +optional
	Connections *Connections `json:"connections,omitempty"`

	// auth says who may read and who may publish. Every field is hot: a stream
	// that reads what it may not any more is ended and told so.
	// +kubebuilder:default={}
	// +optional
	Auth *Auth `json:"auth,omitempty"`

	// limits bounds what publishers and new streams may ask of one pod. Every
	// field is hot.
	// +kubebuilder:default={}
	// +optional
	Limits *Limits `json:"limits,omitempty"`

	// compression says how gzip is made for clients that take it. A batch is
	// compressed once for all of them, and may refer to the batches before it.
	// Every field is hot.
	// +kubebuilder:default={}
	// +optional
	Compression *Compression `json:"compression,omitempty"`

	// circuitBreaker says when a log that fails is left alone. Publishes are
	// then answered 503 at once, with the time to come back; streams go on.
	// Every field is hot.
	// +kubebuilder:default={}
	// +optional
	CircuitBreaker *CircuitBreaker `json:"circuitBreaker,omitempty"`

	// broker says where events get their order and are kept.
	// +kubebuilder:default={}
	// +optional
	Broker *Broker `json:"broker,omitempty"`

	// features are flags that browsers receive in their running stream: a
	// change is pushed as an event, without a reconnect. Names that the gateway
	// does not know are handed to the page untouched. At most 32. Effect: hot.
	// +streamgateway:class=hot
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Features []Feature `json:"features,omitempty"`

	// drain says how the clients of a pod that ends or stands by are moved to
	// other pods.
	// +kubebuilder:default={}
	// +optional
	Drain *Drain `json:"drain,omitempty"`

	// observability says what pods log, where they serve their numbers, and how
	// often the operator writes them into status.
	// +kubebuilder:default={}
	// +optional
	Observability *Observability `json:"observability,omitempty"`

	// rollout says how a new revision spreads and what it is judged by.
	// +kubebuilder:default={}
	// +optional
	Rollout *Rollout `json:"rollout,omitempty"`

	// rollback says when a new revision that turns out bad is taken back.
	// +kubebuilder:default={}
	// +optional
	Rollback *Rollback `json:"rollback,omitempty"`

	// override is for a person in a hurry: it acts ahead of everything else.
	// +optional
	Override *Override `json:"override,omitempty"`
}
