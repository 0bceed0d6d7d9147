// Package config is what goes down from the operator to a gateway pod: the
// documents both sides share, their defaults, and the rules that a document
// must keep so that the engine can run it.
//
// It is pure: standard library only, no file, no clock, no network. The
// operator writes these documents (controllers/resources), a pod reads them
// (gateway/server), and a person may write them by hand for a gateway run
// alone.
package config

import (
	"slices"
	"time"
)

// Keys of the ConfigMap <sg>-config.
const (
	// HotKey holds a Document. It is the only key that ever changes.
	HotKey = "hot.json"
	// coldPrefix and coldSuffix surround the template hash in a cold key.
	coldPrefix = "cold."
	coldSuffix = ".json"
)

// ColdKey is the key of the Cold document that pods of this template read. One
// key for each live template, never changed: an older pod that restarts its
// container finds what it was made for.
func ColdKey(templateHash string) string { return coldPrefix + templateHash + coldSuffix }

// Document is the one numbered document that reaches running pods.
type Document struct {
	// Serial grows by one at every write; it is what pods acknowledge. A
	// document with a serial below the one that runs is ignored.
	Serial int64 `json:"serial"`
	// Stable is what every pod runs that is not told to run Candidate.
	Stable Revision `json:"stable"`
	// Candidate is a revision on trial; without a name there is none.
	Candidate Revision `json:"candidate,omitzero"`
	// CandidatePods and CandidateTemplates name who runs Candidate: pods by
	// their name, or all pods of a template by its hash.
	CandidatePods      []string `json:"candidatePods,omitempty"`
	CandidateTemplates []string `json:"candidateTemplates,omitempty"`
	// DrainPods and DrainTemplates, by name and by template hash, are the pods
	// that stand by: they are not ready and ask their clients to move, and serve
	// who comes all the same.
	DrainPods      []string `json:"drainPods,omitempty"`
	DrainTemplates []string `json:"drainTemplates,omitempty"`
	// KeySets are the contents of the ConfigMaps that revisions refer to.
	KeySets []KeySet `json:"keySets,omitempty"`
}

// KeySet is what a ConfigMap holds that revisions refer to. It belongs to no
// revision: keys change without anybody changing the spec.
type KeySet struct {
	ConfigMap KeyRef `json:"configMap"`
	JWKS      string `json:"jwks"` // a JWK set; public keys
}

// Keys is the key set that a revision refers to, "" when there is none.
func (d Document) Keys(of KeyRef) string {
	for _, set := range d.KeySets {
		if set.ConfigMap == of {
			return set.JWKS
		}
	}
	return ""
}

// For is the revision that this pod runs. Every pod finds itself in the
// document; nobody else decides for it.
func (d Document) For(pod, templateHash string) Revision {
	if d.Tries(pod, templateHash) {
		return d.Candidate
	}
	return d.Stable
}

// Tries tells whether this pod runs Candidate.
func (d Document) Tries(pod, templateHash string) bool {
	return d.Candidate.Name != "" && (slices.Contains(d.CandidatePods, pod) || slices.Contains(d.CandidateTemplates, templateHash))
}

// Newest is the name of the revision that was pushed last.
func (d Document) Newest() string {
	if d.Candidate.Name != "" {
		return d.Candidate.Name
	}
	return d.Stable.Name
}

// StandsBy tells whether the document has this pod stand by.
func (d Document) StandsBy(pod, templateHash string) bool {
	return slices.Contains(d.DrainPods, pod) || slices.Contains(d.DrainTemplates, templateHash)
}

// Revision is a hot section with the name of the revision it came from.
type Revision struct {
	Name string `json:"revision"`
	Hot  Hot    `json:"hot"`
}

// Default is what an empty spec means. The defaults of the custom resource
// are the same numbers; a test compares them field by field.
func Default() (Cold, Hot) {
	cold := Cold{
		Listener:      Listener{Port: 8080},
		Observability: Admin{AdminPort: 9090},
		Drain:         Drain{Timeout: 30 * time.Second, PreStopDelay: 5 * time.Second},
		Broker:        Broker{Type: BrokerMemory},
	}
	hot := Hot{
		Batching: Batching{Window: 50 * time.Millisecond, MaxEvents: 100, MaxBytes: 256 << 10},
		Queue:    Queue{MaxEvents: 10000, MaxBytes: 8 << 20, MaxLag: 30 * time.Second, SlowConsumerPolicy: PolicyDropWithGap},
		Replay:   Replay{Mode: Enabled, TTL: 5 * time.Minute, MaxBytes: 256 << 20},
		Connections: Connections{
			MaxPerPod: 10000, MaxPerSubject: 10, MaxSubscriptions: 100, MaxPatterns: 32,
			Heartbeat: 15 * time.Second, WriteTimeout: 30 * time.Second, MaxAge: 2 * time.Hour,
			LongPollTimeout: 25 * time.Second, Retry: 3 * time.Second, RetryJitterPercent: 50,
		},
		Compression: Compression{Mode: Auto, Level: LevelFastest, MinBytes: 256},
		Limits: Limits{
			MaxEventBytes: 64 << 10,
			Publish:       Publish{PerPublisherEventsPerSecond: 200, Burst: 1000, PerTenantEventsPerSecond: 5000},
			Delivery:      Delivery{EventsPerSecond: 2000, BytesPerSecond: 4 << 20},
			Connect:       Connect{PerSecond: 2000, Burst: 10000},
		},
		Observability: Observability{LogLevel: LogInfo, AccessLog: Disabled, MetricsAccess: MetricsAuthenticated, Presence: PresenceCount, Tracing: Tracing{SamplePercent: 1}, BeaconInterval: time.Minute},
		Listener:      HotListener{TLS: Handshake{MinVersion: TLS12}},
		Auth: Auth{
			Subscribers: Subscribers{Mode: ModeAnonymous, AccessTokenQuery: Disabled},
			Publishers:  Publishers{Mode: ModeKubernetes, Audiences: []string{"streamgateway.io"}, CacheTTL: 10 * time.Second},
		},
		CircuitBreaker: CircuitBreaker{Mode: Enabled, FailureThreshold: 5, OpenDuration: 5 * time.Second, HalfOpenProbes: 3},
		Drain:          Spread{ReconnectSpread: 10 * time.Second},
	}
	return cold, hot
}
