// Package report is what comes up from a gateway pod: the JSON of the admin
// port's /status, its paths, and the histogram that can be merged over pods.
//
// It is pure: standard library only. The pod fills it (gateway/server), the
// operator folds it (controllers/fleet). It carries no secret and no channel's
// name or data, since the admin port has no authentication of its own.
package report

import "time"

// Paths of the admin port.
const (
	Path        = "/status"
	HealthzPath = "/healthz"
	ReadyzPath  = "/readyz"
	MetricsPath = "/metrics"
	// WaitParameter makes Path answer only when the pod runs (or has refused)
	// this serial or a newer one, or after WaitLimit.
	WaitParameter = "waitFor"
	WaitLimit     = 10 * time.Second
)

// KeysFile is the key of the Secret, and the file in its mount, that holds the
// secret which all replicas share.
const KeysFile = "secret"

// What is wrong with that secret.
const (
	SharedMissing = "missing" // it is not mounted, or not yet
	SharedInvalid = "invalid" // it is not what the operator makes
)

// Report is one pod's view of itself. Counters grow from the pod's start.
type Report struct {
	Pod          string    `json:"pod"`
	Version      string    `json:"version"`
	TemplateHash string    `json:"templateHash,omitempty"`
	StartTime    time.Time `json:"startTime"`
	Time         time.Time `json:"time"`

	Serial        int64    `json:"serial"`   // of the document that runs; 0 = none yet
	Revision      string   `json:"revision"` // that of the document's two which this pod runs
	Nack          *Nack    `json:"nack,omitempty"`
	UnknownFields []string `json:"unknownFields,omitempty"` // ignored fields of the running document

	// SharedSecret is empty, or what is wrong with the secret that all replicas share:
	// the one of before stays in use.
	SharedSecret string `json:"sharedSecret,omitempty"`

	Ready bool `json:"ready"`
	// Draining: clients are asked to move, since the pod ends or stands by.
	Draining bool `json:"draining"`

	Connections    Connections    `json:"connections"`
	Events         Events         `json:"events"`
	Queue          Queue          `json:"queue"`
	Replay         Replay         `json:"replay"`
	CircuitBreaker CircuitBreaker `json:"circuitBreaker"`
	Browsers       Browsers       `json:"browsers"`
	TLS            *TLS           `json:"tls,omitempty"` // absent: clients are answered without TLS
	// KeysFault is why the newest keys of signed tokens cannot be had; those
	// known before, if any, stay in use.
	KeysFault string  `json:"keysFault,omitempty"`
	Audit     *Audit  `json:"audit,omitempty"`  // absent: the pod does not audit itself
	Broker    *Broker `json:"broker,omitempty"` // absent: events are kept in the pod
	// Latency is event in this pod's log → last byte handed to the socket, on
	// one clock, since the pod's start.
	Latency Histogram `json:"latency"`
}

// TLS is the certificate that clients are answered with, and what is wrong with
// the one that was found last.
type TLS struct {
	SecretName string `json:"secretName,omitempty"` // empty: files named by hand
	// Reason is empty, or one of the Secret constants: the certificate of before
	// stays in use; without one the port for clients is closed.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// NotBefore and NotAfter bound the time of the certificate in use; zero =
	// there is none.
	NotBefore time.Time `json:"notBefore,omitzero"`
	NotAfter  time.Time `json:"notAfter,omitzero"`
}

// Broker is what a pod says of the log that it shares with others.
type Broker struct {
	// Reason is empty, or one of the Secret constants: what is wrong with a
	// Secret by which the servers are reached. What was read before stays in
	// use; without it the pod waits.
	Reason string `json:"reason,omitempty"`
	// DownSince is since when the servers cannot be reached; zero = they can.
	DownSince time.Time `json:"downSince,omitzero"`
	// Full: the servers have no room for more events.
	Full    bool   `json:"full,omitempty"`
	Message string `json:"message,omitempty"` // of what is wrong; without a secret
}

// reconnectPatience is for how long servers may be away while others of their
// cluster take over, before that is worth a word.
const reconnectPatience = 5 * time.Second

// Down tells whether the log cannot be reached. now is of the pod's own clock.
func (b *Broker) Down(now time.Time) bool {
	return !b.DownSince.IsZero() && now.Sub(b.DownSince) >= reconnectPatience
}

// Audit is what a pod found that publishes events to itself all the time and
// reads them back as a client would.
type Audit struct {
	Checked uint64 `json:"checked"` // events read back, each in its place
	// Lost counts events that were lost without a word, came twice or out of
	// order.
	Lost      uint64    `json:"lost"`
	LastProof time.Time `json:"lastProof,omitzero"` // when an event was read back last
	LastLoss  time.Time `json:"lastLoss,omitzero"`
	Message   string    `json:"message,omitempty"` // of the last loss
}

