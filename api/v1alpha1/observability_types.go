package v1alpha1

// LogLevel is the least level that is logged.
//
// +kubebuilder:validation:Enum=Debug;Info;Warn;Error
type LogLevel string

// Values of LogLevel.
const (
	// LogDebug adds what only somebody who looks for a fault wants to know.
	LogDebug LogLevel = "Debug"
	// LogInfo has a line for what happens once in a while, and for requests
	// that were refused.
	LogInfo LogLevel = "Info"
	// LogWarn has what an operator may have to do something about.
	LogWarn LogLevel = "Warn"
	// LogError has faults only.
	LogError LogLevel = "Error"
)

// MetricsAccess says who may read the JSON metrics.
//
// +kubebuilder:validation:Enum=Authenticated;Open
type MetricsAccess string

// Values of MetricsAccess.
const (
	// MetricsAuthenticated takes a credential with the right.
	MetricsAuthenticated MetricsAccess = "Authenticated"
	// MetricsOpen takes none.
	MetricsOpen MetricsAccess = "Open"
)

// Presence says what is told of the readers of a channel.
//
// +kubebuilder:validation:Enum=Disabled;Count;Members
type Presence string

// Values of Presence.
const (
	// PresenceDisabled tells nothing.
	PresenceDisabled Presence = "Disabled"
	// PresenceCount tells how many there are.
	PresenceCount Presence = "Count"
	// PresenceMembers tells also who they are.
	PresenceMembers Presence = "Members"
)

// Observability says what pods and operator tell of a gateway.
type Observability struct {
	// logLevel is the least level that pods log: Debug, Info (default), Warn
	// or Error. Refused requests are logged at Info, those refused with a 5xx
	// at Warn, by id and route, at most 50 in a second (at Debug: all). No line holds a
	// token, a channel's data or a client's address. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default=Info
	// +optional
	LogLevel LogLevel `json:"logLevel,omitempty"`

	// accessLog Enabled logs one line for each stream that ends, with its
	// request id, reason, duration, events and bytes, at level Info. It names no
	// channel and no address. Default Disabled. Effect: hot, for streams that
	// end from then on.
	// +streamgateway:class=hot
	// +kubebuilder:default=Disabled
	// +optional
	AccessLog Switch `json:"accessLog,omitempty"`

	// adminPort is where pods serve /status, /metrics, /healthz and /readyz. It
	// is never on the Service. Default 9090; 1024 to 65535, and not
	// listener.port. Effect: restart.
	// +streamgateway:class=restart
	// +kubebuilder:default=9090
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=65535
	// +optional
	AdminPort int32 `json:"adminPort,omitempty"`

	// serviceMonitor Enabled makes a ServiceMonitor of this name, by which a
	// Prometheus operator scrapes the admin port of every pod. Where its kind is
	// not installed an event says so, and it is made once that is. Default
	// Disabled. Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:default=Disabled
	// +optional
	ServiceMonitor Switch `json:"serviceMonitor,omitempty"`

	// statusInterval is the least time between two writes of status for the
	// sake of its numbers alone; what happens is written at once. Default 30s;
	// 10s to 10m. Effect: at once, no pod is touched.
	// +streamgateway:class=outside
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('10m')",message="must be between 10s and 10m"
	// +optional
	StatusInterval Duration `json:"statusInterval,omitempty"`

	// beaconInterval is how often a page that reports its own latencies and
	// reconnects does so, 20 % more or less; open streams are told a new one at
	// once. The feature beacon, Disabled, stops the reports, and Percent takes a
	// sample. Default 1m; 10s to 1h. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('1h')",message="must be between 10s and 1h"
	// +optional
	BeaconInterval Duration `json:"beaconInterval,omitempty"`

	// metricsAccess says who may read the JSON metrics on the port of clients.
	// Authenticated, the default: who may publish by mode Kubernetes, and
	// bearers of a token with the right metrics. Open: everybody who reaches
	// the gateway; the numbers tell how busy it is, and name no channel,
	// tenant or subject. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default=Authenticated
	// +optional
	MetricsAccess MetricsAccess `json:"metricsAccess,omitempty"`

	// presence says what those who may read a channel can learn of its other
	// readers. Count, the default: how many there are. Members: also who, for
	// readers with a name of their own and the right presence. Disabled:
	// nothing. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default=Count
	// +optional
	Presence Presence `json:"presence,omitempty"`

	// tracing sends spans of published events to an OpenTelemetry collector:
	// publish, append, ring, first write. Absent: nothing is traced.
	// +optional
	Tracing *Tracing `json:"tracing,omitempty"` //nolint:kubeapilinter // a pointer tells absent, which is off, from empty, which is refused
}

// Tracing sends spans of published events to an OpenTelemetry collector.
type Tracing struct {
	// endpoint is the OTLP/gRPC address of the collector: host:port, or
	// http://host:port, both without TLS, or https://host:port. Required; 1 to
	// 1024 characters. Effect: restart.
	// +streamgateway:class=restart
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^(https?://)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?$`
	// +required
	Endpoint string `json:"endpoint,omitempty"`

	// samplePercent is how many of the traces that begin here are sampled. A
	// publisher that sends a traceparent has decided already; at 0 nothing is
	// traced at all. Default 1; 0 to 100 with at most two decimals. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default="1"
	// +optional
	SamplePercent DecimalPercent `json:"samplePercent,omitempty"`
}
