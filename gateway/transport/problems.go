package transport

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Kinds of problems: the last part of the type URN, on which clients branch.
// They are never reworded.
const (
	KindInvalidParameter      = "invalid-parameter"
	KindInvalidCursor         = "invalid-cursor"
	KindInvalidChannel        = "invalid-channel"
	KindInvalidJSON           = "invalid-json"
	KindUnauthenticated       = "unauthenticated"
	KindTokenExpired          = "token-expired"
	KindChannelDenied         = "channel-denied"
	KindOriginDenied          = "origin-denied"
	KindCSRF                  = "csrf"
	KindNotFound              = "not-found"
	KindSessionGone           = "session-gone"
	KindSessionBusy           = "session-busy"
	KindMethod                = "method"
	KindNotAcceptable         = "not-acceptable"
	KindDurabilityUnavailable = "durability-unavailable"
	KindEventTooLarge         = "event-too-large"
	KindBatchTooLarge         = "batch-too-large"
	KindURITooLong            = "uri-too-long"
	KindUnsupportedMediaType  = "unsupported-media-type"
	KindInvalidEvent          = "invalid-event"
	KindIdempotencyMismatch   = "idempotency-mismatch"
	KindTooManySubscriptions  = "too-many-subscriptions"
	KindConnectionLimit       = "connection-limit"
	KindRateLimited           = "rate-limited"
	KindOverload              = "overload"
	KindDraining              = "draining"
	KindBrokerUnavailable     = "broker-unavailable"
	KindInternal              = "internal"
)

const problemType = "urn:streamgateway:problem:"

// problem is the body of a refusal, RFC 9457 with the members of protocol 2.
type problem struct {
	Type         string        `json:"type"`
	Title        string        `json:"title"`
	Status       int           `json:"status"`
	Detail       string        `json:"detail,omitempty"`
	Instance     string        `json:"instance"`
	RequestID    string        `json:"requestId"`
	RetryAfterMs int64         `json:"retryAfterMs,omitempty"`
	Limit        *limitMember  `json:"limit,omitempty"`
	Parameter    string        `json:"parameter,omitempty"`
	Index        *int          `json:"index,omitempty"`
	Channels     []string      `json:"channels,omitempty"`
	Errors       []IndexError  `json:"errors,omitempty"`
	Transport    string        `json:"transport,omitempty"`
	Results      []eventResult `json:"results,omitempty"`
}

type limitMember struct {
	Name  string `json:"name"`
	Value int64  `json:"value"`
	Scope string `json:"scope"`
}

// IndexError says what is wrong with one event of a request.
type IndexError struct {
	Index  int    `json:"index"` // from 0, in request order
	Detail string `json:"detail"`
}

// ProblemOption adds a member to a problem.
type ProblemOption func(*problem)

// Detail says in a sentence what is wrong and what to change. It must not hold
// a credential.
func Detail(text string) ProblemOption { return func(p *problem) { p.Detail = text } }

// Parameter names the query parameter or header at fault.
func Parameter(name string) ProblemOption { return func(p *problem) { p.Parameter = name } }

// Index is the event at fault, from 0.
func Index(i int) ProblemOption { return func(p *problem) { p.Index = &i } }

// Channels names the channels at fault.
func Channels(names ...string) ProblemOption { return func(p *problem) { p.Channels = names } }

// Errors lists what is wrong event by event.
func Errors(list []IndexError) ProblemOption { return func(p *problem) { p.Errors = list } }

// RetryAfter sets retryAfterMs and the header Retry-After, in whole seconds
// rounded up.
func RetryAfter(d time.Duration) ProblemOption {
	return func(p *problem) { p.RetryAfterMs = max(d.Milliseconds(), 1) }
}

// Limit names the limit that was reached, its value in its own unit, and of
// whom it is counted ("pod", "address", "request", "event").
func Limit(name string, value int64, scope string) ProblemOption {
	return func(p *problem) { p.Limit = &limitMember{name, value, scope} }
}

// withTransport names the way of reading that is open to a client now.
func withTransport(name string) ProblemOption { return func(p *problem) { p.Transport = name } }

// withResults tells a publisher what was accepted before an outage.
func withResults(list []eventResult) ProblemOption { return func(p *problem) { p.Results = list } }

// Problem answers the request with application/problem+json. Nothing may have
// been written to w before. A HEAD request gets the headers alone (net/http
// drops the body).
func Problem(w http.ResponseWriter, r *http.Request, status int, kind string, opts ...ProblemOption) {
	p := problem{
		Type: problemType + kind, Title: problemTitle(kind), Status: status,
		Instance: r.URL.Path, RequestID: RequestID(r.Context()),
	}
	for _, o := range opts {
		o(&p)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.RetryAfterMs > 0 {
		h.Set("Retry-After", strconv.FormatInt((p.RetryAfterMs+999)/1000, 10))
	}
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="streamgateway", error="invalid_token"`)
	}
	// The struct holds strings and numbers only: it always encodes.
	body, _ := json.Marshal(p)
	refused(r.Context(), status, kind, p.Limit)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone when this fails; nobody is left to tell
}

func problemTitle(kind string) string {
	switch kind {
	case KindInvalidParameter:
		return "Invalid parameter"
	case KindInvalidCursor:
		return "Invalid cursor"
	case KindInvalidChannel:
		return "Invalid channel"
	case KindInvalidJSON:
		return "Invalid JSON"
	case KindUnauthenticated:
		return "Not authenticated"
	case KindTokenExpired:
		return "Token expired"
	case KindChannelDenied:
		return "Channel not allowed"
	case KindOriginDenied:
		return "Origin not allowed"
	case KindCSRF:
		return "Credential of another page"
	case KindNotFound:
		return "Not found"
	case KindSessionGone:
		return "No such session"
	case KindSessionBusy:
		return "Session busy"
	case KindMethod:
		return "Method not allowed"
	case KindNotAcceptable:
		return "Not acceptable"
	case KindDurabilityUnavailable:
		return "Durability not available"
	case KindEventTooLarge:
		return "Event too large"
	case KindBatchTooLarge:
		return "Request too large"
	case KindURITooLong:
		return "URL too long"
	case KindUnsupportedMediaType:
		return "Unsupported media type"
	case KindInvalidEvent:
		return "Invalid event"
	case KindIdempotencyMismatch:
		return "Same key, other payload"
	case KindTooManySubscriptions:
		return "Too many subscriptions"
	case KindRateLimited:
		return "Too many requests"
	case KindConnectionLimit:
		return "Too many connections"
	case KindOverload:
		return "Overloaded"
	case KindDraining:
		return "Draining"
	case KindInternal:
		return "Internal error"
	case KindBrokerUnavailable:
		return "Broker unavailable"
	}
	return http.StatusText(http.StatusInternalServerError)
}
