package v1alpha1

// BrokerType is what keeps the events.
//
// +kubebuilder:validation:Enum=Memory;NATS
type BrokerType string

// Values of BrokerType.
const (
	// BrokerMemory keeps events in the memory of the one pod.
	BrokerMemory BrokerType = "Memory"
	// BrokerNATS keeps events in a stream of NATS JetStream that all pods share.
	BrokerNATS BrokerType = "NATS"
)

// Broker says where events get their order and are kept. Another type, prefix,
// server or stream is another log: clients are told to reload their state
// (`sg.reset`), and events of before are not moved.
type Broker struct {
	// type Memory (default) keeps events in the pod: one replica, and a pod that
	// is replaced is told of to clients. NATS keeps them in a JetStream stream
	// that all replicas read, so that pods come and go without a loss. Effect:
	// restart.
	// +streamgateway:class=restart
	// +kubebuilder:default=Memory
	// +optional
	Type BrokerType `json:"type,omitempty"`

	// subjectPrefix begins every NATS subject that the gateway uses; no two
	// gateways may share one. Absent: sg.NAMESPACE.NAME of the StreamGateway. 1
	// to 128 characters, in words of letters, digits, - and _ with dots between
	// them; of type NATS alone. Effect: restart.
	// +streamgateway:class=restart
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*$`
	// +optional
	SubjectPrefix string `json:"subjectPrefix,omitempty"`

	// nats says where the servers are, and is set only with type NATS.
	// +optional
	NATS *NATS `json:"nats,omitempty"` //nolint:kubeapilinter // a pointer tells absent, as type Memory has it, from empty, which is refused
}

// NATS is a NATS cluster with JetStream.
type NATS struct {
	// url is one or more servers of one cluster, with commas between them:
	// nats://HOST[:PORT], or tls://HOST[:PORT] to insist on TLS. A user and
	// password have their place in credentialsSecretRef. Required; 1 to 1024
	// characters. Effect: restart.
	// +streamgateway:class=restart
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^(nats|tls)://([A-Za-z0-9._-]+|[[][0-9A-Fa-f:.]+[]])(:[0-9]{1,5})?(,(nats|tls)://([A-Za-z0-9._-]+|[[][0-9A-Fa-f:.]+[]])(:[0-9]{1,5})?)*$')",message="must be nats://host[:port] or tls://host[:port], several with commas between them; credentials belong into credentialsSecretRef"
	// +required
	URL string `json:"url,omitempty"`

	// stream is the name of the JetStream stream. It is made where there is
	// none, and has to be of the shape that the gateway makes where there is
	// one. Absent: subjectPrefix with _ for every dot. 1 to 128 letters, digits,
	// - and _. Effect: restart.
	// +streamgateway:class=restart
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-]+$`
	// +optional
	Stream string `json:"stream,omitempty"`

	// credentialsSecretRef names a Secret with the key nats.creds, or token, or
	// username and password. Absent: the servers ask for none.
	// +optional
	CredentialsSecretRef *BrokerSecret `json:"credentialsSecretRef,omitempty"` //nolint:kubeapilinter // a pointer tells absent from empty, which is refused

	// caSecretRef names a Secret whose key ca.crt has the certificates that the
	// servers' are signed with. Absent: those that the image trusts.
	// +optional
	CASecretRef *BrokerSecret `json:"caSecretRef,omitempty"` //nolint:kubeapilinter // a pointer tells absent from empty, which is refused
}

// BrokerSecret names a Secret in the namespace of the StreamGateway. Pods mount
// it, the operator cannot read it; while it is missing or lacks its keys, new
// pods wait, and the condition ResolvedRefs says why.
type BrokerSecret struct {
	// name is the name of the Secret. 1 to 253 characters. Effect: restart.
	// +streamgateway:class=restart
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	// +required
	Name string `json:"name,omitempty"`
}
