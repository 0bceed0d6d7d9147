package server

import (
	"net/http"
	"net/http/pprof"

	"github.com/streamgateway/streamgateway/gateway/auth"
)

// profilesPath is where profiles are, on the port of the console.
const profilesPath = "/debug/pprof/"

// profiles serves what this process does with processor and memory. Profiles
// hold names of functions and, in a trace, what people would rather keep: so
// they are beside the console, behind the same door.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+profilesPath, pprof.Index)
	mux.HandleFunc("GET "+profilesPath+"profile", pprof.Profile)
	mux.HandleFunc("GET "+profilesPath+"trace", pprof.Trace)
	return fromNoOtherSite(mux)
}

// fromNoOtherSite keeps pages of other sites from having profiles made in the
// browser of whoever forwards the port: they could not read them, but each costs
// processor time.
func fromNoOtherSite(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if auth.FromAnotherSite(r) {
			http.Error(w, "not from another site", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
