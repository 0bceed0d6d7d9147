package web

import (
	"io"
	"net/http"
	"sync/atomic"
)

// traffic counts what has been passed through to readers, by the way they read:
// headers and bodies as they were sent, compressed; without what TCP, TLS and
// HTTP add around them.
type traffic struct{ stream, poll way }

type way struct{ requests, bytes atomic.Int64 }

// of gives the way of a request that reads events; nil for others.
func (t *traffic) of(r *http.Request) *way {
	switch {
	case r.URL.Path != "/v2/realtime/stream":
		return nil
	case r.URL.Query().Has("wait"):
		return &t.poll
	}
	return &t.stream
}

// request counts a request on its way to the gateway.
func (w *way) request(r *http.Request) {
	w.requests.Add(1)
	w.bytes.Add(int64(len(r.Method) + len(r.URL.RequestURI()) + len(" HTTP/1.1\r\nHost: \r\n\r\n") + len(r.Host)))
	w.bytes.Add(headerBytes(r.Header))
}

// answer counts an answer, its body as it passes.
func (w *way) answer(r *http.Response) {
	w.bytes.Add(int64(len("HTTP/1.1 ")+len(r.Status)+len("\r\n\r\n")) + headerBytes(r.Header))
	r.Body = &counted{r.Body, &w.bytes}
}

func headerBytes(h http.Header) (n int64) {
	for name, values := range h {
		for _, v := range values {
			n += int64(len(name) + len(": ") + len(v) + len("\r\n"))
		}
	}
	return n
}

// counted adds up what is read of a body.
type counted struct {
	io.ReadCloser
	bytes *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

// serve tells the counts, of all pages together.
func (t *traffic) serve(w http.ResponseWriter, _ *http.Request) {
	told := func(w *way) map[string]int64 {
		return map[string]int64{"requests": w.requests.Load(), "bytes": w.bytes.Load()}
	}
	reply(w, http.StatusOK, map[string]any{"stream": told(&t.stream), "poll": told(&t.poll)})
}
