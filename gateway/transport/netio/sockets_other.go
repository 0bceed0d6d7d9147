//go:build !linux

package netio

import (
	"net/http"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
)

// Sockets is there on Linux only.
type Sockets struct{}

// NewSockets gives nil, on which Serve always declines.
func NewSockets() (*Sockets, error) { return nil, nil }

// Serve declines: the stream is to be served by HTTP.
func (*Sockets) Serve(http.ResponseWriter, *http.Request, *engine.Stream, time.Duration, func()) bool {
	return false
}

// Close does nothing.
func (*Sockets) Close() {}
