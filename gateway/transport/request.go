package transport

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/netip"
)

// requestKey is the context key of the *request.
type requestKey struct{}

// request is what is known of a request besides net/http's. It belongs to the
// request's goroutine.
type request struct {
	id     string
	client netip.Addr // see clientAddress
	told   bool       // see addressTold
	// status, problem and limit are those of the refusal; 0 and "" = it was
	// not refused.
	status         int
	problem, limit string
}

const maxRequestIDBytes = 128

// RequestID is the id of the request that ctx belongs to: the client's own
// X-Request-Id when it is harmless, else a random one; "" outside a request.
// It stands in the answer's X-Request-Id, in problem answers and in logs.
func RequestID(ctx context.Context) string {
	if q, ok := ctx.Value(requestKey{}).(*request); ok {
		return q.id
	}
	return ""
}

// refused notes how a request is refused, for the log.
func refused(ctx context.Context, status int, kind string, limit *limitMember) {
	q, ok := ctx.Value(requestKey{}).(*request)
	if !ok {
		return
	}
	q.status, q.problem = status, kind
	if limit != nil {
		q.limit = limit.Name
	}
}

// withRequest gives every request an id before anything can refuse it, and
// logs those that were refused.
func withRequest(next http.Handler, refusals *refusals) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := &request{id: r.Header.Get("X-Request-Id")}
		if !harmlessID(q.id) {
			q.id = rand.Text()
		}
		h := w.Header()
		h["X-Request-Id"] = []string{q.id}
		// What is right for all answers; a handler says more where it has to.
		h["X-Content-Type-Options"] = []string{"nosniff"}
		h["Referrer-Policy"] = []string{"no-referrer"}
		h["Cache-Control"] = []string{"no-store"}
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, q))
		withBodyTimeout(w, r)
		next.ServeHTTP(w, r)
		if q.problem != "" {
			refusals.tell(r, q)
		}
	})
}

// harmlessID keeps what could forge a log line or a header out of ids that
// come from outside, and with the dot every signed token.
func harmlessID(id string) bool {
	if id == "" || len(id) > maxRequestIDBytes {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
