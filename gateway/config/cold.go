package config

import "time"

// Cold is what a pod reads once, at its start. A change of it makes new pods.
type Cold struct {
	Gateway       Gateway  `json:"gateway"`
	Listener      Listener `json:"listener"`
	Observability Admin    `json:"observability"`
	Drain         Drain    `json:"drain"`
	Broker        Broker   `json:"broker"`
}

// Broker is where events get their order and are kept for clients that come
// back.
type Broker struct {
	Type string `json:"type"` // one of the Broker constants
	// SubjectPrefix is what all NATS subjects of this gateway begin with; needed
	// unless Type is Memory.
	SubjectPrefix string `json:"subjectPrefix,omitempty"`
	NATS          NATS   `json:"nats,omitzero"` // only with Type NATS
}

// Types of brokers.
const (
	BrokerMemory = "Memory" // in the one pod
	BrokerNATS   = "NATS"   // a JetStream stream of servers that somebody else runs
)

// NATS is the stream, and how to come to it.
type NATS struct {
	URL    string `json:"url"`              // one server or several, parted by commas
	Stream string `json:"stream,omitempty"` // empty = SubjectPrefix with _ for each dot
	// CredentialsSecretRef is mounted as the folder CredentialsFolder and holds
	// nats.creds, or token, or username and password; without a name the servers
	// ask for nothing.
	CredentialsSecretRef SecretRef `json:"credentialsSecretRef,omitzero"`
	// CASecretRef is mounted as the folder CAFolder and holds ca.crt; with a name
	// nothing but TLS is spoken.
	CASecretRef SecretRef `json:"caSecretRef,omitzero"`
}

// Folders below the one that the gateway's --nats-path names, each the mount of
// a Secret.
const (
	CredentialsFolder = "credentials"
	CAFolder          = "ca"
)

// SecretRef is a Secret in the gateway's own namespace.
type SecretRef struct {
	Name string `json:"name,omitempty"` // empty = none
}

// Gateway names the StreamGateway that the pod belongs to; both are empty for
// a gateway run alone.
type Gateway struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
}

// Listener is where subscribers and publishers come in.
type Listener struct {
	Port int `json:"port"`
	TLS  TLS `json:"tls,omitzero"`
}

// TLS is the Secret that the pod mounts.
type TLS struct {
	SecretName string `json:"secretName,omitempty"` // empty = clients are answered without TLS
}

// Admin is where the operator and scrapers come in.
type Admin struct {
	AdminPort int      `json:"adminPort"`
	Tracing   Endpoint `json:"tracing,omitzero"`
}

// Endpoint is where spans go.
type Endpoint struct {
	Endpoint string `json:"endpoint,omitempty"` // OTLP/gRPC: host:port or a URL; empty = nothing is traced
}

// Drain bounds the end of a pod, so that clients move on without a storm. How
// they are spread is hot.
type Drain struct {
	Timeout      time.Duration `json:"timeout"`      // longest drain; who is still there is closed
	PreStopDelay time.Duration `json:"preStopDelay"` // not ready, still serving, before the first is asked to move
}
