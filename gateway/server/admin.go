package server

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/report"
)

// adminRoutes is the surface for the operator, the kubelet and scrapers. It
// has no authentication of its own and therefore shows no channel and no data.
func (s *Server) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+report.Path, s.serveReport)
	mux.HandleFunc("GET "+report.HealthzPath, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, !s.alive.stuck(), "the janitor has not come round for "+stuckAfter.String())
	})
	mux.HandleFunc("GET "+report.ReadyzPath, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, s.ready(), s.unready())
	})
	mux.Handle("GET "+report.MetricsPath, promhttp.HandlerFor(s.registry(), promhttp.HandlerOpts{
		EnableOpenMetrics: true, EnableOpenMetricsTextCreatedSamples: true,
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, ok bool, why string) {
	if !ok {
		http.Error(w, why, http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n")) // the asker is gone when this fails
}

// ready tells whether clients can be sent here: a certificate that has come is
// not enough, the port that waited for it has to be open.
func (s *Server) ready() bool { return s.config.ready() && s.main.Load() != nil && !s.leaving() }

// leaving tells whether clients are asked to move, for good or for a while.
func (s *Server) leaving() bool { return s.draining.Load() || s.standby.stands() }

func (s *Server) unready() string {
	switch {
	case s.draining.Load():
		return "draining"
	case s.standby.stands():
		return "standing by, as the config says"
	}
	if !s.certificate.ready() {
		return s.certificate.report().Message
	}
	if s.main.Load() == nil {
		return "the port for clients is not open yet"
	}
	return "no config runs yet"
}

// serveReport answers at once, or with the parameter waitFor=<serial> when
// that serial runs or is refused, at most after report.WaitLimit.
func (s *Server) serveReport(w http.ResponseWriter, r *http.Request) {
	if text := r.URL.Query().Get(report.WaitParameter); text != "" {
		serial, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			http.Error(w, report.WaitParameter+" must be a serial", http.StatusBadRequest)
			return
		}
		ctx, stop := context.WithTimeout(r.Context(), report.WaitLimit)
		s.config.wait(ctx, serial)
		stop()
	}
	writeReport(w, s.report())
}

func writeReport(w http.ResponseWriter, r report.Report) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(r) // the asker is gone when this fails
}

// report is this pod's view of itself.
func (s *Server) report() report.Report {
	stats := s.engine.Stats()
	published := s.publish.Counts()
	_, _, rejected := s.streams.Counts()
	now, nack := s.config.now()
	circuit := s.guard.breaker.Stats()
	return report.Report{
		Pod: s.options.Pod, Version: s.options.Version, TemplateHash: s.options.TemplateHash,
		StartTime: s.start, Time: time.Now(),
		Serial: now.serial, Revision: now.revision.Name, Nack: nack, UnknownFields: now.unknown,
		SharedSecret: s.shared.state(),
		Ready:        s.ready(), Draining: s.leaving(),
		Connections: report.Connections{
			Active: stats.Connections.Active, Opened: stats.Connections.Opened,
			Rejected: rejected, Lost: stats.Connections.Lost,
		},
		Events: report.Events{
			Published: published.Events, PublishFailed: published.Failed, PublishRejected: published.Rejected,
			Delivered: stats.Events.Delivered, DeliveryFailed: stats.Events.Failed, Dropped: stats.Events.Dropped,
		},
		Queue: report.Queue{
			LagPercent: stats.Slow.LagPercent, Slow: stats.Slow.Now,
			Waiting: shortened(report.Histogram{Counts: stats.Waiting.Counts}), WaitingEvents: stats.Waiting.Events,
		},
		Replay: report.Replay{
			HeldSeconds: stats.Ring.Held.Seconds(), Events: stats.Ring.Events,
			Bytes: stats.Ring.Bytes, Short: stats.Ring.Short,
		},
		CircuitBreaker: report.CircuitBreaker{State: circuit.State.String(), Opened: circuit.Opened},
		Browsers:       s.browserReport(),
		TLS:            s.certificate.report(),
		KeysFault:      cmp.Or(s.subscriber.KeysFault(), s.publisher.KeysFault()),
		Audit:          s.auditReport(),
		Broker:         s.brokerReport(),
		Latency:        latencyOf(stats),
	}
}

// browserReport is what pages told in the last minute, not since the start: the
// operator looks at seconds, in which few of them report.
func (s *Server) browserReport() report.Browsers {
	minute := s.browsers.now().since(s.history.oldest().browsers)
	return report.Browsers{
		Latency: shortened(minute.latency), Reports: minute.reports, Buffering: minute.buffering,
		Flags: minute.cohorts(s.flags.Load()),
	}
}

// latencyOf gives the engine's counts the form that can be merged over pods.
func latencyOf(stats engine.Stats) report.Histogram {
	return shortened(report.Histogram{Counts: slices.Clone(stats.Latency.Counts), Sum: stats.Latency.SumSeconds})
}

// shortened leaves trailing zeros out.
func shortened(h report.Histogram) report.Histogram {
	for len(h.Counts) > 0 && h.Counts[len(h.Counts)-1] == 0 {
		h.Counts = h.Counts[:len(h.Counts)-1]
	}
	return h
}
