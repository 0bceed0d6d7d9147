package transport

import (
	"net/http"
	"net/netip"
	"sync/atomic"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/limit"
)

// Listener says which pages and which proxies are believed. Hot: it acts on the
// next request.
type Listener struct {
	// AllowedOrigins are those whose pages may ask, besides the gateway's own:
	// scheme://host[:port], scheme://*.domain, or "*" alone for all of them.
	AllowedOrigins []string
	// TrustedProxies are the networks, in CIDR form, of peers whose
	// X-Forwarded-For is believed; none = the peer is the client.
	TrustedProxies []string
}

// Doors looks at every request before any handler: from which address it comes,
// and whether the page that sends it may.
type Doors struct {
	rules  atomic.Pointer[doorRules]
	denied atomic.Uint64
	asked  *limit.Buckets // of the time, by address
}

type doorRules struct {
	origins *origins
	proxies []netip.Prefix
}

// NewDoors makes doors with these rules.
func NewDoors(l Listener) *Doors {
	d := &Doors{asked: limit.NewBuckets()}
	d.Tune(l)
	return d
}

// Tune takes over new rules from the next request on. What is not an origin or
// a network is passed over: it opens nothing.
func (d *Doors) Tune(l Listener) {
	d.rules.Store(&doorRules{newOrigins(l.AllowedOrigins), parseNetworks(l.TrustedProxies)})
}

// OriginDenied counts requests of pages that may not ask, since the start.
func (d *Doors) OriginDenied() uint64 { return d.denied.Load() }

// guard refuses what pages of other origins may not ask, and lets those that may
// read the answer.
func (d *Doors) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rules := d.rules.Load()
		if q, ok := r.Context().Value(requestKey{}).(*request); ok {
			q.client, q.told = addressOf(r, rules.proxies), len(rules.proxies) > 0
		}
		h := w.Header()
		// A shared cache must not give one origin's answer to another.
		h["Vary"] = []string{"Origin"}
		origin := r.Header.Get("Origin")
		switch {
		case origin == "" && !crossSiteChange(r), ownOrigin(r, origin):
		case rules.origins.allow(origin) && len(r.Header["Origin"]) == 1:
			rules.origins.share(h, origin)
			if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
				preflight(w, r)
				return
			}
		default:
			d.denied.Add(1)
			Problem(w, r, http.StatusForbidden, KindOriginDenied,
				Detail("pages of this origin may not use this gateway; its listener.allowedOrigins says which may"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// crossSiteChange tells a request that would change something, and that a
// browser sends for a page of another site without saying which.
func crossSiteChange(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	return auth.FromAnotherSite(r)
}
