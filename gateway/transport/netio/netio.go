// Package netio is the rim where streams meet sockets: sinks that the engine
// writes to.
//
// Sockets is the cheap one, for plain HTTP/1.1 on Linux: it takes connections
// over from net/http and writes to them without a goroutine or buffer for each.
// HTTP is the generic one, for every kind of connection that net/http serves:
// one goroutine per stream, one block on its way. Both decide nothing about the
// stream; when to close and what to write is the engine's. They are called by
// gateway/transport.
package netio

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
)

// HTTP writes a stream through an http.ResponseWriter.
type HTTP struct {
	w       http.ResponseWriter
	control *http.ResponseController
	block   chan []byte   // what the goroutine of Serve writes next
	closed  chan struct{} // the engine closed the stream

	// mu guards what follows, and with it the connection: a deadline must not
	// be set when it serves the next request already.
	mu      sync.Mutex
	ended   bool
	writing bool
}

// NewHTTP makes the sink of one response. Headers are set, nothing is written.
// The deadline that answers have is taken away: a stream lasts, and the engine
// gives up who takes nothing.
func NewHTTP(w http.ResponseWriter) *HTTP {
	h := &HTTP{
		w: w, control: http.NewResponseController(w),
		block: make(chan []byte, 1), closed: make(chan struct{}),
	}
	_ = h.control.SetWriteDeadline(time.Time{}) // without deadlines there is none to take away
	return h
}

// TryWrite hands over b when nothing is on its way. The sink is blocked until
// the socket took the last byte of it.
func (h *HTTP) TryWrite(b []byte) (n int, blocked bool, err error) {
	select {
	case h.block <- b:
		return len(b), true, nil
	default:
		return 0, true, nil
	}
}

// Close makes Serve return. A write that is still on its way fails.
func (h *HTTP) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	close(h.closed)
	if h.writing {
		// No error that could be told to anyone: without deadlines the write
		// ends when the client or its kernel gives up.
		_ = h.control.SetWriteDeadline(time.Unix(1, 0))
	}
}

// Serve writes what the engine hands over until the stream is closed, the
// client is gone, or a write fails. It runs on the goroutine of the request,
// whose context ctx is, and returns only when the sink is closed. whole is
// false when the response was cut off and must not look complete.
func (h *HTTP) Serve(ctx context.Context, s *engine.Stream) (whole bool) {
	for {
		select {
		case b := <-h.block:
			if !h.write(b) {
				s.Fail()
				<-h.closed
				return false
			}
			s.Writable()
		case <-h.closed:
			return len(h.block) == 0
		case <-ctx.Done():
			s.Leave()
			<-h.closed
			return false
		}
	}
}

// write tells whether the socket took all of b. Why not makes no difference:
// the client is gone, or the engine gave it up.
func (h *HTTP) write(b []byte) bool {
	if !h.setWriting(true) {
		return false
	}
	defer h.setWriting(false)
	if _, err := h.w.Write(b); err != nil {
		return false
	}
	return h.control.Flush() == nil
}

// setWriting tells Close whether there is a write to break off; it is false
// when there must be none any more.
func (h *HTTP) setWriting(on bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writing = on && !h.ended
	return !h.ended
}
