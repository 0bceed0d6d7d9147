package web

import (
	"context"
	"net/http"
	"net/http/httputil"
	"time"
)

// gateway passes requests on, and their answers byte by byte as they come: a
// proxy that buffers turns a live stream into a slow page.
func (h *handler) gateway() http.Handler {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // leave encodings to browser and gateway
	transport.MaxIdleConnsPerHost = 100
	transport.ResponseHeaderTimeout = 30 * time.Second // of headers; a stream's body has no end
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(h.Gateway)
			p.SetXForwarded()
		},
		ModifyResponse: func(r *http.Response) error {
			if way := h.traffic.of(r.Request); way != nil {
				way.answer(r)
			}
			return nil
		},
		Transport:     transport,
		FlushInterval: -1,
		ErrorHandler:  h.unreachable,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if way := h.traffic.of(r); way != nil {
			way.request(r)
		}
		ctx, stop := context.WithCancel(r.Context())
		defer stop()
		go func() {
			select {
			case <-h.Closing:
				stop()
			case <-ctx.Done():
			}
		}()
		proxy.ServeHTTP(w, r.WithContext(ctx))
	})
}

// unreachable answers for a gateway that cannot. A page's EventSource would give
// up for good on any status but 200, so a stream gets an empty one with the
// wait after which to come back.
func (h *handler) unreachable(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the reader left, or the demo stops
	}
	h.Log.Warn("passing a request on to the gateway", "path", r.URL.Path, "error", err)
	if r.Header.Get("Accept") == "text/event-stream" {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write([]byte("retry: 2000\n\n")) // a reader that left cannot be told
		return
	}
	w.Header().Set("Retry-After", "2")
	refuse(w, r, problem{Status: http.StatusBadGateway, kind: "gateway-unreachable", Detail: "the gateway does not answer; see kubectl get sg"})
}
