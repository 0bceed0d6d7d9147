package jetstream

import (
	"log/slog"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/broker/jetstream/natstest"
)

// optionsOf are those of a log of these servers.
func optionsOf(s *natstest.Servers, prefix string) Options {
	return Options{URL: s.URL(), SubjectPrefix: prefix, Name: "test", Retention: 10 * time.Minute, Log: slog.New(slog.DiscardHandler)}
}

// openOf makes a log, and tries again while servers start.
func openOf(t *testing.T, s *natstest.Servers, prefix string) *Log {
	t.Helper()
	return open(t, optionsOf(s, prefix))
}

func open(t *testing.T, o Options) *Log {
	t.Helper()
	var l *Log
	var err error
	for deadline := time.Now().Add(natstest.Patience); ; time.Sleep(50 * time.Millisecond) {
		if l, err = Open(t.Context(), o); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}
