package transport

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/limit"
	"github.com/streamgateway/streamgateway/gateway/transport/netio"
)

// Streams is the handler of GET and POST /stream.
type Streams struct {
	engine      *engine.Engine
	readers     Authenticator
	limits      *limit.Streams
	gate        *limit.Gate
	sockets     *netio.Sockets
	podTag      string
	connections atomic.Pointer[Connections]
	load        load
	polls       atomic.Uint64 // let in
}

// NewStreams makes the handler. readers says who may read what; pod names this
// replica in session ids. Without sockets every stream keeps a goroutine of
// net/http.
func NewStreams(e *engine.Engine, readers Authenticator, limits *limit.Streams, gate *limit.Gate, sockets *netio.Sockets, pod string, c Connections) *Streams {
	h := fnv.New32a()
	_, _ = h.Write([]byte(pod)) // a hash never fails
	s := &Streams{engine: e, readers: readers, limits: limits, gate: gate, sockets: sockets, podTag: fmt.Sprintf("%08x", h.Sum32())}
	s.Tune(c)
	return s
}

// Tune takes over new limits for streams that are opened from now on.
func (s *Streams) Tune(c Connections) { s.connections.Store(&c) }

// Polls counts the answers of long-polls that were let in, since the start.
func (s *Streams) Polls() uint64 { return s.polls.Load() }

// ServeHTTP serves one stream until it ends, or one answer of a long-poll.
func (s *Streams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ask, no := s.understand(w, r)
	if no != nil {
		Problem(w, r, no.status, no.kind, no.options...)
		return
	}
	s.engine.Reach(r.Context(), ask.Request) // before the gate, which is narrow
	if busy := s.gate.Enter(r.Context()); busy != nil {
		s.refuse(w, r, ask, limitReached(busy))
		return
	}
	opened := sync.OnceFunc(s.gate.Leave)
	defer opened()
	client := clientOf(r, ask.who)
	acquire := s.limits.Acquire
	if ask.poll {
		acquire = s.limits.AcquirePoll
	}
	if over := acquire(client); over != nil {
		s.refuse(w, r, ask, limitReached(over))
		return
	}
	release := func() { s.limits.Release(client) }
	defer func() { release() }()
	ask.Identity = engine.Identity{SID: s.newSID(), Owner: owner(ask.who), Grant: ask.who, Client: client.Address.String(), Request: RequestID(r.Context())}
	if ask.poll {
		opened()
		s.polls.Add(1)
		s.poll(w, r, ask)
		return
	}
	stream, err := s.engine.Open(ask.Request)
	if err != nil {
		s.refuse(w, r, ask, cannotOpen(err))
		return
	}
	h := streamHeader(w)
	h["SG-Session"] = []string{ask.SID}
	h["SG-Cursor"] = []string{stream.Cursor().String()}
	if stream.Gzip() {
		h["Content-Encoding"] = []string{"gzip"}
	}
	if s.sockets.Serve(w, r, stream, s.connections.Load().WriteTimeout, release) {
		release = func() {} // the stream's own, when it ends
		return
	}
	sink := netio.NewHTTP(w)
	stream.Start(sink)
	opened()
	if !sink.Serve(r.Context(), stream) {
		panic(http.ErrAbortHandler) // a cut stream must not end like a whole one
	}
}

// understand reads a request and leaves of it what its sender may read.
func (s *Streams) understand(w http.ResponseWriter, r *http.Request) (*streamRequest, *refusal) {
	who, no := readerOf(s.readers, r)
	if no != nil {
		return nil, no
	}
	ask, no := parseStream(w, r, s.connections.Load())
	if no != nil {
		return nil, no
	}
	ask.who, ask.Expires = who, who.Expires
	return ask, ask.narrow()
}

