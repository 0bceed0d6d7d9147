package config

import "time"

// Hot is what a running pod takes over without a restart. Each group has the
// shape of the struct of the room that uses it, field by field, so that server
// hands it over by a plain struct conversion: a knob that is in one and not in
// the other breaks the build.
type Hot struct {
	Batching       Batching       `json:"batching"`
	Queue          Queue          `json:"queue"`
	Replay         Replay         `json:"replay"`
	Connections    Connections    `json:"connections"`
	Limits         Limits         `json:"limits"`
	Compression    Compression    `json:"compression"`
	CircuitBreaker CircuitBreaker `json:"circuitBreaker"`
	Auth           Auth           `json:"auth"`
	Listener       HotListener    `json:"listener"`
	Observability  Observability  `json:"observability"`
	Drain          Spread         `json:"drain"`
	Features       []Feature      `json:"features,omitempty"`
}

// Spread is the hot part of Drain.
type Spread struct {
	ReconnectSpread time.Duration `json:"reconnectSpread"` // clients are asked to move, spread over this
}

// Batching says when events that wait for a group of equal subscribers are
// written to them: at the first limit reached.
type Batching struct {
	Window    time.Duration `json:"window"`    // longest wait before a flush; 0 = no batching
	MaxEvents int           `json:"maxEvents"` // events
	MaxBytes  int64         `json:"maxBytes"`  // bytes before compression
}

// Queue bounds how far a client may lag behind the shared log. Nothing is
// stored per client: a queue is a lag.
type Queue struct {
	MaxEvents          int           `json:"maxEvents"` // events
	MaxBytes           int64         `json:"maxBytes"`  // bytes
	MaxLag             time.Duration `json:"maxLag"`
	SlowConsumerPolicy string        `json:"slowConsumerPolicy"` // one of the Policy constants
}

// What happens to a client that reaches a limit of Queue.
const (
	PolicyConflate    = "Conflate"    // newest event of each channel, then a gap notice for the rest
	PolicyDropWithGap = "DropWithGap" // jump to the head and say what was lost
	PolicyDisconnect  = "Disconnect"  // close; the client resumes by replay
)

// Replay bounds the shared log that reconnecting clients resume from.
type Replay struct {
	Mode     string        `json:"mode"` // Enabled or Disabled
	TTL      time.Duration `json:"ttl"`
	MaxBytes int64         `json:"maxBytes"` // bytes per pod
}

// Connections bounds and paces the streams of one pod.
type Connections struct {
	MaxPerPod          int           `json:"maxPerPod"`
	MaxPerSubject      int           `json:"maxPerSubject"` // of one reader with a name; 0 = not limited
	MaxPerAddress      int           `json:"maxPerAddress"` // 0 = not limited
	MaxPerTenant       int           `json:"maxPerTenant"`  // 0 = not limited
	MaxSubscriptions   int           `json:"maxSubscriptions"`
	MaxPatterns        int           `json:"maxPatterns"`
	Heartbeat          time.Duration `json:"heartbeat"`
	WriteTimeout       time.Duration `json:"writeTimeout"`
	MaxAge             time.Duration `json:"maxAge"`
	LongPollTimeout    time.Duration `json:"longPollTimeout"`
	Retry              time.Duration `json:"retry"`
	RetryJitterPercent int           `json:"retryJitterPercent"` // percent of Retry
}

// Limits bounds what publishers and new streams may ask of one pod.
type Limits struct {
	MaxEventBytes int64    `json:"maxEventBytes"` // bytes of one event's data
	Publish       Publish  `json:"publish"`
	Delivery      Delivery `json:"delivery"`
	Connect       Connect  `json:"connect"`
}

// Publish bounds how fast events come, as token buckets. Publishers without a
// name are not counted.
type Publish struct {
	PerPublisherEventsPerSecond int `json:"perPublisherEventsPerSecond"` // events; 0 = not limited
	Burst                       int `json:"burst"`                       // events of one publisher at once
	PerTenantEventsPerSecond    int `json:"perTenantEventsPerSecond"`    // events per pod; 0 = not limited
}

// Delivery is how fast one stream gets live events, each with a burst of one
// second.
type Delivery struct {
	EventsPerSecond int   `json:"eventsPerSecond"` // events; 0 = not limited
	BytesPerSecond  int64 `json:"bytesPerSecond"`  // bytes before compression; 0 = not limited
}

// Connect is a token bucket for new streams.
type Connect struct {
	PerSecond int `json:"perSecond"` // streams
	Burst     int `json:"burst"`     // streams
}

// Compression says how gzip is made for clients that take it. Mode acts on
// streams that are opened from then on, the rest on the next batch.
type Compression struct {
	Mode            string   `json:"mode"`                      // Auto or Disabled
	Level           string   `json:"level"`                     // one of the Level constants
	MinBytes        int64    `json:"minBytes"`                  // bytes; smaller batches are compressed only by referring to those before
	ExcludeChannels []string `json:"excludeChannels,omitempty"` // patterns of channels that are never compressed
}

// Auto compresses for every client that takes it.
const Auto = "Auto"

// What compression costs and saves.
const (
	LevelFastest = "Fastest"
	LevelDefault = "Default"
	LevelBest    = "Best"
)

