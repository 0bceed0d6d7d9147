// Package console is the page that shows what one pod does right now, for the
// person who looks after it: streams, channels, rates, latency, slow clients,
// flags, replay use, the configuration that runs.
//
// It is a handler and three files in the binary; it loads nothing from
// elsewhere, changes nothing, and knows nothing of the gateway but Data. It
// shows channels and addresses and asks for no password, so it must be served
// on loopback only: gateway/server does, and kubectl port-forward leads there.
package console

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
)

//go:embed page
var files embed.FS

// Data is all that the page shows. Times are milliseconds since 1970, counters
// grow from the pod's start.
type Data struct {
	Pod     string `json:"pod"`
	Version string `json:"version"`
	// Metrics is the body of the gateway's GET /metrics.
	Metrics any    `json:"metrics"`
	Config  Config `json:"config"`
	// Latency counts live writes by bucket, from an event's arrival to its last
	// byte handed to the socket; Bounds are the buckets' upper ones, in
	// milliseconds.
	Latency []uint64  `json:"latency"`
	Bounds  []float64 `json:"bounds"`
	// Past is the minute before the page was opened, oldest first.
	Past     []Moment  `json:"past"`
	Channels []Channel `json:"channels"` // busiest first
	Slow     []Reader  `json:"slow"`     // slowest first
	Memory   []Memory  `json:"memory"`
	// MemoryBudgetBytes is what may be used; 0 = not limited.
	MemoryBudgetBytes int64 `json:"memoryBudgetBytes"`
}

// Config is what runs, and what was refused last.
type Config struct {
	Serial   int64    `json:"serial"`
	Revision string   `json:"revision"`
	Unknown  []string `json:"unknown"`
	Refused  string   `json:"refused"` // why the newest document does not run; "" = it does
}

// Moment is a sample of the pod.
type Moment struct {
	Time      int64    `json:"time"`
	Active    int      `json:"active"` // streams
	Published uint64   `json:"published"`
	Delivered uint64   `json:"delivered"`
	Latency   []uint64 `json:"latency"` // as Data.Latency
}

// Channel is one that had events lately.
type Channel struct {
	Name            string  `json:"name"`
	EventsPerSecond float64 `json:"eventsPerSecond"`
	Readers         int     `json:"readers"` // streams and waiting polls
	Newest          int64   `json:"newest"`
}

// Reader is a stream that lags.
type Reader struct {
	Request       string `json:"request"` // id of the request that opened it, as in the log
	Client        string `json:"client"`  // address
	Gzip          bool   `json:"gzip"`
	Subscriptions int    `json:"subscriptions"`
	AgeMs         int64  `json:"ageMs"`     // since it was opened
	LagEvents     uint64 `json:"lagEvents"` // not yet taken by its socket
	LagBytes      uint64 `json:"lagBytes"`
	LagMs         int64  `json:"lagMs"`
	Percent       int    `json:"percent"` // of the nearest limit of queue
}

// Memory is a part of what the process uses.
type Memory struct {
	Class string `json:"class"`
	Bytes int64  `json:"bytes"`
}

// DataPath is where the page gets its Data.
const DataPath = "/data.json"

// Handler serves the page at /, and what data returns at DataPath.
func Handler(data func() Data) http.Handler {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // the name is a constant, and valid
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(page))
	mux.HandleFunc("GET "+DataPath, func(w http.ResponseWriter, _ *http.Request) {
		// One write, so that a slow reader cannot tear a number from its neighbours.
		body, err := json.Marshal(data())
		if err != nil {
			http.Error(w, "writing the data: "+err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body) // the reader is gone when this fails
	})
	return harden(mux)
}

// harden keeps other pages from framing this one and this one from loading
// anything but its own files.
func harden(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