const (
	// proofLasts is for how long an event that was read back proves anything.
	proofLasts = time.Minute
	// lossLasts is for how long a loss is held against a pod.
	lossLasts = 10 * time.Minute
)

// Verified tells whether the pod has proved lately that it loses nothing. now
// is of the pod's own clock.
func (a *Audit) Verified(now time.Time) bool {
	return !a.LastProof.IsZero() && now.Sub(a.LastProof) < proofLasts && !a.Broken(now)
}

// Stale tells whether a pod that runs since start should have proved something
// lately and has not.
func (a *Audit) Stale(now, start time.Time) bool {
	since := a.LastProof
	if since.IsZero() {
		since = start
	}
	return now.Sub(since) >= proofLasts
}

// Broken tells whether the pod has lost something lately.
func (a *Audit) Broken(now time.Time) bool {
	return !a.LastLoss.IsZero() && now.Sub(a.LastLoss) < lossLasts
}

// What is wrong with a Secret.
const (
	SecretNotFound     = "SecretNotFound"
	InvalidCertificate = "InvalidCertificate"
	InvalidCredentials = "InvalidCredentials"
)

// Nack is the newest document that the pod refused; the one before it runs on.
// It is absent again once a newer document runs.
type Nack struct {
	Serial   int64     `json:"serial"`
	Revision string    `json:"revision"`
	Message  string    `json:"message"`
	Time     time.Time `json:"time"`
}

// Connections counts streams.
type Connections struct {
	Active   int    `json:"active"`
	Opened   uint64 `json:"opened"`
	Rejected uint64 `json:"rejected"`
	// Lost counts streams that the pod ended or lost unasked: write error or
	// timeout, slow, overload. Never drain, age, or a close by the client.
	Lost uint64 `json:"lost"`
}

// Browsers is what pages reported in the last minute.
type Browsers struct {
	// Latency counts each report once, by the 95th percentile that the page
	// measured, from the log to its handler. A page has one vote, however many
	// events it got: percentiles of pages cannot be added up to one of events.
	Latency   Histogram `json:"latency"`
	Reports   uint64    `json:"reports"`   // with a latency or without
	Buffering uint64    `json:"buffering"` // of these: from behind a proxy that holds streams back
	// Flags are the same latencies by flags that only a part of the pages has on.
	Flags []Cohorts `json:"flags,omitempty"`
}

// Cohorts are the latencies that pages report, apart by whether they have a
// flag on.
type Cohorts struct {
	Flag string    `json:"flag"`
	On   Histogram `json:"on"`
	Off  Histogram `json:"off"`
}

// MaxFlags is how many flags a config holds at most.
const MaxFlags = 32

// Events counts events on their way in and out.
type Events struct {
	Published       uint64 `json:"published"`
	PublishFailed   uint64 `json:"publishFailed"` // answered 5xx
	PublishRejected uint64 `json:"publishRejected"`
	Delivered       uint64 `json:"delivered"`
	DeliveryFailed  uint64 `json:"deliveryFailed"` // writes that ended in an error, in events
	Dropped         uint64 `json:"dropped"`        // skipped by the slow-consumer policy
}

// Queue tells how far clients lag behind the log.
type Queue struct {
	// LagPercent is the mean over clients of lag ÷ limit, 0..100, by whichever
	// limit (events, bytes, age) is nearest.
	LagPercent float64 `json:"lagPercent"`
	Slow       int     `json:"slow"` // clients over half of a limit
	// Waiting are the writes that are not tried yet, since their batch is not
	// closed, by how long their oldest event has waited: late ones are known
	// before they are in Latency. Clients that are slow have no part in it.
	Waiting       Histogram `json:"waiting"`
	WaitingEvents uint64    `json:"waitingEvents"` // in them, summed over streams
}

// CircuitBreaker tells whether the log takes events.
type CircuitBreaker struct {
	State  string `json:"state"`  // one of the Circuit constants
	Opened uint64 `json:"opened"` // times
}

// Where a circuit breaker stands.
const (
	CircuitClosed   = "closed"
	CircuitHalfOpen = "half-open" // the log is tried again
	CircuitOpen     = "open"      // publishes are refused
)

// Replay tells what reconnecting clients can still be given.
type Replay struct {
	HeldSeconds float64 `json:"heldSeconds"` // age of the oldest event kept
	Events      int     `json:"events"`
	Bytes       int64   `json:"bytes"`
	// Short: events younger than replay.ttl had to go for lack of memory.
	Short bool `json:"short"`
}
