package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// Batching says when waiting events are written.
type Batching struct {
	// window is the longest time an event waits before it is written. Default
	// 50ms; 0ms to 5s, and shorter than connections.heartbeat. 0ms writes every
	// event at once: least latency, most CPU. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default="50ms"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0ms') && duration(self) <= duration('5s')",message="must be between 0ms and 5s"
	// +optional
	Window Duration `json:"window,omitempty"`

	// maxEvents is the number of waiting events that are written without
	// waiting any longer. Default 100; 1 to 10000. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	// +optional
	MaxEvents int32 `json:"maxEvents,omitempty"`

	// maxBytes is the size of waiting events, in bytes before compression, that
	// are written without waiting any longer: a quantity such as 262144, 256Ki
	// or 1Mi. Default 256Ki; 1Ki to 4Mi. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default="256Ki"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('1Ki')) >= 0 && quantity(string(self)).compareTo(quantity('4Mi')) <= 0",message="must be between 1Ki and 4Mi"
	// +optional
	MaxBytes *resource.Quantity `json:"maxBytes,omitempty"`
}

// SlowConsumerPolicy says what happens to a client that reaches a limit of its
// queue.
//
// +kubebuilder:validation:Enum=Conflate;DropWithGap;Disconnect
type SlowConsumerPolicy string

// Values of SlowConsumerPolicy.
const (
	// SlowConsumerConflate gives the client the newest event of each channel
	// and a gap notice for the rest.
	SlowConsumerConflate SlowConsumerPolicy = "Conflate"
	// SlowConsumerDropWithGap moves the client to the newest event and tells it
	// what it lost.
	SlowConsumerDropWithGap SlowConsumerPolicy = "DropWithGap"
	// SlowConsumerDisconnect closes the stream; the client comes back and
	// resumes from the replay buffer.
	SlowConsumerDisconnect SlowConsumerPolicy = "Disconnect"
)

// Queue bounds the lag of one client.
type Queue struct {
	// maxEvents is how many events a client may lag. Default 10000; 1 to
	// 1000000, and at least batching.maxEvents. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default=10000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	MaxEvents int32 `json:"maxEvents,omitempty"`

	// maxBytes is how many bytes a client may lag: a quantity such as 8Mi.
	// Default 8Mi; 4Ki to 1Gi, and at least batching.maxBytes. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default="8Mi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('4Ki')) >= 0 && quantity(string(self)).compareTo(quantity('1Gi')) <= 0",message="must be between 4Ki and 1Gi"
	// +optional
	MaxBytes *resource.Quantity `json:"maxBytes,omitempty"`

	// maxLag is how old the oldest event that a client has not been given may
	// get. Default 30s; 1s to 10m. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('10m')",message="must be between 1s and 10m"
	// +optional
	MaxLag Duration `json:"maxLag,omitempty"`

	// slowConsumerPolicy is what happens to a client that reaches a limit.
	// DropWithGap (default) moves it to the newest event and tells it what it
	// lost; Conflate gives it the newest event of each channel and tells it
	// what was left out; Disconnect closes the stream, and the client resumes
	// from the replay buffer. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default=DropWithGap
	// +optional
	SlowConsumerPolicy SlowConsumerPolicy `json:"slowConsumerPolicy,omitempty"`
}

// Replay bounds the buffer that reconnecting clients resume from.
type Replay struct {
	// mode Enabled (default) lets clients resume with Last-Event-ID; Disabled
	// starts every stream at the newest event. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default=Enabled
	// +optional
	Mode Switch `json:"mode,omitempty"`

	// ttl is how long an event is kept. Default 5m; 1s to 24h, at most 1h while
	// events are kept in memory, and at least drain.timeout +
	// drain.reconnectSpread with mode Enabled, so that clients moved by a drain
	// lose nothing. Effect: hot; a shorter ttl drops older events.
	// +streamgateway:class=hot
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be between 1s and 24h"
	// +optional
	TTL Duration `json:"ttl,omitempty"`

	// maxBytes is the size of the buffer of one pod, in bytes: a quantity such
	// as 256Mi. Default 256Mi; 1Mi to 16Gi, and at most 60 % of the memory
	// limit of the container.
	// Events that had to go before their ttl show as Healthy=False with reason
	// ReplayWindowShort. Effect: hot; a smaller buffer drops the oldest events.
	// +streamgateway:class=hot
	// +kubebuilder:default="256Mi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('1Mi')) >= 0 && quantity(string(self)).compareTo(quantity('16Gi')) <= 0",message="must be between 1Mi and 16Gi"
	// +optional
	MaxBytes *resource.Quantity `json:"maxBytes,omitempty"`
}

