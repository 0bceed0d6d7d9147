package transport

import (
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Routes are the handlers of one gateway. Each knows its own methods' rights.
type Routes struct {
	Doors    *Doors         // before all of them; nil = those of an empty Listener
	Stream   http.Handler   // GET and POST /stream
	Publish  http.Handler   // POST /events and POST /channels/{channel}/events
	Sessions *Sessions      // PATCH and DELETE /sessions/{sid}
	History  *History       // GET below /channels/{channel}
	Beacon   http.Handler   // POST /beacon
	Client   http.Handler   // GET /client.js
	Tickets  http.Handler   // POST /tickets
	Metrics  func() Metrics // GET /metrics
	// MetricsAccess says who may read Metrics.
	MetricsAccess Authenticator
	// Log is told of handlers that panic.
	Log *slog.Logger
	// Page is shown at / ; nil = there is none.
	Page http.Handler
}

// Handler puts the routes together. Everything that has no route gets a
// problem answer; every answer's request has an id.
func (r Routes) Handler() http.Handler {
	if r.Doors == nil {
		r.Doors = NewDoors(Listener{})
	}
	mux := http.NewServeMux()
	mux.Handle(Base+"/stream", methods{http.MethodGet: r.Stream, http.MethodPost: r.Stream})
	mux.Handle(Base+"/events", methods{http.MethodPost: r.Publish})
	events := withHead(http.HandlerFunc(r.History.Page))
	events[http.MethodPost] = r.Publish
	mux.Handle(Base+"/channels/{channel}/events", events)
	mux.Handle(Base+"/channels/{channel}/last", withHead(http.HandlerFunc(r.History.Last)))
	mux.Handle(Base+"/channels/{channel}/presence", withHead(http.HandlerFunc(r.History.Presence)))
	mux.Handle(Base+"/sessions/{sid}", methods{
		http.MethodPatch: http.HandlerFunc(r.Sessions.Patch), http.MethodDelete: http.HandlerFunc(r.Sessions.Delete),
	})
	mux.Handle(Base+"/beacon", methods{http.MethodPost: r.Beacon})
	mux.Handle(Base+"/client.js", withHead(r.Client))
	mux.Handle(Base+"/tickets", methods{http.MethodPost: r.Tickets})
	mux.Handle(Base+"/time", withHead(http.HandlerFunc(r.Doors.serveTime)))
	mux.Handle(Base+"/metrics", withHead(http.HandlerFunc(r.serveMetrics)))
	mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		Problem(w, q, http.StatusNotFound, KindNotFound, Detail("endpoints are under "+Base))
	})
	if r.Page != nil {
		mux.Handle("/{$}", withHead(r.Page))
	}
	return withRequest(r.Doors.guard(withRecovery(mux, r.Log)), newRefusals(r.Log))
}

// methods answers by method; what is missing gets 405 with Allow, and OPTIONS
// 204. What browsers ask before a page's request has been answered before.
type methods map[string]http.Handler

func withHead(get http.Handler) methods {
	return methods{http.MethodGet: get, http.MethodHead: get}
}

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h, ok := m[r.Method]; ok {
		h.ServeHTTP(w, r)
		return
	}
	allow := append(slices.Sorted(maps.Keys(m)), http.MethodOptions)
	w.Header().Set("Allow", strings.Join(allow, ", "))
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	Problem(w, r, http.StatusMethodNotAllowed, KindMethod, Detail("use "+strings.Join(allow, ", ")))
}
