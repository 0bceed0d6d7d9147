package server

import (
	_ "embed" // the page and the client are files in the binary
	"fmt"
	"io"
	"net/http"
	"strings"
)

//go:embed page.html
var page string

// client is the browser client, so that a plain page needs no build step. It is
// written by gateway/client/build.js, and a test there holds it against the
// sources.
//
//go:embed client.js
var client []byte

// devPage shows the live stream of a gateway that is run alone, with a form to
// publish; it reads by the client that the gateway serves.
func devPage() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; script-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		_, _ = io.WriteString(w, page) // the reader is gone when this fails
	})
}

// Try says what to do with a gateway run by hand, as lines for a terminal.
// main is its port for clients, as host:port.
func Try(main string, tls bool) string {
	scheme := "http://"
	if tls {
		scheme = "https://"
	}
	base := scheme + strings.Replace(main, "[::]", "localhost", 1)
	return fmt.Sprintf(`listen:   curl -N '%[1]s/v2/realtime/stream?channels=demo'
publish:  curl -H 'Content-Type: application/json' -d '{"hello":"world"}' %[1]s/v2/realtime/channels/demo/events
look:     %[1]s/
`, base)
}
