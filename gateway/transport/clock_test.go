package transport

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// askedFrom asks for the time from an address.
func askedFrom(h http.Handler, peer string, forwarded ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", Base+"/time", nil)
	r.RemoteAddr = peer
	r.Header["X-Forwarded-For"] = forwarded
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestTheTimeIsToldFiveTimesASecondToEachAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		routes, _ := newRoutes(&scriptedLog{}, verdict{})
		routes.Doors.Tune(Listener{TrustedProxies: []string{"10.0.0.0/8"}})
		h := routes.Handler()
		told := func(peer string, forwarded ...string) (n int) {
			for range 30 {
				if askedFrom(h, peer, forwarded...).Code == 200 {
					n++
				}
			}
			return n
		}
		first, other := told("10.0.0.1:1", "198.51.100.1"), told("10.0.0.1:1", "198.51.100.2")
		if first != 10 || other != 10 {
			t.Errorf("told %d and %d times at once", first, other)
		}
		if spoofed := told("192.0.2.9:1", "198.51.100.3"); spoofed != 10 {
			t.Errorf("told a peer that is no proxy %d times", spoofed)
		}
		if again := told("192.0.2.9:1", "198.51.100.4"); again != 0 {
			t.Errorf("a peer that spoofs another address is told %d times more", again)
		}
		w := askedFrom(h, "192.0.2.9:1")
		if w.Code != 429 || !strings.Contains(w.Body.String(), `"limit":{"name":"time-rate","value":5,"scope":"address"}`) || w.Header().Get("Retry-After") != "1" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		time.Sleep(time.Second)
		if later := told("192.0.2.9:1"); later != 5 {
			t.Errorf("a second later told %d times", later)
		}
		if routes.Doors.RateLimited() != 20+20+20+30+1+25 {
			t.Errorf("counted %d", routes.Doors.RateLimited())
		}
		time.Sleep(time.Minute)
		if routes.Doors.Sweep(); routes.Doors.asked.Keys() != 0 {
			t.Error("addresses are kept for nothing")
		}
	})
}

func TestWhereManyShareAnAddressTheyShareTheRateOfThePod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		routes, _ := newRoutes(&scriptedLog{}, verdict{})
		h := routes.Handler()
		told := 0
		for range 600 {
			if askedFrom(h, "10.0.0.1:1", "198.51.100.1").Code == 200 {
				told++
			}
		}
		if told != 500 {
			t.Errorf("told %d times", told)
		}
	})
}
