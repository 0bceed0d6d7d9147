package server

import (
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"runtime"
	"time"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/breaker"
	"github.com/streamgateway/streamgateway/gateway/cluster"
	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/fanout"
	"github.com/streamgateway/streamgateway/gateway/engine/ring"
	"github.com/streamgateway/streamgateway/gateway/limit"
	"github.com/streamgateway/streamgateway/gateway/report"
	"github.com/streamgateway/streamgateway/gateway/transport"
	"github.com/streamgateway/streamgateway/gateway/transport/netio"
)

const devDrainTimeout = 2 * time.Second

// handshakesPerCore is how many streams are opened at once: one works while the
// other's answer is written.
const handshakesPerCore = 2

// New reads the cold configuration and makes every part, but for those that need
// a log which gateways share: Run makes them. It opens no port and waits for
// nobody.
func New(o Options) (*Server, error) {
	cold, err := readCold(o)
	if err != nil {
		return nil, err
	}
	s := &Server{options: o, cold: cold, log: o.Log, start: time.Now(), histograms: newHistograms(), access: newAccessLog(o.Log),
		memory: newAccount(findCgroup(os.DirFS("/"))), pressed: engine.Memory{Memory: fanout.DefaultMemory()}}
	if err := s.openCertificate(); err != nil {
		return nil, err
	}
	if err := s.openTracing(); err != nil {
		return nil, err
	}
	if err := s.openKeys(); err != nil {
		return nil, err
	}
	if s.api, err = s.connect(); err != nil {
		return nil, err
	}
	if !o.GenericTransport {
		if s.sockets, err = netio.NewSockets(); err != nil {
			return nil, fmt.Errorf("taking over sockets: %w", err)
		}
	}
	if s.client, err = transport.NewScript(client); err != nil {
		return nil, err
	}
	s.alive.beat()
	if cold.Broker.Type == config.BrokerMemory {
		return s, s.openMemory()
	}
	return s, s.checkSecrets()
}

// begin makes all that needs the log, which is open.
func (s *Server) begin() error {
	s.histograms.broker = s.kind
	_, hot := config.Default()
	if s.options.Dev {
		hot.Auth.Publishers.Mode = config.ModeAnonymous
		s.cold.Drain = config.Drain{Timeout: devDrainTimeout} // who presses Ctrl-C waits for it
		hot.Drain.ReconnectSpread = 0
	}
	s.makeRooms(hot, s.api)
	s.config = newReloader(&s.options, s.take)
	var err error
	if s.source, err = s.makeSource(hot, s.api); err != nil {
		return err
	}
	s.history.add(s.sample())
	s.opened.Store(true)
	return nil
}

// connect makes the API server's client; nil without --cluster.
func (s *Server) connect() (*cluster.Cluster, error) {
	if !s.options.Cluster {
		return nil, nil
	}
	gateway := s.cold.Gateway
	if gateway.Namespace == "" {
		gateway.Namespace = s.options.Namespace
	}
	if gateway.Name == "" || gateway.Namespace == "" {
		return nil, errors.New("watching the ConfigMap: gateway.name and gateway.namespace are missing in the cold config")
	}
	return cluster.Connect(cluster.Options{
		Namespace: gateway.Namespace, Name: gateway.Name,
		UserAgent: "streamgateway/" + s.options.Version, Log: s.log,
	})
}

// makeRooms makes everything that runs by the hot configuration, with the
// defaults until the first document comes.
func (s *Server) makeRooms(hot config.Hot, api *cluster.Cluster) {
	flags := newFlagSet(nil, 0, hot.Features, hot.Observability.BeaconInterval)
	options := engine.Options{
		Epoch: s.info.Epoch, Floor: s.info.First - 1, Durability: s.info.Durability.String(),
		Buckets: report.Buckets, Bucket: report.Bucket, Ended: s.access.ended,
	}
	if s.stream != nil {
		options.Lag = maxLogLag
	}
	if s.tracing.tracer != nil {
		options.Stored = s.stored
	}
	s.engine = engine.New(options, tuningOf(hot, flags))
	s.setFlags(flags)
	s.tuneLog(hot.Observability)
	s.tuneTracing(hot.Observability)
	var reviewer auth.Reviewer
	if api != nil {
		reviewer = api
	}
	s.publisher = auth.New(reviewer, publishersOf(config.Document{}, hot.Auth))
	s.subscriber = auth.NewSubscriber(reviewer, subscribersOf(config.Document{}, hot.Auth))
	s.subscriber.Changed(s.engine.Judge)
	s.numbers = &metricsAccess{publisher: s.publisher, subscriber: s.subscriber}
	s.pages = transport.NewHistory(s.engine, s.subscriber)
	s.subscriber.Accept(s.tickets)
	s.ticketing = transport.NewTickets(s.subscriber, s.tickets)
	s.streams = limit.NewStreams(mostOf(hot.Connections))
	s.gate = limit.NewGate(handshakesPerCore * runtime.GOMAXPROCS(0))
	s.streams.TuneConnect(limit.Connect(hot.Limits.Connect))
	s.guard = &guard{s.events, breaker.New(breaker.Settings(hot.CircuitBreaker), mathrand.Float64)}
	s.publish = transport.NewPublish(s.publisher, appender{s.guard, s.info, s.engine}, s.log,
		s.tracing.tracer, s.histograms.acknowledged)
	s.doors = transport.NewDoors(doorsOf(hot.Listener))
	s.sessions = transport.NewSessions(s.engine, s.subscriber)
	s.beacon = transport.NewBeacon(s.takeBeacon)
	s.sse = transport.NewStreams(s.engine, s.subscriber, s.streams, s.gate, s.sockets, s.options.Pod, transport.Connections(hot.Connections))
	s.own = s.makeAuditor(transport.Connections(hot.Connections))
}