// streamHeader sets what all answers with a body of events have. Names are
// spelled as in the protocol, which net/http's own setter would change.
func streamHeader(w http.ResponseWriter) http.Header {
	h := w.Header()
	h["Content-Type"] = []string{"text/event-stream"}
	h["Cache-Control"] = []string{"no-store, no-transform"}
	h["X-Accel-Buffering"] = []string{"no"}
	h["Vary"] = []string{"Origin, Accept-Encoding, Authorization, Cookie"}
	h["SG-Protocol"] = []string{Protocol}
	return h
}

// newSID names a session: whose it is, and 128 random bits.
func (s *Streams) newSID() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // crypto/rand never fails
	return s.podTag + "." + base64.RawURLEncoding.EncodeToString(random[:])
}

// clientOf is who opens a stream, as limits tell clients apart.
func clientOf(r *http.Request, who *auth.Principal) limit.Client {
	return limit.Client{Address: clientAddress(r), Tenant: who.Tenant, Subject: who.Subject, Own: who.Limits.Connections}
}

// transient is a refusal that a client should come back after.
type transient struct {
	status int
	kind   string // of the problem
	reason string // of sg.end
	detail string
	option ProblemOption // nil = none
	retry  time.Duration // 0 = by the load
}

func limitReached(over *limit.Refusal) transient {
	if over.Scope == limit.ScopePod {
		detail := "this replica has all the streams it may have"
		switch over.Name {
		case limit.NameRate:
			detail = "too many streams are opened at once"
		case limit.NameHandshakes:
			detail = "too many streams are being opened"
		case limit.NameMemory:
			detail = "this replica has used up its memory"
		}
		return transient{http.StatusServiceUnavailable, KindOverload, wire.EndOverload,
			detail, Limit(over.Name, int64(over.Value), over.Scope), 0}
	}
	return transient{http.StatusTooManyRequests, KindConnectionLimit, wire.EndLimit,
		"this " + over.Scope + " has all the streams it may have", Limit(over.Name, int64(over.Value), over.Scope), 0}
}

func cannotOpen(err error) transient {
	if errors.Is(err, engine.ErrDraining) {
		return transient{http.StatusServiceUnavailable, KindDraining, wire.EndDrain, "this replica is about to stop", nil, 0}
	}
	no := transient{http.StatusServiceUnavailable, KindOverload, wire.EndOverload, "this replica cannot open a stream", nil, 0}
	if refused, ok := errors.AsType[*engine.RefusedError](err); ok {
		no.reason, no.detail = refused.End.Reason, "reading is switched off by a feature flag"
		if refused.End.RetryMs != nil {
			no.detail, no.option = "streams are switched off by a feature flag; use long-poll (wait)", withTransport("poll")
			no.retry = time.Duration(*refused.End.RetryMs) * time.Millisecond
		}
	}
	return no
}

// refuse answers with a status, or inside of a stream where the client would
// take the status for an order never to come back.
func (s *Streams) refuse(w http.ResponseWriter, r *http.Request, ask *streamRequest, t transient) {
	retry := t.retry
	if retry == 0 {
		retry = s.load.retry()
	}
	if !ask.inBand {
		options := []ProblemOption{RetryAfter(retry), Detail(t.detail)}
		if t.option != nil {
			options = append(options, t.option)
		}
		Problem(w, r, t.status, t.kind, options...)
		return
	}
	refused(r.Context(), t.status, t.kind, nil)
	h := streamHeader(w)
	if r.ProtoMajor == 1 {
		// Kept open it would cost more than the stream that was refused. HTTP/2
		// would close all of a client's streams.
		h["Connection"] = []string{"close"}
	}
	retryMs := retry.Milliseconds()
	body := wire.AppendRetry(nil, retryMs)
	body = wire.AppendControl(body, wire.ControlEnd, wire.Cursor{}, &wire.End{
		Reason: t.reason, Status: t.status, RetryMs: &retryMs, Detail: t.detail,
	})
	_, _ = w.Write(body) // the client is gone when this fails; nobody is left to tell
}
