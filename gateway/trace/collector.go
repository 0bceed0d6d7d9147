package trace

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// exportPath is the one method of OTLP's trace service.
	exportPath = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
	maxAnswer  = 64 << 10 // bytes
)

// collector is a gRPC client with one method: one message there, one back, a
// status in the trailers. That is an HTTP/2 request, which net/http makes. It
// is what otlptrace calls a client.
type collector struct {
	url    string
	client *http.Client
}

func newCollector(endpoint string) (collector, error) {
	if !strings.Contains(endpoint, "://") {
		endpoint = "http://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.Scheme != "http" && u.Scheme != "https" {
		return collector{}, errors.New("reading the tracing endpoint: it is host:port, or http:// or https:// with them")
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(u.Scheme == "https")
	protocols.SetUnencryptedHTTP2(u.Scheme == "http")
	return collector{
		url: u.Scheme + "://" + u.Host + exportPath,
		client: &http.Client{
			Timeout:       exportTimeout,
			Transport:     &http.Transport{Protocols: protocols, MaxIdleConns: 1, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Start and Stop are of otlptrace's client. The connection is made when it is
// needed.
func (collector) Start(context.Context) error { return nil }

// Stop closes what is idle.
func (c collector) Stop(context.Context) error {
	c.client.CloseIdleConnections()
	return nil
}

// UploadTraces sends a batch. The message has the wire form of an
// ExportTraceServiceRequest, whose generated code would link a gRPC server.
func (c collector) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	message, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("encoding spans: %w", err)
	}
	return c.send(ctx, message)
}

// send is one call. Its error is the transport's or the status of gRPC.
func (c collector) send(ctx context.Context, message []byte) error {
	framed := make([]byte, 5, 5+len(message)) // not compressed, then the length
	binary.BigEndian.PutUint32(framed[1:], uint32(len(message)))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(append(framed, message...)))
	if err != nil {
		return fmt.Errorf("making the request: %w", err)
	}
	r.Header.Set("Content-Type", "application/grpc+proto")
	r.Header.Set("TE", "trailers")
	res, err := c.client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer)); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the collector answered HTTP %d", res.StatusCode)
	}
	// A refusal without a message has its status in the header.
	status := res.Trailer.Get("Grpc-Status")
	if status == "" {
		status = res.Header.Get("Grpc-Status")
	}
	if status != "0" {
		return fmt.Errorf("the collector answered gRPC status %q", status)
	}
	return nil
}
