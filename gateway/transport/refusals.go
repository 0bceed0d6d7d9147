package transport

import (
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// maxRefusalsPerSecond bounds the log lines of one second: who floods a gateway
// with bad requests shall not flood its log, too. At level Debug, where somebody
// looks for a fault, there are all of them.
const maxRefusalsPerSecond = 50

// refusals logs refused requests, by id and route. A line holds no path, no
// query, no address and nothing else that a client chose, except an id that
// cannot hold a secret of ours.
type refusals struct {
	log *slog.Logger

	mu      sync.Mutex
	second  int64 // of the lines counted; Unix time
	lines   int
	leftOut int
}

func newRefusals(log *slog.Logger) *refusals { return &refusals{log: log} }

func (l *refusals) tell(r *http.Request, q *request) {
	level := levelOf(q.status)
	if !l.log.Enabled(r.Context(), level) {
		return
	}
	leftOut, ok := l.room(time.Now().Unix(), l.log.Enabled(r.Context(), slog.LevelDebug))
	if leftOut > 0 {
		l.log.Warn("refusals left out of the log", "requests", leftOut)
	}
	if !ok {
		return
	}
	args := []any{"requestId", q.id, "method", method(r), "route", r.Pattern, "status", q.status, "problem", q.problem}
	if q.limit != "" {
		args = append(args, "limit", q.limit)
	}
	l.log.Log(r.Context(), level, "request refused", args...)
}

// levelOf: a request that is wrong is its sender's business, one that cannot be
// served is the operator's, and a fault of ours is an error.
func levelOf(status int) slog.Level {
	switch {
	case status == http.StatusInternalServerError:
		return slog.LevelError
	case status >= http.StatusInternalServerError:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// method is the request's where it is one that this protocol knows: any token
// may stand there.
func method(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodPut, http.MethodOptions:
		return r.Method
	}
	return "other"
}

// room tells whether a line may be written in this second, and how many were
// left out of an earlier one.
func (l *refusals) room(second int64, all bool) (leftOut int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if second != l.second {
		leftOut = l.leftOut
		l.second, l.lines, l.leftOut = second, 0, 0
	}
	if l.lines >= maxRefusalsPerSecond && !all {
		l.leftOut++
		return leftOut, false
	}
	l.lines++
	return leftOut, true
}
