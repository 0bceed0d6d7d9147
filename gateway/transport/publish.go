package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/engine/wire/decode"
	"github.com/streamgateway/streamgateway/gateway/limit"
	"github.com/streamgateway/streamgateway/gateway/trace"
)

// Log is where published events go.
type Log interface {
	// Append adds all events in their order, or none, and returns when the
	// durability that Ack states is reached. An outage in the middle gives the
	// accepted prefix with ErrLogUnavailable. require is "" or one of the words
	// of the protocol: memory, quorum, fsync.
	Append(ctx context.Context, events []wire.Event, require string) (Ack, error)
	// Deliver gives appended events to their subscribers. It is called once the
	// publisher has its answer, which never waits for subscribers.
	Deliver()
}

// Ack is what became of a request, as a fact.
type Ack struct {
	Epoch      string
	Durability string
	Copies     int // processes that hold the events
	Events     []AckEvent
}

// AckEvent is one event's place in the log.
type AckEvent struct {
	Seq       uint64
	Duplicate bool // the log had it already, at Seq
}

// Errors of Log.Append that get an answer of their own, besides MismatchError.
var (
	ErrDurability     = errors.New("durability not available")
	ErrLogUnavailable = errors.New("log not available")
)

// OutageError is ErrLogUnavailable of a log that is left alone for a while.
type OutageError struct{ RetryAfter time.Duration }

// Error says for how long.
func (e *OutageError) Error() string { return fmt.Sprintf("log not available for %s", e.RetryAfter) }

// Is makes it an ErrLogUnavailable.
func (e *OutageError) Is(target error) bool { return target == ErrLogUnavailable }

// MismatchError tells that the event at Index repeats the key of an earlier
// one with another payload.
type MismatchError struct{ Index int }

// Error says which event it is.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("event %d repeats an earlier key with another payload", e.Index)
}

// Authenticator says who makes a request, or why that cannot be said: an error
// of auth.
type Authenticator interface {
	Authenticate(r *http.Request) (*auth.Principal, error)
}

// maxInFlight is how many events may wait for the log at once. A log that does
// not keep up is told to publishers at once, while their retries are cheap,
// and not by a time out.
const maxInFlight = 4096

// publishRetryAfter is what publishers are asked to wait during an outage.
const publishRetryAfter = time.Second

// Publish is the handler of both publish endpoints.
type Publish struct {
	auth   Authenticator
	log    Log
	logger *slog.Logger
	took   func(time.Duration, wire.Trace)
	tracer *trace.Tracer
	counts publishCounters
	bodies budget
	// inFlight counts events that the log has not answered yet.
	inFlight atomic.Int64
	// maxEventBytes bounds the data of one event.
	maxEventBytes atomic.Int64
	limits        atomic.Pointer[PublishLimits]
	rates         *limit.Buckets
	flushes       *limit.Buckets // of sgflush
	quiet         atomic.Int64   // Unix second of the last complaint: an outage meets every request
}

// PublishCounts counts since the start.
type PublishCounts struct {
	Events     uint64 // appended
	Duplicates uint64 // events that the log had already
	Failed     uint64 // requests answered 5xx
	Rejected   uint64 // requests answered 4xx
}

type publishCounters struct {
	events, duplicates, failed, rejected atomic.Uint64
	kinds                                tally
}

// NewPublish makes the handler. took is told how long each successful append
// lasted, and of which trace it is a part, if of any; it must be
// quick and safe for concurrent use.
func NewPublish(a Authenticator, l Log, logger *slog.Logger, tracer *trace.Tracer, took func(time.Duration, wire.Trace)) *Publish {
	p := &Publish{auth: a, log: l, logger: logger, tracer: tracer, took: took, rates: limit.NewBuckets(), flushes: limit.NewBuckets()}
	p.Tune(decode.MaxEventBytes, PublishLimits{})
	return p
}

// Tune takes over the bound on the data of one event, in bytes, and the rates,
// for requests from now on.
func (p *Publish) Tune(maxEventBytes int64, l PublishLimits) {
	p.maxEventBytes.Store(maxEventBytes)
	p.limits.Store(&l)
}

// Counts returns the counters.
func (p *Publish) Counts() PublishCounts {
	n := &p.counts
	return PublishCounts{n.events.Load(), n.duplicates.Load(), n.failed.Load(), n.rejected.Load()}
}

// Refused counts failed and rejected requests by the kind of their problem.
func (p *Publish) Refused() map[string]uint64 { return p.counts.kinds.all() }

