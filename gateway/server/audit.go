package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamgateway/streamgateway/gateway/audit"
	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/limit"
	"github.com/streamgateway/streamgateway/gateway/report"
	"github.com/streamgateway/streamgateway/gateway/transport"
)

const (
	// cutsEvery is after about how many events the auditor breaks a connection.
	cutsEvery = 30
	// ownStreams is how many it may have at once: one, and what is left of
	// those that were cut.
	ownStreams = 8
)

// ownClient is the gateway as a client of itself: its auditor, and the door by
// which the auditor's requests come in. They come to the port for clients as
// all others do; behind the door they meet handlers of their own, so that they
// are in nobody's rights, limits and counts.
type ownClient struct {
	auditor    *audit.Auditor
	credential []byte // for Authorization; made at the start and told nobody
	self       *self
	streams    *transport.Streams
	tls        *tls.Config // nil = without
	address    atomic.Pointer[net.TCPAddr]
	quit       func()
	ended      chan struct{} // closed by quit
}

// self is who the gateway is to itself.
type self struct{ who auth.Principal }

func (s *self) Authenticate(*http.Request) (*auth.Principal, error) { return &s.who, nil }

// makeAuditor makes auditor and door, nil when the gateway shall not audit
// itself. It works once the port for clients is open.
func (s *Server) makeAuditor(connections transport.Connections) *ownClient {
	if s.options.AuditEvery <= 0 {
		return nil
	}
	o := &ownClient{credential: []byte("Bearer " + rand.Text()), ended: make(chan struct{})}
	o.quit = sync.OnceFunc(func() { close(o.ended) })
	channel := "canary." + segment(s.options.Pod)
	own, err := wire.ParseQualified(wire.Qualify(wire.OwnTenant, channel))
	if err != nil {
		panic(err) // segment makes a name of anything
	}
	o.self = &self{auth.Principal{Subject: wire.OwnTenant, Tenant: wire.OwnTenant, Sub: []wire.Pattern{own}, Pub: []wire.Pattern{own}}}
	o.streams = transport.NewStreams(s.engine, o.self, limit.NewStreams(limit.Most{PerPod: ownStreams}),
		limit.NewGate(ownStreams), s.sockets, s.options.Pod, connections)
	if s.certificate != nil {
		o.tls = s.certificate.pinned()
	}
	o.auditor = audit.New(audit.Options{
		URL: o.url, Channel: channel, Identity: o.client(false), Gzip: o.client(true),
		Every: s.options.AuditEvery, CutEvery: cutsEvery * s.options.AuditEvery,
		Rand: mathrand.New(mathrand.NewPCG(mathrand.Uint64(), mathrand.Uint64())), Log: s.log,
	})
	return o
}

// segment makes a segment of a channel's name from the name of a pod, or of a
// machine.
func segment(name string) string {
	const longest = 60
	name = strings.Map(func(r rune) rune {
		if wire.CheckChannel(string(r)) != nil {
			return '-'
		}
		return r
	}, name)
	if name == "" {
		return "-"
	}
	return name[:min(len(name), longest)]
}

// run audits through this listener until ctx or the time for it ends.
func (o *ownClient) run(ctx context.Context, l net.Listener) {
	address := *l.Addr().(*net.TCPAddr)
	if address.IP.IsUnspecified() {
		address.IP = net.IPv4(127, 0, 0, 1)
	}
	o.address.Store(&address)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer stop()
		select {
		case <-o.ended:
		case <-ctx.Done():
		}
	}()
	o.auditor.Run(ctx)
}

func (o *ownClient) url() string {
	scheme := "http://"
	if o.tls != nil {
		scheme = "https://"
	}
	return scheme + o.address.Load().String()
}

// client shows the credential. With TLS the one that takes gzip speaks HTTP/2,
// and the other HTTP/1.1.
func (o *ownClient) client(gzip bool) *http.Client {
	return &http.Client{Transport: &withCredential{string(o.credential), &http.Transport{
		DisableCompression: !gzip, TLSClientConfig: o.tls.Clone(), ForceAttemptHTTP2: gzip, MaxIdleConnsPerHost: 2, IdleConnTimeout: idleTimeout / 2,
	}}}
}

type withCredential struct {
	credential string
	next       http.RoundTripper
}

func (w *withCredential) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", w.credential)
	return w.next.RoundTrip(r)
}

// door lets requests of the auditor in by their credential and from this
// machine only, and hands all others on.
func (s *Server) door(next http.Handler) http.Handler {
	if s.own == nil {
		return next
	}
	inside := s.routes()
	inside.Doors, inside.Page, inside.Beacon = nil, nil, http.NotFoundHandler()
	inside.Stream = s.own.streams
	inside.Publish = transport.NewPublish(s.own.self, appender{s.events, s.info, s.engine}, s.log, nil, func(time.Duration, wire.Trace) {})
	inside.History = transport.NewHistory(s.engine, s.own.self)
	inside.MetricsAccess = s.own.self
	own := inside.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := r.Header["Authorization"]; len(h) == 1 && subtle.ConstantTimeCompare([]byte(h[0]), s.own.credential) == 1 && fromHere(r) {
			own.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// fromHere tells whether a request comes from this machine: over loopback, or
// from the very address that it came to.
func fromHere(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ip.IsLoopback() || ok && ip != nil && ip.Equal(local.IP)
}

// pinned is for a client that knows the certificate in use, whatever names are
// on it.
func (c *certificate) pinned() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // the very certificate is compared instead
		VerifyConnection: func(state tls.ConnectionState) error {
			p := c.pair.Load()
			if p == nil || !bytes.Equal(state.PeerCertificates[0].Raw, p.use.Leaf.Raw) {
				return errors.New("another certificate than the one in use")
			}
			return nil
		},
	}
}

// audited is what the auditor found; zero without one.
func (s *Server) audited() audit.State {
	if s.own == nil {
		return audit.State{}
	}
	return s.own.auditor.State()
}

// auditReport is nil for a gateway that does not audit itself.
func (s *Server) auditReport() *report.Audit {
	if s.own == nil {
		return nil
	}
	found := s.audited()
	return &report.Audit{Checked: found.Checked, Lost: found.Lost, LastProof: found.LastProof, LastLoss: found.LastLoss, Message: found.Message}
}
