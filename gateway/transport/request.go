package transport

import (
	"context"
	"crypto/rand"
	"net/http"
)

// requestIDKey is the context key of the request's id.
type requestIDKey struct{}

const maxRequestIDBytes = 128

// RequestID is the id of the request that ctx belongs to: the client's own
// X-Request-Id when it is harmless, else a random one; "" outside a request.
// It stands in problem answers and in logs.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// withRequestID gives every request an id before anything can refuse it.
func withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-Id")
		if !harmlessID(id) {
			id = rand.Text()
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}

// harmlessID keeps what could forge a log line or a header out of ids that
// come from outside.
func harmlessID(id string) bool {
	if id == "" || len(id) > maxRequestIDBytes {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
