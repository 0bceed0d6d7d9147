package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/streamgateway/streamgateway/gateway/broker/jetstream"
	"github.com/streamgateway/streamgateway/gateway/broker/memory"
	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/report"
)

// Words for the kinds of logs, in metrics.
const (
	kindMemory    = "memory"
	kindJetStream = "jetstream"
)

const (
	// maxLogLag is how long a position that another replica gave is waited for.
	maxLogLag = 5 * time.Second
	// openPause is between two tries to open the log.
	openPause = time.Second
	// retainPeriod is how often the log is told how long to keep events, until
	// it knows.
	retainPeriod = 5 * time.Second
)

// retentionOf is how long a shared log keeps events: twice as long as replicas
// do, so that one that starts finds all that they have.
func retentionOf(ttl time.Duration) time.Duration { return 2 * ttl }

func (s *Server) openMemory() error {
	log, err := memory.New(rand.Reader)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	s.kind, s.events, s.keys = kindMemory, log, func() int { return log.Stats().Keys }
	if s.info, err = log.Info(context.Background()); err != nil {
		return fmt.Errorf("reading the log's state: %w", err)
	}
	return s.begin()
}

// checkSecrets refuses a cold document that names Secrets nobody has mounted
// for us.
func (s *Server) checkSecrets() error {
	n := s.cold.Broker.NATS
	if s.options.NATSPath == "" && n.CredentialsSecretRef.Name+n.CASecretRef.Name != "" {
		return errors.New("opening the log: broker.nats names Secrets; say with --nats-path where they are")
	}
	return nil
}

// streamOptions are those of the log that gateways share.
func (s *Server) streamOptions() jetstream.Options {
	b := s.cold.Broker
	_, hot := config.Default()
	o := jetstream.Options{
		URL: b.NATS.URL, Stream: b.NATS.Stream, SubjectPrefix: b.SubjectPrefix,
		Name: "streamgateway " + s.options.Pod, Retention: retentionOf(hot.Replay.TTL), Log: s.log,
	}
	if b.NATS.CredentialsSecretRef.Name != "" {
		o.Credentials = filepath.Join(s.options.NATSPath, config.CredentialsFolder)
	}
	if b.NATS.CASecretRef.Name != "" {
		o.CA = filepath.Join(s.options.NATSPath, config.CAFolder)
	}
	return o
}

// openStream opens the log that gateways share, and makes what needs it. It
// tries until ctx ends: whoever puts right what is wrong need not restart pods.
func (s *Server) openStream(ctx context.Context) error {
	told := ""
	for {
		err := s.tryStream(ctx)
		if err == nil {
			return s.begin()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if text := err.Error(); text != told {
			told = text
			s.unopened.Store(&err)
			s.log.Error("opening the log; this pod is not ready before", "error", err)
		}
		select {
		case <-time.After(openPause):
		case <-ctx.Done():
			return ctx.Err()
		}
		s.alive.beat() // the janitor does it later
	}
}

func (s *Server) tryStream(ctx context.Context) error {
	stream, err := jetstream.Open(ctx, s.streamOptions())
	if err != nil {
		return err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("reading the log's state: %w", err), stream.Close())
	}
	s.kind, s.events, s.info, s.stream = kindJetStream, stream, info, stream
	s.keys = func() int { return stream.Stats().Keys }
	return nil
}

// closeUnopened ends a gateway that has served nobody.
func (s *Server) closeUnopened() error {
	err := s.adminHTTP.Close()
	if s.local != nil {
		err = errors.Join(err, s.local.Close())
	}
	s.background.Wait()
	if s.sockets != nil {
		s.sockets.Close()
	}
	return err
}

// retain tells the shared log how long to keep events, whenever that changes.
func (s *Server) retain(ctx context.Context) {
	var told int64
	failing := false
	every(ctx, retainPeriod, func() {
		want := s.retention.Load()
		if want == told {
			return
		}
		err := s.stream.Retain(ctx, time.Duration(want))
		if err == nil {
			told = want
		} else if !failing {
			s.log.Warn("the log keeps events for less than twice replay.ttl", "error", err)
		}
		failing = err != nil
	})
}

// logState is how the log does, for metrics.
func (s *Server) logState() jetstream.Stats {
	if s.stream == nil {
		return jetstream.Stats{Connected: true}
	}
	return s.stream.Stats()
}

// serveUnopened answers on the admin port until there is a log: the pod lives
// and is not ready.
func (s *Server) serveUnopened(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == report.HealthzPath {
		answer(w, true, "")
		return
	}
	if r.URL.Path == report.Path {
		writeReport(w, report.Report{
			Pod: s.options.Pod, Version: s.options.Version, TemplateHash: s.options.TemplateHash,
			StartTime: s.start, Time: time.Now(), SharedSecret: s.shared.state(), TLS: s.certificate.report(), Broker: s.brokerReport(),
		})
		return
	}
	why := "the log is being opened"
	if err := s.unopened.Load(); err != nil {
		why = (*err).Error()
	}
	answer(w, false, why)
}