// makeSource decides where hot documents come from.
func (s *Server) makeSource(hot config.Hot, api *cluster.Cluster) (source, error) {
	switch {
	case api != nil:
		return watched{api, s.cold.Gateway.Name + configMapSuffix, hotPath(s.options.Config), s.log}, nil
	case s.options.Config != "":
		return file{hotPath(s.options.Config), s.log}, nil
	}
	text, err := config.Encode(config.Document{Serial: 1, Stable: config.Revision{Name: "default", Hot: hot}})
	return fixed{text}, err
}

// configMapSuffix follows the StreamGateway's name.
const configMapSuffix = "-config"

// take hands valid settings to all rooms. One line per room, never per knob:
// the structs must match field by field, or this does not compile.
func (s *Server) take(d config.Document, r config.Revision, standBy bool) {
	hot := r.Hot
	s.standby.set(s, standBy, hot.Drain.ReconnectSpread)
	s.holes.follow(s, d, standBy)
	flags := newFlagSet(s.flags.Load(), d.Serial, hot.Features, hot.Observability.BeaconInterval)
	s.engine.Tune(tuningOf(hot, flags))
	s.tuneAuth(d, hot.Auth)
	s.numbers.tune(hot.Observability.MetricsAccess)
	s.pages.Tune(hot.Observability.Presence)
	s.streams.Tune(mostOf(hot.Connections))
	s.streams.TuneConnect(limit.Connect(hot.Limits.Connect))
	s.guard.breaker.Tune(breaker.Settings(hot.CircuitBreaker))
	s.publish.Tune(hot.Limits.MaxEventBytes, transport.PublishLimits(hot.Limits.Publish))
	s.sse.Tune(transport.Connections(hot.Connections))
	if s.own != nil {
		s.own.streams.Tune(transport.Connections(hot.Connections))
	}
	s.doors.Tune(doorsOf(hot.Listener))
	s.certificate.tune(hot.Listener.TLS.MinVersion)
	s.retention.Store(int64(retentionOf(hot.Replay.TTL)))
	s.tuneLog(hot.Observability)
	s.tuneTracing(hot.Observability)
	if flags != s.flags.Load() {
		s.setFlags(flags)
	}
}

// mostOf is how many streams there may be at once.
func mostOf(c config.Connections) limit.Most {
	return limit.Most{PerPod: c.MaxPerPod, PerTenant: c.MaxPerTenant, PerSubject: c.MaxPerSubject, PerAddress: c.MaxPerAddress}
}

func (s *Server) setFlags(flags *flagSet) {
	s.flags.Store(flags)
	s.engine.Flags(engine.Flags{Revision: flags.revision, BeaconMs: flags.beaconInterval.Milliseconds(), Of: flags.of})
}

// doorsOf is what decides who is let in: all of the listener but TLS, which is
// the port's.
func doorsOf(l config.HotListener) transport.Listener {
	return transport.Listener{AllowedOrigins: l.AllowedOrigins, TrustedProxies: l.TrustedProxies}
}

// tuningOf is what the engine runs by: the document, and the flags that switch
// parts of the engine off.
func tuningOf(hot config.Hot, flags *flagSet) engine.Tuning {
	t := engine.Tuning{
		Batching:    fanout.Batching(hot.Batching),
		Queue:       fanout.Queue(hot.Queue),
		Delivery:    fanout.Delivery(hot.Limits.Delivery),
		Replay:      ring.Replay(hot.Replay),
		Connections: fanout.Connections(hot.Connections),
		Compression: fanout.Compression(hot.Compression),
	}
	t.Coalesce = !flags.off(flagCoalesce)
	if flags.off(flagBatching) {
		t.Batching.Window = 0
	}
	if flags.off(flagReplay) {
		t.Replay.Mode = config.Disabled
	}
	return t
}
