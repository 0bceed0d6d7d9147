package server

import (
	"log"
	"math"
	"net"
	"net/http"
	"time"

	"github.com/streamgateway/streamgateway/gateway/console"
	"github.com/streamgateway/streamgateway/gateway/report"
)

// listenLocal opens the port of the console. A pod without it serves its
// clients just as well, so a port that is taken is only told.
func (s *Server) listenLocal() {
	if s.options.Local == "" {
		return
	}
	listener, err := net.Listen("tcp", s.options.Local)
	if err != nil {
		s.log.Warn("there is no console", "error", err)
		return
	}
	s.local = listener
}

// console is where the console listens, as host:port; "" = there is none.
func (s *Server) console() string {
	if s.local == nil {
		return ""
	}
	return s.local.Addr().String()
}

// localServer is the surface for people who may enter the pod.
func (s *Server) localServer(quiet *log.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.Handle(profilesPath, profiles())
	mux.Handle("/", console.Handler(s.consoleData))
	return &http.Server{
		Handler: onlyLocal(mux), ErrorLog: quiet,
		ReadTimeout: headerTimeout, WriteTimeout: adminTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
	}
}

// onlyLocal refuses requests under any other name than this machine's: a page
// of the web may give a name of its own this address, and then its scripts
// would read what is here through the browser of whoever forwards the port.
func onlyLocal(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "ask for localhost", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// How much the console shows of channels and slow streams.
const (
	consoleRows = 20
	consoleSpan = time.Minute
)

// consoleData fills the console.
func (s *Server) consoleData() console.Data {
	now, nack := s.config.now()
	d := console.Data{
		Pod: s.options.Pod, Version: s.options.Version, Metrics: s.metrics(),
		Config:  console.Config{Serial: now.serial, Revision: now.revision.Name, Unknown: now.unknown},
		Latency: latencyOf(s.engine.Stats()).Counts, Bounds: latencyBounds(),
		MemoryBudgetBytes: s.memory.budget, Memory: s.memory.last.Load().rows(),
		Channels: s.busyChannels(), Slow: s.slowReaders(),
	}
	if nack != nil {
		d.Config.Refused = nack.Message
	}
	for _, past := range s.history.all() {
		d.Past = append(d.Past, console.Moment{
			Time: past.at.UnixMilli(), Active: past.active, Published: past.published, Delivered: past.delivered,
			Latency: past.latency.Counts,
		})
	}
	return d
}

// latencyBounds are in milliseconds.
func latencyBounds() (bounds []float64) {
	for i := range report.Buckets {
		bounds = append(bounds, round(report.Bound(i)*1000, 3))
	}
	return bounds
}

func (s *Server) busyChannels() (rows []console.Channel) {
	busiest, span := s.engine.Activity(consoleSpan, consoleRows)
	for _, a := range busiest {
		rows = append(rows, console.Channel{
			Name: a.Channel, EventsPerSecond: round(float64(a.Events)/span.Seconds(), 2),
			Readers: s.engine.Readers(a.Channel), Newest: a.Newest.UnixMilli(),
		})
	}
	return rows
}

func (s *Server) slowReaders() (rows []console.Reader) {
	for _, l := range s.engine.Laggards(consoleRows) {
		rows = append(rows, console.Reader{
			Request: l.Request, Client: l.Client, Gzip: l.Gzip, Subscriptions: l.Subscriptions, AgeMs: l.Age.Milliseconds(),
			LagEvents: l.LagEvents, LagBytes: l.LagBytes, LagMs: l.Lag.Milliseconds(),
			Percent: int(math.Round(min(l.Share, 1) * 100)),
		})
	}
	return rows
}

// rows are what the console shows of it.
func (u usage) rows() []console.Memory {
	return []console.Memory{
		{Class: "events", Bytes: u.ring}, {Class: "segments", Bytes: u.segments}, {Class: "keys for repeats", Bytes: u.dedup},
		{Class: "sockets", Bytes: u.sockets}, {Class: "all else", Bytes: u.rest},
	}
}