// ServeHTTP takes a request from its rights over its body to the ack. Rights
// come first: nobody without them gets a byte of body read or explained.
func (p *Publish) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	who, ok := p.admit(w, r)
	if !ok {
		return
	}
	require := r.Header.Get("SG-Require-Durability")
	if require != "" && require != "memory" && require != "quorum" && require != "fsync" {
		p.refuse(w, r, http.StatusBadRequest, KindInvalidParameter, Parameter("SG-Require-Durability"),
			Detail("SG-Require-Durability must be memory, quorum or fsync"))
		return
	}
	if !p.mayBegin(w, r, who) {
		return
	}
	bytes, ok := p.bodies.take(r)
	if !ok {
		p.refuse(w, r, http.StatusServiceUnavailable, KindOverload, RetryAfter(publishRetryAfter),
			Limit("bodies-bytes", maxBodiesBytes, "pod"), Detail("too many publish requests are under way"))
		return
	}
	defer p.bodies.give(bytes)
	body, refusal := readBody(w, r)
	if refusal != nil {
		p.refuse(w, r, refusal.status, refusal.kind, refusal.options...)
		return
	}
	channel := r.PathValue("channel")
	request := decode.Request{Header: r.Header, Plain: channel != "", Channel: channel, Body: body,
		MaxEventBytes: int(p.maxEventBytes.Load())}
	if channel == "" {
		request.Channel = r.URL.Query().Get("channel")
	} else {
		request.Type = r.URL.Query().Get("type")
	}
	events, err := decode.Events(request)
	if err != nil {
		p.refuseEvents(w, r, err, request.MaxEventBytes)
		return
	}
	for i := range events {
		events[i].Channel = wire.Qualify(who.Tenant, events[i].Channel)
	}
	if denied := notPublishable(who, events); len(denied) > 0 {
		p.refuse(w, r, http.StatusForbidden, KindChannelDenied, Channels(denied...), Detail("not allowed to publish to "+strings.Join(denied, ", ")))
		return
	}
	if p.pace(w, r, who, len(events)) {
		p.mayFlush(who, events)
		p.append(w, r, who, events, require, p.trace(r, events, began))
	}
}

// admit answers the request itself when it may not publish.
func (p *Publish) admit(w http.ResponseWriter, r *http.Request) (*auth.Principal, bool) {
	who, err := p.auth.Authenticate(r)
	if err == nil {
		return who, true
	}
	no := refusalOf(err)
	if no.status >= http.StatusInternalServerError {
		p.complain(r, "publisher cannot be checked", "error", err)
	}
	p.refuse(w, r, no.status, no.kind, no.options...)
	return nil, false
}

// refusalOf answers an error of auth. Only what the caller can change is told.
func refusalOf(err error) *refusal {
	switch {
	case errors.Is(err, auth.ErrExpired):
		return &refusal{http.StatusUnauthorized, KindTokenExpired, []ProblemOption{Detail(err.Error())}}
	case errors.Is(err, auth.ErrUnauthenticated):
		return &refusal{http.StatusUnauthorized, KindUnauthenticated, []ProblemOption{Detail(err.Error())}}
	case errors.Is(err, auth.ErrCSRF):
		return &refusal{http.StatusForbidden, KindCSRF, []ProblemOption{Detail(err.Error())}}
	case errors.Is(err, auth.ErrDenied):
		return &refusal{http.StatusForbidden, KindChannelDenied, []ProblemOption{Detail(err.Error())}}
	}
	return &refusal{http.StatusServiceUnavailable, KindOverload, []ProblemOption{
		RetryAfter(publishRetryAfter), Detail("credentials cannot be checked at the moment")}}
}

func (p *Publish) append(w http.ResponseWriter, r *http.Request, who *auth.Principal, events []wire.Event, require string, span *trace.Span) {
	n := int64(len(events))
	defer p.inFlight.Add(-n)
	if p.inFlight.Add(n) > maxInFlight {
		span.Fail()
		span.End()
		p.refuse(w, r, http.StatusServiceUnavailable, KindOverload, RetryAfter(publishRetryAfter),
			Limit("append-in-flight", maxInFlight, "pod"), Detail("the log does not keep up; repeat the same request with the same keys"))
		return
	}
	defer p.log.Deliver() // whatever becomes of the answer
	defer span.End()      // before that: its subscribers are not the publisher's time
	start, child := time.Now(), span.Child("append")
	ack, err := p.log.Append(r.Context(), events, require)
	if err != nil {
		child.Fail()
		span.Fail()
	}
	child.End()
	accepted, duplicates, list := results(ack, events)
	p.counts.events.Add(uint64(accepted - duplicates))
	p.counts.duplicates.Add(uint64(duplicates))
	var mismatch *MismatchError
	switch {
	case err == nil:
		p.took(time.Since(start), span.Context())
		writeJSON(w, ackBody{accepted, duplicates, ack.Durability, ack.Copies, list})
		_ = http.NewResponseController(w).Flush() // the publisher is gone when this fails
	case errors.Is(err, ErrDurability):
		p.refuse(w, r, http.StatusPreconditionFailed, KindDurabilityUnavailable,
			Detail("this gateway's log is "+ack.Durability+"; nothing was appended"))
	case errors.As(err, &mismatch):
		p.refuse(w, r, http.StatusUnprocessableEntity, KindIdempotencyMismatch,
			Errors([]IndexError{{mismatch.Index, "an earlier event with this key has another payload"}}))
	case r.Context().Err() != nil: // the publisher is gone; nobody is left to tell
	default:
		p.complain(r, "appending events", "error", err, "publisher", who.Subject)
		p.refuse(w, r, http.StatusServiceUnavailable, KindBrokerUnavailable, RetryAfter(outageRetryAfter(err)), withResults(list),
			Detail("repeat the same request with the same keys; it is safe"))
	}
}

