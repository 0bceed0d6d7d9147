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

// Subscribers says who may read what. Everybody who reaches the gateway is
// anonymous.
type Subscribers struct {
	// anonymousChannels are patterns of the channels that everybody may read:
	// in streams, in pages of the past, and in counts of readers. Absent, every
	// channel is open; must be set when listener.service.type is not ClusterIP,
	// and ['>'] opens every channel there too. 1 to 64 patterns. Effect: hot.
	// +streamgateway:class=hot
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +optional
	AnonymousChannels []ChannelPattern `json:"anonymousChannels,omitempty"`
}

// PublisherMode says how publishers are known.
//
// +kubebuilder:validation:Enum=Kubernetes;Anonymous
type PublisherMode string

// Values of PublisherMode.
const (
	// PublisherKubernetes asks the API server: is the token genuine and made
	// for one of the audiences, and may its subject create
	// streamgateways/publish for this gateway.
	PublisherKubernetes PublisherMode = "Kubernetes"
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
	// streamgateways/publish. Anonymous asks nobody, and is allowed only with
	// listener.service.type ClusterIP. Effect: hot.
	// +streamgateway:class=hot
	// +kubebuilder:default=Kubernetes
	// +optional
	Mode PublisherMode `json:"mode,omitempty"`

	// audiences are names of which a token must be made for one, so that a
	// token for the API server is of no use here. Default [streamgateway.io]; 1
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
}
