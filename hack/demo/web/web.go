// Package web is the demo's HTTP surface: it takes revenues in, shows a page
// with the live stream, and passes /v2/realtime/ through to the gateway, so that
// page and stream have one origin and one port-forward is enough.
//
// It stores revenues and publishes nothing: that is the relay's part, fed by
// the ledger's outbox. main builds it and serves its handler.
package web

import (
	"context"
	"embed"
	"encoding/json"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/streamgateway/streamgateway/hack/demo/ledger"
)

//go:embed page
var page embed.FS

// Store is what the surface needs of the ledger.
type Store interface {
	Record(ctx context.Context, r ledger.Revenue) error
	Count(ctx context.Context) (ledger.Counts, error)
}

// Speaker gives answers token by token.
type Speaker interface {
	Start(ctx context.Context, id, text string) (channel string, err error)
	Cancel(id string) bool
}

// Options are all required.
type Options struct {
	Store   Store
	Gateway *url.URL      // where /v2/realtime/ is passed on to
	Token   string        // bearer token of POST /finance/revenue
	NewID   func() string // a new revenue's id, unique for ever
	Speaker Speaker
	// Speaking is how long answers may be given.
	Speaking context.Context
	Closing  <-chan struct{}
	Log      *slog.Logger
}

type handler struct {
	Options
	traffic traffic
}

// Handler serves the demo. Closing ends the streams that pass through it, which
// would otherwise hold up an orderly stop for as long as a reader stays.
func Handler(o Options) http.Handler {
	h := &handler{Options: o}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /finance/revenue", h.revenue)
	mux.HandleFunc("POST /finance/answers", h.answer)
	mux.HandleFunc("DELETE /finance/answers/{id}", h.cancel)
	mux.HandleFunc("GET /finance/time", h.time)
	mux.HandleFunc("GET /finance/traffic", h.traffic.serve)
	mux.HandleFunc("GET /healthz", h.healthz)
	mux.Handle("/v2/realtime/", h.gateway())
	files, err := fs.Sub(page, "page")
	if err != nil {
		panic("page is not embedded: " + err.Error())
	}
	for _, path := range []string{"/{$}", "/app.js", "/tokens.html", "/tokens.js", "/style.css", "/icon.svg"} {
		mux.Handle("GET "+path, http.FileServerFS(files))
	}
	return safe(mux)
}

// safe keeps the page from loading or being framed by anything foreign.
func safe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

// time tells the demo's clock in Unix milliseconds, so that a page can compute
// latencies although its own clock differs.
func (h *handler) time(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]int64{"t": time.Now().UnixMilli()})
}

// healthz is about this process. A gateway that is away does not make it ill:
// revenues are taken, their events wait in the outbox.
func (h *handler) healthz(w http.ResponseWriter, r *http.Request) {
	counts, err := h.Store.Count(r.Context())
	if err != nil {
		h.Log.Error("checking health", "error", err)
		refuse(w, r, problem{Status: http.StatusServiceUnavailable, kind: "storage", Detail: "the database does not answer"})
		return
	}
	reply(w, http.StatusOK, counts)
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a reader that left cannot be told
}
