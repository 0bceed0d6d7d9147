package v1alpha1

// Auth says who may read and who may publish.
type Auth struct {
	// subscribers says who may read what.
	// +kubebuilder:default={}
	// +optional
	Subscribers *Subscribers `json:"subscribers,omitempty"`

	// publishers says who may publish.
	// +kubebuilder:default={}
	// +optional
	Publishers *Publishers `json:"publishers,omitempty"`
}

// SubscriberMode says how those who read are known.
//
// +kubebuilder:validation:Enum=Anonymous;JWT;Kubernetes
type SubscriberMode string

// Values of SubscriberMode.
const (
	// SubscriberAnonymous lets everybody read who reaches the gateway.
	SubscriberAnonymous SubscriberMode = "Anonymous"
	// SubscriberJWT takes tokens that an issuer has signed.
	SubscriberJWT SubscriberMode = "JWT"
	// SubscriberKubernetes asks the API server: is the token genuine and made
	// for one of auth.publishers.audiences, and may its subject create
	// streamgateways/subscribe for this gateway.
	SubscriberKubernetes SubscriberMode = "Kubernetes"
)

// Subscribers says who may read what.
type Subscribers struct {
	// mode is how those who read are known. Default Anonymous: everybody who
	// reaches the gateway. JWT: by a token that jwt describes. Kubernetes: by a
	// token that the API server reviews, whose subject needs the right to
	// create streamgateways/subscribe; it may read everything. Effect: hot, on
	// running streams, too.
	// +streamgateway:class=hot
	// +kubebuilder:default=Anonymous
	// +optional
	Mode SubscriberMode `json:"mode,omitempty"`

	// anonymousChannels are patterns of the channels that everybody may read:
	// in streams, in pages of the past, and in counts of readers. Absent, every
	// channel is open; must be set when listener.service.type is not ClusterIP
	// and mode is Anonymous, and ['>'] opens every channel there too. Other modes
	// do not heed it. 1 to 64 patterns. Effect: hot.
	// +streamgateway:class=hot
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +optional
	AnonymousChannels []ChannelPattern `json:"anonymousChannels,omitempty"`

	// accessTokenQuery takes a token from the parameter access_token, too, for
	// clients that can set no header. What is in a URL lands in the logs of
	// proxies and in histories of browsers. Default Disabled. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default=Disabled
	// +optional
	AccessTokenQuery Switch `json:"accessTokenQuery,omitempty"`

	// jwt describes the tokens of mode JWT, and is set only with it.
	// +optional
	JWT *JWT `json:"jwt,omitempty"` //nolint:kubeapilinter // a pointer tells absent, as other modes have it, from empty, which is refused
}

// JWT describes signed tokens. Signatures with RS256, ES256 and EdDSA are taken;
// a token needs sub, exp, iss and aud.
type JWT struct {
	// issuer is what tokens must have as iss. 1 to 512 characters. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +required
	Issuer string `json:"issuer,omitempty"`

	// audiences are names of which one must be in aud, so that a token for
	// another service, or for another gateway, is of no use here. 1 to 8.
	// Effect: hot.
	// +streamgateway:class=hot
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +required
	Audiences []Audience `json:"audiences,omitempty"`

	// jwks says where the public keys come from that tokens are signed with.
	// +required
	JWKS JWKS `json:"jwks,omitzero"`

	// channelsClaim is the claim that says what a token's bearer may do: an
	// object with tenant, sub and pub (lists of channel patterns to read and to
	// publish to), presence, metrics, flush and limits.connections, or a list of
	// the patterns to read. Dots lead into objects; a claim of the whole name
	// goes first. Default sg; 1 to 128 characters. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default=sg
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +optional
	ChannelsClaim string `json:"channelsClaim,omitempty"`

	// clockSkew is by how much the issuer's clock may differ: a token is taken
	// for this long after exp and before nbf. Default 30s; 0s to 5m. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('5m')",message="must be between 0s and 5m"
	// +optional
	ClockSkew Duration `json:"clockSkew,omitempty"`
}

// JWKS says where a JWK set comes from.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="has(self.uri) != has(self.configMapRef)",message="set exactly one of uri or configMapRef"
type JWKS struct {
	// uri is where the pods fetch the set: at their start, every
	// refreshInterval, and when a token is signed with a key they do not know,
	// every five seconds at most. A fetch has five seconds and 256 KiB, and
	// follows no redirect; while it fails, the keys known last stay. Use https:
	// who can change the answer can sign tokens. 1 to 1024 characters. Effect:
	// hot.
	// +streamgateway:class=hot
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^https?://[^/?#@]+([/?][^#]*)?$`
	// +optional
	URI string `json:"uri,omitempty"`

	// configMapRef names a key of a ConfigMap in this namespace that holds the
	// set. The operator hands it to the pods, and hands on every change.
	// +optional
	ConfigMapRef *ConfigMapKey `json:"configMapRef,omitempty"` //nolint:kubeapilinter // a pointer tells absent from empty, which is refused

	// refreshInterval is how often uri is fetched. Default 10m; 10s to 24h.
	// Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('24h')",message="must be between 10s and 24h"
	// +optional
	RefreshInterval Duration `json:"refreshInterval,omitempty"`
}

// ConfigMapKey is a key of a ConfigMap in the same namespace.
type ConfigMapKey struct {
	// name is the name of the ConfigMap. 1 to 253 characters. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`

	// key is the key in the ConfigMap's data. Default jwks.json; 1 to 253
	// characters. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default="jwks.json"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Key string `json:"key,omitempty"`
}

// PublisherMode says how publishers are known.
//
// +kubebuilder:validation:Enum=Kubernetes;JWT;Anonymous
type PublisherMode string

// Values of PublisherMode.
const (
	// PublisherKubernetes asks the API server: is the token genuine and made
	// for one of the audiences, and may its subject create
	// streamgateways/publish for this gateway.
	PublisherKubernetes PublisherMode = "Kubernetes"
	// PublisherJWT takes tokens that an issuer has signed, for the channels that
	// they name.
	PublisherJWT PublisherMode = "JWT"
	// PublisherAnonymous lets everybody publish who reaches the gateway.
	PublisherAnonymous PublisherMode = "Anonymous"
)

// Audience is a name that tokens are made for.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
type Audience string

// Publishers says who may publish.
type Publishers struct {
	// mode is how publishers are known. Default Kubernetes: their token is
	// reviewed by the API server, and they need the right to create
	// streamgateways/publish. JWT: by a token that jwt describes, for the
	// channels that it names. Anonymous asks nobody, and is allowed only with
	// listener.service.type ClusterIP. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default=Kubernetes
	// +optional
	Mode PublisherMode `json:"mode,omitempty"`

	// audiences are names of which a token that the API server reviews must be
	// made for one, so that a token for the API server is of no use here; it
	// holds for subscribers of mode Kubernetes, too. Default [streamgateway.io]; 1
	// to 8. Effect: hot.
	// +streamgateway:class=hot
	// +listType=set
	// +kubebuilder:default={"streamgateway.io"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Audiences []Audience `json:"audiences,omitempty"`

	// cacheTTL is how long a positive review is reused: the longest time that a
	// right lives on after it was taken away. Default 10s; 0s to 5m. Effect:
	// hot.
	// +streamgateway:class=hot
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('5m')",message="must be between 0s and 5m"
	// +optional
	CacheTTL Duration `json:"cacheTTL,omitempty"`

	// jwt describes the tokens of mode JWT, and is set only with it.
	// +optional
	JWT *JWT `json:"jwt,omitempty"` //nolint:kubeapilinter // a pointer tells absent, as other modes have it, from empty, which is refused
}
