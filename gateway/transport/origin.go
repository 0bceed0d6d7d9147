package transport

import (
	"net/http"
	"strings"
)

// anyOrigin opens a gateway to the pages of all origins, without credentials of
// the browser's own.
const anyOrigin = "*"

// origins are the pages that may ask, besides those of the gateway's own origin.
type origins struct {
	any   bool
	exact map[string]bool
	below []wildOrigin
}

// wildOrigin is scheme://*.domain, in two parts around the star.
type wildOrigin struct{ before, after string }

// newOrigins reads a list; what is not an origin opens nothing.
func newOrigins(list []string) *origins {
	o := &origins{exact: map[string]bool{}}
	for _, text := range list {
		text = strings.ToLower(text)
		before, after, wild := strings.Cut(text, "*")
		switch {
		case text == anyOrigin:
			o.any = true
		case wild:
			o.below = append(o.below, wildOrigin{before, withoutDefaultPort(before, after)})
		default:
			o.exact[withoutDefaultPort(text, text)] = true
		}
	}
	return o
}

// withoutDefaultPort writes an origin as browsers do.
func withoutDefaultPort(scheme, text string) string {
	if strings.HasPrefix(scheme, "https:") {
		return strings.TrimSuffix(text, ":443")
	}
	return strings.TrimSuffix(text, ":80")
}

// allow tells whether pages of an origin may ask. The origin "null", which any
// sandboxed page has, never may.
func (o *origins) allow(origin string) bool {
	if !plausibleOrigin(origin) {
		return false
	}
	if o.any || o.exact[origin] {
		return true
	}
	for _, w := range o.below {
		rest, ok := strings.CutPrefix(origin, w.before)
		if name, under := strings.CutSuffix(rest, w.after); ok && under && isHostName(name) {
			return true
		}
	}
	return false
}

// plausibleOrigin tells scheme://host[:port] as browsers write it.
func plausibleOrigin(origin string) bool {
	scheme, host, ok := strings.Cut(origin, "://")
	return ok && (scheme == "https" || scheme == "http") && host != "" && !strings.ContainsAny(host, "/ \t,?#@\\")
}

// isHostName keeps everything but labels of a name from standing for the star.
func isHostName(text string) bool {
	if text == "" || text[0] == '.' {
		return false
	}
	for _, c := range []byte(text) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// ownOrigin tells whether a request comes from a page of the gateway's own
// origin, as clients see it. Browsers say so themselves over TLS and on
// loopback, and no page can make them lie; else the host has to be the same.
func ownOrigin(r *http.Request, origin string) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin":
		return true
	case "":
		_, host, ok := strings.Cut(origin, "://")
		return ok && strings.EqualFold(host, r.Host)
	}
	return false
}

// What pages of other origins are told that they may do. The position of a
// stream stands in its URL, so a stream with a ticket or a cookie needs no
// preflight.
const (
	corsMethods = "GET, POST, PATCH, DELETE"
	corsHeaders = "Authorization, Content-Type, Content-Encoding, Last-Event-ID, Idempotency-Key, SG-Require-Durability"
	corsExposed = "SG-Session, SG-Cursor, SG-Protocol, Retry-After"
	corsMaxAge  = "7200" // seconds; what browsers keep at most
)

// share lets a page of another origin read the answer.
func (o *origins) share(h http.Header, origin string) {
	if o.any {
		origin = anyOrigin
	} else {
		h["Access-Control-Allow-Credentials"] = []string{"true"}
	}
	h["Access-Control-Allow-Origin"] = []string{origin}
	h["Access-Control-Expose-Headers"] = []string{corsExposed}
	h["Timing-Allow-Origin"] = []string{origin}
}

// preflight answers what a browser asks before a page's request.
func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Access-Control-Allow-Methods"] = []string{corsMethods}
	allowed := []string{corsHeaders}
	for _, line := range r.Header.Values("Access-Control-Request-Headers") {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.ToLower(strings.TrimSpace(name)); isExtension(name) {
				allowed = append(allowed, name)
			}
		}
	}
	h["Access-Control-Allow-Headers"] = []string{strings.Join(allowed, ", ")}
	h["Access-Control-Max-Age"] = []string{corsMaxAge}
	h["Vary"] = []string{"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
	w.WriteHeader(http.StatusNoContent)
}

// isExtension tells a header that holds an attribute of a CloudEvent: ce- and
// letters or digits.
func isExtension(name string) bool {
	attribute, ok := strings.CutPrefix(name, "ce-")
	return ok && attribute != "" && !strings.ContainsFunc(attribute, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9')
	})
}
