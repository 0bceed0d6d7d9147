// Package server makes one gateway process out of the rooms: it reads the
// configuration, opens the ports, hands hot changes to whom they concern,
// answers the admin port, and drains at the end.
//
// It is the one place that knows everybody, and it decides nothing that a room
// could decide. It is called by gateway/cmd/gateway, and by tests that want a
// whole gateway in their process.
package server

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/broker/jetstream"
	"github.com/streamgateway/streamgateway/gateway/cluster"
	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/limit"
	"github.com/streamgateway/streamgateway/gateway/transport"
	"github.com/streamgateway/streamgateway/gateway/transport/netio"
)

// Options is how a gateway is started; all of it comes from flags and the
// environment.
type Options struct {
	Version string
	// Dev runs the gateway alone: everybody may publish, and / shows a page.
	Dev bool
	// Config is the folder with hot.json and cold documents, or a file that is
	// a hot document; "" = the defaults.
	Config       string
	Cluster      bool   // watch the ConfigMap through the API server
	TemplateHash string // names the cold document; "" = cold.json, or the defaults
	// Listen and Admin overrule the ports of the cold document, as host:port.
	Listen, Admin string
	// Local is where the console listens, as host:port of a loopback address:
	// it shows channels and asks for no password. "" = there is none.
	Local string
	// TLSCert and TLSKey are PEM files, read again when they change; "" = the
	// port for clients speaks without TLS.
	TLSCert, TLSKey string
	// TLSPath is where the Secret that the cold document names is mounted.
	TLSPath string
	// NATSPath is where the Secrets of broker.nats of the cold document are
	// mounted, as config.CredentialsFolder and config.CAFolder.
	NATSPath string
	// Keys is the folder with the secret that all replicas share, read again
	// when it changes; "" = a secret of this process alone.
	Keys string
	// AuditEvery is how often the gateway publishes an event to itself, to find
	// out whether it loses any; 0 = never.
	AuditEvery time.Duration
	Pod        string // name of this pod, or of the machine
	Namespace  string // of this pod; only with Cluster
	// GenericTransport leaves every stream to net/http, as it is anyway for
	// HTTP/2 and where sockets cannot be taken over.
	GenericTransport bool
	Log              *slog.Logger
	// Level is that of Log, for the hot configuration to set; nil = it is set
	// by hand.
	Level *slog.LevelVar
}

// Server is one gateway. Make it with New, open its ports with Listen, run it
// with Run.
type Server struct {
	options     Options
	cold        config.Cold
	log         *slog.Logger
	start       time.Time
	api         *cluster.Cluster // nil = without --cluster
	kind        string           // of the log
	events      broker.Log       // nil until it is open
	info        broker.Info
	stream      *jetstream.Log        // events, when other gateways share it; else nil
	retention   atomic.Int64          // ns; how long stream keeps events
	unopened    atomic.Pointer[error] // why events is not open yet
	opened      atomic.Bool           // the log is open, and all of this is made
	guard       *guard                // events, as publishers reach it
	keys        func() int            // that the log knows for repeats
	shared      *sharedKey            // nil = the key for tickets is this process's own
	tickets     *auth.Tickets
	ticketing   *transport.Tickets
	memory      *account
	pressed     engine.Memory // what the engine was last told; belongs to weigh
	engine      *engine.Engine
	publisher   *auth.Publisher
	subscriber  *auth.Subscriber
	numbers     *metricsAccess
	pages       *transport.History
	streams     *limit.Streams
	gate        *limit.Gate
	sockets     *netio.Sockets // nil = streams are served by net/http
	publish     *transport.Publish
	sse         *transport.Streams
	sessions    *transport.Sessions
	beacon      *transport.Beacon
	client      *transport.Script
	browsers    browsers
	doors       *transport.Doors
	config      *reloader
	certificate *certificate // nil = no TLS
	own         *ownClient   // nil = the gateway does not audit itself
	source      source
	flags       atomic.Pointer[flagSet]

	history    history
	alive      pulse
	histograms histograms
	access     *accessLog
	tracing    tracing
	draining   atomic.Bool
	standby    standby
	holes      holes

	main       atomic.Pointer[net.TCPListener] // nil = it is not open yet
	admin      net.Listener
	local      net.Listener // nil = there is none
	mainHTTP   *http.Server
	adminHTTP  *http.Server
	localHTTP  *http.Server
	background sync.WaitGroup
}

// Timeouts against clients that only pretend to send a request. Streams have
// no write timeout here: the engine has its own.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 32 << 10
	adminTimeout   = 30 * time.Second
	finishTimeout  = 5 * time.Second // for requests in flight, after the drain
)

// Listen opens both ports, so that Addresses are known before Run. While the
// Secret with the certificate is missing, or a log that gateways share is not
// open, the port for clients stays closed; Run opens it.
func (s *Server) Listen() error {
	var err error
	if s.admin, err = net.Listen("tcp", address(s.options.Admin, s.cold.Observability.AdminPort)); err != nil {
		return fmt.Errorf("opening the admin port: %w", err)
	}
	if s.certificate.ready() && s.events != nil {
		if err := s.listenClients(); err != nil {
			return errors.Join(err, s.admin.Close())
		}
	}
	s.listenLocal()
	return nil
}

func (s *Server) listenClients() error {
	l, err := net.Listen("tcp", address(s.options.Listen, s.cold.Listener.Port))
	if err != nil {
		return fmt.Errorf("opening the port for clients: %w", err)
	}
	s.main.Store(l.(*net.TCPListener))
	return nil
}

func address(overruled string, port int) string {
	if overruled != "" {
		return overruled
	}
	return fmt.Sprintf(":%d", port)
}