// Connections bounds and paces the streams of one pod.
type Connections struct {
	// maxPerPod is the number of streams of one pod. Default 10000; 1 to
	// 200000. Effect: hot; lowering it closes nothing, it refuses new streams.
	// +streamgateway:class=hot
	// +kubebuilder:default=10000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=200000
	// +optional
	MaxPerPod int32 `json:"maxPerPod,omitempty"`

	// maxPerSubject is the number of streams that one reader with a name may
	// hold on one pod; anonymous readers have no name and no such limit. A
	// token may set a lower one for its subject. Default 10; 1 to 10000.
	// Effect: hot; lowering it closes nothing, it refuses new streams.
	// +streamgateway:class=hot
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	// +optional
	MaxPerSubject int32 `json:"maxPerSubject,omitempty"`

	// maxPerTenant is the number of streams that the readers of one tenant may
	// hold together on one pod, 1 to 200000. Absent: only maxPerPod counts.
	// Effect: hot; lowering it closes nothing, it refuses new streams.
	// +streamgateway:class=hot
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=200000
	// +optional
	MaxPerTenant int32 `json:"maxPerTenant,omitempty"`

	// maxPerAddress is the number of streams that one client address may hold
	// on one pod, 1 to 100000. Absent: not limited, since behind a proxy or
	// address translation all clients share one address: set
	// listener.trustedProxies first. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	// +optional
	MaxPerAddress int32 `json:"maxPerAddress,omitempty"`

	// maxSubscriptions is the number of channels and patterns of one stream.
	// Default 100; 1 to 1000. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	MaxSubscriptions int32 `json:"maxSubscriptions,omitempty"`

	// maxPatterns is how many of the subscriptions of one stream may be
	// wildcard patterns. Default 32; 0 to 1000, and at most maxSubscriptions.
	// Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default=32
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	// +optional
	MaxPatterns *int32 `json:"maxPatterns,omitempty"`

	// heartbeat is the time after which an idle stream is sent an SSE comment,
	// so that proxies keep it open and a dead peer is found. Default 15s; 1s to
	// 5m. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default="15s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('5m')",message="must be between 1s and 5m"
	// +optional
	Heartbeat Duration `json:"heartbeat,omitempty"`

	// writeTimeout is how long a socket may take no byte before the stream is
	// closed. Default 30s; 500ms to 5m. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('500ms') && duration(self) <= duration('5m')",message="must be between 500ms and 5m"
	// +optional
	WriteTimeout Duration `json:"writeTimeout,omitempty"`

	// maxAge is the age at which a stream is asked to reconnect, plus or minus
	// 10 %. Default 2h; 1m to 24h. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default="2h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('24h')",message="must be between 1m and 24h"
	// +optional
	MaxAge Duration `json:"maxAge,omitempty"`

	// longPollTimeout is how long a long-poll is held at most when there is
	// nothing to tell; a client may ask for less. Default 25s; 1s to 2m.
	// Proxies on the way must wait longer. Effect: hot, for new polls.
	// +streamgateway:class=hot
	// +kubebuilder:default="25s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('2m')",message="must be between 1s and 2m"
	// +optional
	LongPollTimeout Duration `json:"longPollTimeout,omitempty"`

	// retry is how long a browser waits before it reconnects (the SSE field
	// retry). Default 3s; 100ms to 5m. Effect: hot, for new streams.
	// +streamgateway:class=hot
	// +kubebuilder:default="3s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('5m')",message="must be between 100ms and 5m"
	// +optional
	Retry Duration `json:"retry,omitempty"`

	// retryJitterPercent spreads retry, in percent of it, so that clients of a
	// lost pod do not come back in one moment. Default 50; 0 to 100. Effect:
	// hot, for new streams.
	// +streamgateway:class=hot
	// +kubebuilder:default=50
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +optional
	RetryJitterPercent *int32 `json:"retryJitterPercent,omitempty"`
}

// CompressionMode says who gets compressed streams.
//
// +kubebuilder:validation:Enum=Auto;Disabled
type CompressionMode string

// Values of CompressionMode.
const (
	// CompressionAuto compresses for every client that takes it.
	CompressionAuto CompressionMode = "Auto"
	// CompressionDisabled compresses for nobody.
	CompressionDisabled CompressionMode = "Disabled"
)

