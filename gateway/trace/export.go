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
)

const (
	// exportPath is the one method of OTLP's trace service.
	exportPath    = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
	exportTimeout = 10 * time.Second
	exportPeriod  = time.Second
	maxBatch      = 512
	maxAnswer     = 64 << 10
	// complainEvery is how often the log tells that the collector is away.
	complainEvery = time.Minute
)

// exporter is a gRPC client with one method: one message there, one back, a
// status in the trailers. That is an HTTP/2 request, which net/http makes.
type exporter struct {
	url    string
	client *http.Client
}

func newExporter(endpoint string) (exporter, error) {
	if !strings.Contains(endpoint, "://") {
		endpoint = "http://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.Scheme != "http" && u.Scheme != "https" {
		return exporter{}, errors.New("reading the tracing endpoint: it is host:port, or http:// or https:// with them")
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(u.Scheme == "https")
	protocols.SetUnencryptedHTTP2(u.Scheme == "http")
	return exporter{
		url: u.Scheme + "://" + u.Host + exportPath,
		client: &http.Client{
			Timeout:       exportTimeout,
			Transport:     &http.Transport{Protocols: protocols, MaxIdleConns: 1, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// send is one call. Its error is the transport's or the status of gRPC.
func (e exporter) send(ctx context.Context, message []byte) error {
	framed := make([]byte, 5, 5+len(message)) // not compressed, then the length
	binary.BigEndian.PutUint32(framed[1:], uint32(len(message)))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(append(framed, message...)))
	if err != nil {
		return fmt.Errorf("making the request: %w", err)
	}
	r.Header.Set("Content-Type", "application/grpc+proto")
	r.Header.Set("TE", "trailers")
	res, err := e.client.Do(r)
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

// Run sends spans until ctx ends, then what waits. Batches that the collector
// does not take are counted and forgotten: spans are samples, and memory is for
// events.
func (t *Tracer) Run(ctx context.Context) {
	if t == nil {
		return
	}
	tick := time.NewTicker(exportPeriod)
	defer tick.Stop()
	var complained time.Time
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			last, stop := context.WithTimeout(context.WithoutCancel(ctx), exportPeriod)
			_ = t.flush(last) // the process ends; nobody is left to tell
			stop()
			t.export.client.CloseIdleConnections()
			return
		}
		err := t.flush(ctx)
		if err != nil && ctx.Err() == nil && time.Since(complained) >= complainEvery {
			complained = time.Now()
			t.log.Warn("sending spans", "error", err, "failed", t.failed.Load())
		}
	}
}

// flush sends what waits, up to the first error.
func (t *Tracer) flush(ctx context.Context) error {
	for {
		batch := t.take()
		if len(batch) == 0 {
			return nil
		}
		if err := t.export.send(ctx, appendRequest(nil, t.resource, batch)); err != nil {
			t.failed.Add(uint64(len(batch)))
			return err
		}
		t.sent.Add(uint64(len(batch)))
	}
}

func (t *Tracer) take() (batch []*Span) {
	for len(batch) < maxBatch {
		select {
		case s := <-t.spans:
			batch = append(batch, s)
		default:
			return batch
		}
	}
	return batch
}
