package transport

import (
	"log/slog"
	"net/http"
	"runtime/debug"
)

// withRecovery answers 500 for a handler that panics, and logs where. A stream
// or an answer that has begun is cut instead, so that nobody takes it for
// whole; the log names the route and not the path, which may hold a channel.
// http.ErrAbortHandler, which asks for just that, passes through.
func withRecovery(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if cause == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so, too
				panic(cause)
			}
			log.Error("handler panicked", "panic", cause, "requestId", RequestID(r.Context()),
				"method", r.Method, "route", r.Pattern, "stack", string(debug.Stack()))
			// Every answer here sets its type just before it begins.
			if w.Header().Get("Content-Type") != "" {
				panic(http.ErrAbortHandler)
			}
			Problem(w, r, http.StatusInternalServerError, KindInternal, Detail("this is a fault of the gateway; its log has the request's id"))
		}()
		next.ServeHTTP(w, r)
	})
}
