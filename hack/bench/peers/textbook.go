package main

import (
	"fmt"
	"net/http"
	"sync"
)

// textbook is the broadcaster of most tutorials: a buffered channel for each
// client, every event formatted, written and flushed by each client's
// goroutine. A client whose channel is full misses the event.
type textbook struct {
	mu      sync.Mutex
	clients map[string]map[chan message]struct{}
	newest  uint64
}

type message struct {
	id   uint64
	data string
}

const clientBuffer = 256 // events

func newTextbook() http.Handler {
	b := &textbook{clients: map[string]map[chan message]struct{}{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stream", b.stream)
	mux.HandleFunc("POST /publish", publishing(b.publish))
	return mux
}

func (b *textbook) publish(channel, data string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.newest++
	for c := range b.clients[channel] {
		select {
		case c <- message{b.newest, data}:
		default:
		}
	}
	return nil
}

func (b *textbook) stream(w http.ResponseWriter, r *http.Request) {
	events, channels := make(chan message, clientBuffer), channelsOf(r)
	b.join(events, channels)
	defer b.leave(events, channels)
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	for err := control.Flush(); err == nil; err = control.Flush() {
		select {
		case m := <-events:
			fmt.Fprintf(w, "id: %d\ndata: %s\n\n", m.id, m.data)
		case <-r.Context().Done():
			return
		}
	}
}

func (b *textbook) join(events chan message, channels []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range channels {
		if b.clients[c] == nil {
			b.clients[c] = map[chan message]struct{}{}
		}
		b.clients[c][events] = struct{}{}
	}
}

func (b *textbook) leave(events chan message, channels []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range channels {
		delete(b.clients[c], events)
	}
}