// Addresses are those of the port for clients, empty while it is not open, and
// of the admin port, as host:port.
func (s *Server) Addresses() (main, admin string) {
	if l := s.main.Load(); l != nil {
		main = l.Addr().String()
	}
	return main, s.admin.Addr().String()
}

// Run serves until ctx ends, then drains, and returns nil when all of it went
// in order. Listen comes first.
func (s *Server) Run(ctx context.Context) error {
	quiet := slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)
	failed := make(chan error, 4) // one each of pump and the ports
	s.serveAdmin(quiet, failed)
	if s.events == nil {
		if err := s.openStream(ctx); err != nil {
			return errors.Join(unasked(ctx, err), s.closeUnopened())
		}
		s.background.Go(func() { s.retain(ctx) })
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.background.Go(func() { failed <- s.pump(background) })
	s.background.Go(func() { s.janitor(background) })
	s.background.Go(func() { s.access.follow(background) })
	s.background.Go(func() { s.guard.watch(background, s.log) })
	s.background.Go(func() { s.tracing.tracer.Run(background) })
	s.background.Go(func() { s.publisher.Run(background) })
	s.background.Go(func() { s.subscriber.Run(background) })
	s.background.Go(func() { s.source.follow(background, s.config.take) })
	if s.shared != nil {
		s.background.Go(func() { s.shared.follow(background) })
	}
	if s.certificate != nil {
		s.background.Go(func() { s.certificate.follow(background) })
	}
	err := s.awaitLog(ctx, failed)
	if err == nil {
		s.serve(background, quiet, failed)
		select {
		case <-ctx.Done():
			err = s.drain()
		case err = <-failed:
		}
		err = errors.Join(err, s.mainHTTP.Close(), s.localHTTP.Close())
	}
	err = errors.Join(unasked(ctx, err), s.adminHTTP.Close())
	stop()
	s.holes.end()
	s.background.Wait()
	s.engine.Close()
	s.access.flush()
	if s.sockets != nil {
		s.sockets.Close()
	}
	return errors.Join(err, s.events.Close())
}

// unasked is what is wrong with an end; one that ctx asked for is none.
func unasked(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// told is for servers that are closed in the end.
func told(failed chan<- error, doing string, err error) {
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		failed <- fmt.Errorf("%s: %w", doing, err)
	}
}

// serveAdmin answers on the admin port, from before there is a log until it is
// closed.
func (s *Server) serveAdmin(quiet *log.Logger, failed chan<- error) {
	all := sync.OnceValue(s.adminRoutes)
	s.adminHTTP = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !s.opened.Load() {
				s.serveUnopened(w, r)
				return
			}
			all().ServeHTTP(w, r)
		}), ErrorLog: quiet,
		ReadTimeout: headerTimeout, WriteTimeout: adminTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
	}
	s.background.Go(func() { told(failed, "serving the admin port", s.adminHTTP.Serve(s.admin)) })
}

// serve puts the handlers on the other ports, until these are closed or ctx
// ends.
func (s *Server) serve(ctx context.Context, quiet *log.Logger, failed chan<- error) {
	s.mainHTTP = s.clientsHTTP(quiet)
	s.standby.serves(s.mainHTTP)
	if s.certificate != nil {
		s.mainHTTP.TLSConfig = s.certificate.config()
	}
	s.localHTTP = s.localServer(quiet)
	s.background.Go(func() { told(failed, "serving the port for clients", s.serveClients(ctx)) })
	if s.local != nil {
		s.background.Go(func() { told(failed, "serving the console", s.localHTTP.Serve(s.local)) })
	}
}

// serveClients serves the port for clients, which is opened here when its
// certificate was missing before, or the log.
func (s *Server) serveClients(ctx context.Context) error {
	if s.main.Load() == nil {
		if s.certificate != nil && !s.certificate.await(ctx) {
			return nil
		}
		if err := s.listenClients(); err != nil {
			return err
		}
	}
	l := s.main.Load()
	if ip := l.Addr().(*net.TCPAddr).IP; s.options.Dev && !ip.IsLoopback() {
		s.log.Warn("everybody who reaches this address may publish", "listen", l.Addr().String())
	}
	s.log.Info("gateway serves", "version", s.options.Version, "listen", l.Addr().String(),
		"admin", s.admin.Addr().String(), "console", s.console(), "epoch", s.info.Epoch)
	if s.own != nil {
		s.background.Go(func() { s.own.run(ctx, l) })
	}
	if s.certificate != nil {
		return s.mainHTTP.ServeTLS(l, "", "")
	}
	return s.mainHTTP.Serve(l)
}

// clientsHTTP is the server of the port for clients, with all its defences.
func (s *Server) clientsHTTP(quiet *log.Logger) *http.Server {
	return &http.Server{
		Handler: s.door(s.routes().Handler()), ErrorLog: quiet,
		ReadHeaderTimeout: headerTimeout, WriteTimeout: transport.AnswerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		Protocols: protocols(s.certificate != nil), ConnContext: netio.ShortQueue,
	}
}

// protocols lets clients speak HTTP/2 with TLS and without: a proxy in front may
// then carry many streams on one connection.
func protocols(tls bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(tls)
	p.SetUnencryptedHTTP2(!tls)
	return p
}

// routes is the surface for clients.
func (s *Server) routes() transport.Routes {
	r := transport.Routes{
		Stream: s.sse, Publish: s.publish, History: s.pages,
		Sessions: s.sessions, Beacon: s.beacon, Client: s.client, Doors: s.doors, Tickets: s.ticketing,
		Metrics: s.metrics, MetricsAccess: s.numbers, Log: s.log,
	}
	if s.options.Dev {
		r.Page = devPage()
	}
	return r
}
