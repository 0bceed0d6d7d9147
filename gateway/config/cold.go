package config

import "time"

// Cold is what a pod reads once, at its start. A change of it makes new pods.
type Cold struct {
	Gateway       Gateway  `json:"gateway"`
	Listener      Listener `json:"listener"`
	Observability Admin    `json:"observability"`
	Drain         Drain    `json:"drain"`
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