// outageRetryAfter is what publishers are asked to wait, by what the log says.
func outageRetryAfter(err error) time.Duration {
	if outage, ok := errors.AsType[*OutageError](err); ok {
		return max(outage.RetryAfter, publishRetryAfter)
	}
	return publishRetryAfter
}

// complain logs at most once a second what the request's answer does not tell.
func (p *Publish) complain(r *http.Request, message string, args ...any) {
	now := time.Now().Unix()
	if last := p.quiet.Load(); last != now && p.quiet.CompareAndSwap(last, now) {
		p.logger.Error(message, append(args, "requestId", RequestID(r.Context()))...)
	}
}

func (p *Publish) refuse(w http.ResponseWriter, r *http.Request, status int, kind string, opts ...ProblemOption) {
	if status >= http.StatusInternalServerError {
		p.counts.failed.Add(1)
	} else {
		p.counts.rejected.Add(1)
	}
	p.counts.kinds.add(kind)
	Problem(w, r, status, kind, opts...)
}

// refuseEvents answers what decode found.
func (p *Publish) refuseEvents(w http.ResponseWriter, r *http.Request, err error, maxEventBytes int) {
	var bad *decode.Error
	if !errors.As(err, &bad) {
		bad = &decode.Error{Kind: decode.InvalidEvent, Detail: err.Error()}
	}
	status := http.StatusBadRequest
	opts := []ProblemOption{Detail(bad.Detail)}
	switch bad.Kind {
	case decode.InvalidEvent:
		status = http.StatusUnprocessableEntity
	case decode.EventTooLarge:
		status = http.StatusRequestEntityTooLarge
		opts = append(opts, Limit("event-bytes", int64(maxEventBytes), "event"))
	case decode.BatchTooLarge:
		status = http.StatusRequestEntityTooLarge
		opts = append(opts, Limit("batch-bytes", decode.MaxBatchBytes, "request"))
	case decode.UnsupportedMediaType:
		status = http.StatusUnsupportedMediaType
	case decode.InvalidParameter:
		opts = append(opts, Parameter(bad.Parameter))
	}
	if len(bad.Items) > 0 {
		list := make([]IndexError, len(bad.Items))
		for i, item := range bad.Items {
			list[i] = IndexError(item)
		}
		opts = append(opts, Index(list[0].Index), Errors(list))
	}
	p.refuse(w, r, status, string(bad.Kind), opts...)
}

// ackBody is the answer of a publish request.
type ackBody struct {
	Accepted   int           `json:"accepted"`
	Duplicates int           `json:"duplicates"`
	Durability string        `json:"durability"`
	Copies     int           `json:"copies"`
	Results    []eventResult `json:"results"`
}

// eventResult is what became of one event.
type eventResult struct {
	ID        string `json:"id"`
	Cursor    string `json:"cursor"`
	Duplicate bool   `json:"duplicate"`
}

// results pairs what the log says with the events it took, which may be a
// prefix.
func results(ack Ack, events []wire.Event) (accepted, duplicates int, list []eventResult) {
	list = make([]eventResult, len(ack.Events))
	for i, e := range ack.Events {
		at := wire.Cursor{Epoch: ack.Epoch, Seq: e.Seq}
		list[i] = eventResult{ID: events[i].EventID(at), Cursor: at.String(), Duplicate: e.Duplicate}
		if e.Duplicate {
			duplicates++
		}
	}
	return len(list), duplicates, list
}

// writeJSON answers 200 with v, which holds nothing that cannot be JSON.
func writeJSON(w http.ResponseWriter, v any) { writeStatus(w, http.StatusOK, v) }

// writeStatus is writeJSON with another status.
func writeStatus(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("transport: answer %T: %v", v, err))
	}
	writeBodyAs(w, status, body)
}

// writeBody answers 200 with JSON that nobody may keep.
func writeBody(w http.ResponseWriter, body []byte) { writeBodyAs(w, http.StatusOK, body) }

func writeBodyAs(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone when this fails; nobody is left to tell
}