// CircuitBreaker says when a log that fails is left alone. Publishes are then
// refused at once; streams go on.
type CircuitBreaker struct {
	Mode             string        `json:"mode"`             // Enabled or Disabled
	FailureThreshold int           `json:"failureThreshold"` // failures in a row that open it
	OpenDuration     time.Duration `json:"openDuration"`     // doubles while probes fail
	HalfOpenProbes   int           `json:"halfOpenProbes"`   // successes that close it
}

// Auth says who may read and who may publish.
type Auth struct {
	Subscribers Subscribers `json:"subscribers"`
	Publishers  Publishers  `json:"publishers"`
}

// Publishers says who may publish.
type Publishers struct {
	Mode      string        `json:"mode"` // one of the Mode constants
	Audiences []string      `json:"audiences,omitempty"`
	CacheTTL  time.Duration `json:"cacheTTL"` // how long a positive review is reused
	JWT       JWT           `json:"jwt,omitzero"`
}

// How it is found out who makes a request.
const (
	ModeKubernetes = "Kubernetes" // TokenReview, then an access review of create on streamgateways/publish or subscribe
	ModeJWT        = "JWT"        // a token signed by an issuer
	ModeAnonymous  = "Anonymous"  // everybody who reaches the port
)

// Subscribers says who may read what.
type Subscribers struct {
	Mode              string   `json:"mode"`                        // one of the Mode constants
	AnonymousChannels []string `json:"anonymousChannels,omitempty"` // patterns that everybody may read with mode Anonymous; none = everything
	AccessTokenQuery  string   `json:"accessTokenQuery"`            // Enabled or Disabled: take ?access_token=
	JWT               JWT      `json:"jwt,omitzero"`
}

// JWT says which signed tokens are taken, with mode JWT.
type JWT struct {
	Issuer        string        `json:"issuer"`
	Audiences     []string      `json:"audiences,omitempty"` // one of which must be in aud
	JWKS          JWKS          `json:"jwks"`
	ChannelsClaim string        `json:"channelsClaim"` // holds tenant and patterns; dots lead into objects
	ClockSkew     time.Duration `json:"clockSkew"`     // leeway on exp and nbf
}

// JWKS says where the keys come from that tokens are signed with: from a URI, or
// from the document's own KeySets.
type JWKS struct {
	URI             string        `json:"uri,omitempty"`
	ConfigMapRef    KeyRef        `json:"configMapRef,omitzero"`
	RefreshInterval time.Duration `json:"refreshInterval"` // of URI
}

// KeyRef is a key of a ConfigMap.
type KeyRef struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

// HotListener is what running pods take over of how clients come in.
type HotListener struct {
	AllowedOrigins []string  `json:"allowedOrigins,omitempty"` // whose pages may ask: scheme://host[:port], scheme://*.domain, or "*" alone; none = the gateway's own
	TrustedProxies []string  `json:"trustedProxies,omitempty"` // networks of peers whose X-Forwarded-For is believed; none = the peer is the client
	TLS            Handshake `json:"tls"`
}

// Handshake bounds TLS for connections that are opened from then on.
type Handshake struct {
	MinVersion string `json:"minVersion"` // TLS12 or TLS13
}

// The oldest TLS that clients may speak.
const (
	TLS12 = "TLS12"
	TLS13 = "TLS13"
)

// Observability says what a pod tells of itself, and how often pages tell it of
// themselves.
type Observability struct {
	LogLevel  string  `json:"logLevel"`  // one of the Log constants
	AccessLog string  `json:"accessLog"` // Enabled or Disabled: one line for each stream that ends
	Tracing   Tracing `json:"tracing"`
	// BeaconInterval is how often pages that report how they feel do so, ±20 %.
	MetricsAccess  string        `json:"metricsAccess"` // MetricsAuthenticated or MetricsOpen
	Presence       string        `json:"presence"`      // one of the Presence constants
	BeaconInterval time.Duration `json:"beaconInterval"`
}

// Who may read the JSON metrics.
const (
	MetricsAuthenticated = "Authenticated"
	MetricsOpen          = "Open"
)

// What is told of the readers of a channel, besides Disabled.
const (
	PresenceCount   = "Count"
	PresenceMembers = "Members"
)

// Tracing says how much is traced; where to is cold.
type Tracing struct {
	SamplePercent float64 `json:"samplePercent"` // of traces that begin here
}

// What is written to the log: this level and those above.
const (
	LogDebug = "Debug"
	LogInfo  = "Info"
	LogWarn  = "Warn"
	LogError = "Error"
)

// Two-state fields of the custom resource are enums, here as there.
const (
	Enabled  = "Enabled"
	Disabled = "Disabled"
	Percent  = "Percent"
	Client   = "Client"
	Session  = "Session"
)

// Feature is one flag. Names unknown to the gateway are handed to browsers.
type Feature struct {
	Name     string `json:"name"`
	Mode     string `json:"mode"`               // Enabled, Disabled or Percent
	Percent  int    `json:"percent,omitempty"`  // 0..100, with mode Percent
	StickyBy string `json:"stickyBy,omitempty"` // Client or Session, with mode Percent
}
