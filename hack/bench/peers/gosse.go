package main

import (
	"fmt"
	"net/http"

	"github.com/tmaxmax/go-sse"
)

// newGoSSE is the library's own server with its broker and its replayer, as
// its documentation shows.
func newGoSSE() (http.Handler, error) {
	replayer, err := sse.NewFiniteReplayer(replayEvents, true)
	if err != nil {
		return nil, fmt.Errorf("making a replayer: %w", err)
	}
	streams := &sse.Server{
		Provider: &sse.Joe{Replayer: replayer},
		OnSession: func(w http.ResponseWriter, r *http.Request) ([]string, bool) {
			// The library answers at the first event only; a client that waits
			// for the head would give up.
			w.Header().Set("Content-Type", "text/event-stream")
			return channelsOf(r), http.NewResponseController(w).Flush() == nil
		},
	}
	mux := http.NewServeMux()
	mux.Handle("GET /stream", streams)
	mux.HandleFunc("POST /publish", publishing(func(channel, data string) error {
		m := &sse.Message{}
		m.AppendData(data)
		return streams.Publish(m, channel)
	}))
	return mux, nil
}
