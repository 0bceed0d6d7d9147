// Package tracetest is a collector for tests: the real gRPC server of the OTLP
// protocol on loopback, so that the call which gateway/trace makes by hand is
// judged by somebody else's reading of it. Only tests import it.
package tracetest

import (
	"context"
	"encoding/hex"
	"net"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	v1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// Collector keeps all spans it was sent.
type Collector struct {
	collector.UnimplementedTraceServiceServer

	Address string // host:port

	mu       sync.Mutex
	spans    []*v1.Span
	resource map[string]string
	refuse   error
}

// Start runs a collector until the test ends.
func Start(t *testing.T) *Collector {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Collector{Address: listener.Addr().String()}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, c)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("the collector ended with %v", err)
		}
	})
	return c
}

// Export is the method of the protocol.
func (c *Collector) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse != nil {
		return nil, c.refuse
	}
	for _, rs := range r.GetResourceSpans() {
		c.resource = map[string]string{}
		for _, a := range rs.GetResource().GetAttributes() {
			c.resource[a.GetKey()] = a.GetValue().GetStringValue()
		}
		for _, ss := range rs.GetScopeSpans() {
			c.spans = append(c.spans, ss.GetSpans()...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// Refuse answers with an error from now on; nil takes spans again.
func (c *Collector) Refuse(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse = err
}

// Resource is what the newest request said of its sender.
func (c *Collector) Resource() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resource
}

// Spans are all that came, oldest first.
func (c *Collector) Spans() []*v1.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*v1.Span(nil), c.spans...)
}

// Await waits for this many spans of a trace, named in hex, and gives them by
// name.
func (c *Collector) Await(t *testing.T, trace string, n int) map[string]*v1.Span {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		found := map[string]*v1.Span{}
		for _, s := range c.Spans() {
			if hex.EncodeToString(s.GetTraceId()) == trace {
				found[s.GetName()] = s
			}
		}
		if len(found) >= n {
			return found
		}
		if time.Now().After(deadline) {
			t.Fatalf("of trace %s came %d spans, not %d: %v", trace, len(found), n, found)
		}
	}
}
