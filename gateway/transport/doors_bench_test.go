package transport

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkADoorOfOneRequest compares a publish request that nothing is known of
// with one of a page that comes by a proxy, of a publisher with a name whose
// rates are counted. What the log takes is left out of both.
func BenchmarkADoorOfOneRequest(b *testing.B) {
	for name, c := range map[string]struct {
		limits   PublishLimits
		listener Listener
		header   map[string]string
	}{
		"Open": {},
		"Held": {
			PublishLimits{PerPublisherEventsPerSecond: 1 << 30, Burst: 1 << 30, PerTenantEventsPerSecond: 1 << 30},
			Listener{AllowedOrigins: []string{"https://other.test", "https://*.shop.test"}, TrustedProxies: []string{"192.0.2.0/24", "10.0.0.0/8"}},
			map[string]string{"Name": "till", "Origin": "https://www.shop.test", "X-Forwarded-For": "203.0.113.9, 198.51.100.7, 10.0.0.1"},
		},
	} {
		b.Run(name, func(b *testing.B) {
			routes, p := newRoutes(&scriptedLog{}, names{})
			routes.Doors = NewDoors(c.listener)
			p.Tune(1<<16, c.limits)
			h := routes.Handler()
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest("POST", Base+"/channels/a/events", strings.NewReader(`{"amount":1299}`))
				r.Header.Set("Content-Type", "application/json")
				for name, value := range c.header {
					r.Header.Set(name, value)
				}
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}
