package server

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/engine"
)

// maxAccessLines is how many lines may wait to be written. Who reads the log
// too slowly loses lines; no stream waits for it.
const maxAccessLines = 4096

// accessLog writes a line for every stream that ends, while it is enabled. A
// line holds no channel, no address, no subject and no session: the request's
// id is enough to find it.
type accessLog struct {
	enabled atomic.Bool
	log     *slog.Logger
	lines   chan engine.Ended
	leftOut atomic.Int64
}

func newAccessLog(log *slog.Logger) *accessLog {
	return &accessLog{log: log, lines: make(chan engine.Ended, maxAccessLines)}
}

// ended is called inside a loop of the engine.
func (a *accessLog) ended(e engine.Ended) {
	if !a.enabled.Load() {
		return
	}
	select {
	case a.lines <- e:
	default:
		a.leftOut.Add(1)
	}
}

// follow writes until ctx ends, and what waits then.
func (a *accessLog) follow(ctx context.Context) {
	for {
		select {
		case e := <-a.lines:
			a.write(e)
		case <-ctx.Done():
			a.flush()
			return
		}
	}
}

func (a *accessLog) flush() {
	for {
		select {
		case e := <-a.lines:
			a.write(e)
		default:
			return
		}
	}
}

func (a *accessLog) write(e engine.Ended) {
	if n := a.leftOut.Swap(0); n > 0 {
		a.log.Warn("lines left out of the access log", "streams", n)
	}
	encoding := "identity"
	if e.Gzip {
		encoding = "gzip"
	}
	a.log.Info("stream ended", "requestId", e.Request, "reason", e.Reason, "lastedMilliseconds", e.Lasted.Milliseconds(),
		"events", e.Events, "bytes", e.Bytes, "encoding", encoding, "subscriptions", e.Subscriptions)
}

// tuneLog takes over what is logged from now on. A level given by hand stays.
func (s *Server) tuneLog(o config.Observability) {
	s.access.enabled.Store(o.AccessLog == config.Enabled)
	if s.options.Level != nil {
		s.options.Level.Set(logLevel(o.LogLevel))
	}
}

func logLevel(word string) slog.Level {
	switch word {
	case config.LogDebug:
		return slog.LevelDebug
	case config.LogWarn:
		return slog.LevelWarn
	case config.LogError:
		return slog.LevelError
	}
	return slog.LevelInfo
}