// CompressionLevel trades time for size.
//
// +kubebuilder:validation:Enum=Fastest;Default;Best
type CompressionLevel string

// Values of CompressionLevel.
const (
	// CompressionFastest takes the least time.
	CompressionFastest CompressionLevel = "Fastest"
	// CompressionDefault is about 7 % smaller, in 1.5 times the time.
	CompressionDefault CompressionLevel = "Default"
	// CompressionBest is about 10 % smaller, in twice the time.
	CompressionBest CompressionLevel = "Best"
)

// ChannelPattern selects channels: segments separated by dots, where * stands
// for one segment and a last > for one or more.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=200
// +kubebuilder:validation:Pattern=`^([A-Za-z0-9_:@-]{1,64}|\*)(\.([A-Za-z0-9_:@-]{1,64}|\*)){0,11}(\.>)?$|^>$`
type ChannelPattern string

// Compression says how gzip is made.
type Compression struct {
	// mode Auto (default) compresses for every client that takes gzip, by
	// Accept-Encoding and the query parameter compress; Disabled for nobody.
	// Effect: hot, for new streams.
	// +streamgateway:class=hot
	// +kubebuilder:default=Auto
	// +optional
	Mode CompressionMode `json:"mode,omitempty"`

	// level is Fastest (default), Default (about 7 % smaller, 1.5 times the
	// time) or Best (about 10 % smaller, twice the time). A batch is compressed
	// once for all clients with the same subscriptions. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default=Fastest
	// +optional
	Level CompressionLevel `json:"level,omitempty"`

	// minBytes is the size of a batch, in bytes, below which it is sent
	// uncompressed to clients that did not have the batches just before it: a
	// quantity such as 256 or 1Ki. To others it is compressed by referring to
	// those, which pays for small batches too. Default 256; 0 to 1Mi. Effect:
	// hot.
	// +streamgateway:class=hot
	// +kubebuilder:default="256"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('0')) >= 0 && quantity(string(self)).compareTo(quantity('1Mi')) <= 0",message="must be between 0 and 1Mi"
	// +optional
	MinBytes *resource.Quantity `json:"minBytes,omitempty"`

	// excludeChannels are patterns of channels whose events are never
	// compressed and never referred to, so that the length of what is sent
	// tells nothing about them: for secrets beside text that others choose. 1
	// to 64 patterns. Effect: hot.
	// +streamgateway:class=hot
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +optional
	ExcludeChannels []ChannelPattern `json:"excludeChannels,omitempty"`
}

// FeatureMode says who has a feature.
//
// +kubebuilder:validation:Enum=Enabled;Disabled;Percent
type FeatureMode string

// Values of FeatureMode.
const (
	// FeatureEnabled gives it to everybody.
	FeatureEnabled FeatureMode = "Enabled"
	// FeatureDisabled gives it to nobody.
	FeatureDisabled FeatureMode = "Disabled"
	// FeaturePercent gives it to a share.
	FeaturePercent FeatureMode = "Percent"
)

// StickyBy says what a share is drawn over.
//
// +kubebuilder:validation:Enum=Client;Session
type StickyBy string

// Values of StickyBy.
const (
	// StickyByClient keeps a client on one side over all its streams.
	StickyByClient StickyBy = "Client"
	// StickyBySession draws again for each stream.
	StickyBySession StickyBy = "Session"
)

// Feature is one flag.
//
// +kubebuilder:validation:XValidation:rule="(self.mode == 'Percent') == has(self.percent)",fieldPath=".percent",message="percent must be set if, and only if, mode is Percent"
type Feature struct {
	// name of the flag: a letter, then letters, digits, dots, hyphens and
	// underscores, at most 63 characters.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9._-]*$`
	// +required
	Name string `json:"name,omitempty"`

	// mode Enabled (default) gives the feature to everybody, Disabled to
	// nobody, Percent to a share.
	// +kubebuilder:default=Enabled
	// +optional
	Mode FeatureMode `json:"mode,omitempty"`

	// percent is the share that has the feature, 0 to 100; with mode Percent
	// only. Raising it keeps those who have it already.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +optional
	Percent *int32 `json:"percent,omitempty"`

	// stickyBy says what the share is drawn over, with mode Percent: Client
	// (default when absent) keeps a client on one side over all its streams,
	// Session draws again for each stream.
	// +optional
	StickyBy StickyBy `json:"stickyBy,omitempty"`
}
