package transport

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/auth"
)

// names lets in whoever says a name.
type names struct{}

func (names) Authenticate(r *http.Request) (*auth.Principal, error) {
	return &auth.Principal{Subject: r.Header.Get("Name"), Pub: everyChannel()}, nil
}

// publishBy sends a request of n events and gives the status and the answer.
func publishBy(t *testing.T, h http.Handler, name string, n int) (*http.Response, string) {
	t.Helper()
	line := `{"channel":"a","data":1}` + "\n"
	return ask(t, h, "POST", Base+"/events", strings.Repeat(line, n), "Content-Type", "application/x-ndjson", "Name", name)
}

func TestAPublisherIsHeldToItsRateAndToldWhenToComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		routes, p := newRoutes(&scriptedLog{}, names{})
		h := routes.Handler()
		p.Tune(1<<10, PublishLimits{PerPublisherEventsPerSecond: 20, Burst: 100, PerTenantEventsPerSecond: 10_000})
		if res, body := publishBy(t, h, "till", 90); res.StatusCode != 200 {
			t.Fatal(res.StatusCode, body)
		}
		res, body := publishBy(t, h, "till", 30)
		if res.StatusCode != 429 || res.Header.Get("Retry-After") != "1" ||
			!strings.Contains(body, `"type":"urn:streamgateway:problem:rate-limited"`) ||
			!strings.Contains(body, `"retryAfterMs":1000,"limit":{"name":"publish-rate","value":20,"scope":"publisher"}`) {
			t.Errorf("%d %v %s", res.StatusCode, res.Header, body)
		}
		if res, _ := publishBy(t, h, "other", 100); res.StatusCode != 200 {
			t.Error("another publisher is held up")
		}
		if res, _ := publishBy(t, h, "till", 10); res.StatusCode != 200 {
			t.Error("what a refused request did not use is gone")
		}
		time.Sleep(time.Second)
		if res, _ := publishBy(t, h, "till", 20); res.StatusCode != 200 {
			t.Error("refused after the time that was told")
		}
		p.Tune(1<<10, PublishLimits{PerPublisherEventsPerSecond: 1000, Burst: 2000, PerTenantEventsPerSecond: 10_000})
		if res, _ := publishBy(t, h, "till", 500); res.StatusCode != 200 {
			t.Error("a raised limit does not act at once")
		}
		if p.RateLimited() != 1 || p.Counts() != (PublishCounts{Events: 720, Rejected: 1}) {
			t.Errorf("%d, %+v", p.RateLimited(), p.Counts())
		}
	})
}

func TestATenantIsHeldToItsRateWithoutCostToItsPublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		routes, p := newRoutes(&scriptedLog{}, names{})
		h := routes.Handler()
		p.Tune(1<<10, PublishLimits{PerPublisherEventsPerSecond: 10, Burst: 100, PerTenantEventsPerSecond: 150})
		publishBy(t, h, "a", 100)
		if res, body := publishBy(t, h, "b", 100); res.StatusCode != 429 || !strings.Contains(body, `"value":150,"scope":"tenant"`) {
			t.Errorf("%d %s", res.StatusCode, body)
		}
		time.Sleep(time.Second)
		if res, body := publishBy(t, h, "b", 100); res.StatusCode != 200 {
			t.Errorf("the publisher paid for what the tenant's limit refused: %s", body)
		}
	})
}

// untouched is a body that nobody should look at.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body is read")
	return 0, io.EOF
}

func TestThePublisherAboveItsRateIsRefusedBeforeItsBodyIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		routes, p := newRoutes(&scriptedLog{}, names{})
		h := routes.Handler()
		p.Tune(1<<10, PublishLimits{PerPublisherEventsPerSecond: 10, Burst: 100, PerTenantEventsPerSecond: 1000})
		publishBy(t, h, "a", 100)
		for range 3 {
			r := httptest.NewRequest("POST", Base+"/events", untouched{t})
			r.Header.Set("Name", "a")
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != 429 || w.Header().Get("Retry-After") != "1" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
		time.Sleep(time.Second)
		if res, body := publishBy(t, h, "a", 10); res.StatusCode != 200 {
			t.Errorf("a look cost something: %s", body)
		}
	})
}

func TestPublishersWithoutANameAreNotCounted(t *testing.T) {
	routes, p := newRoutes(&scriptedLog{}, names{})
	p.Tune(1<<10, PublishLimits{PerPublisherEventsPerSecond: 1, Burst: 1, PerTenantEventsPerSecond: 1})
	for range 10 {
		if res, body := publishBy(t, routes.Handler(), "", 10); res.StatusCode != 200 {
			t.Fatal(res.StatusCode, body)
		}
	}
}

func TestOneStreamIsChangedFiveTimesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSessions(nil, everybody())
		h := Routes{Publish: http.NotFoundHandler(), Stream: http.NotFoundHandler(), History: NewHistory(nil, everybody()), Sessions: s,
			Log: slog.New(slog.DiscardHandler)}.Handler()
		patch := func(sid string) (*http.Response, string) {
			return ask(t, h, "PATCH", Base+"/sessions/"+sid, `{}`, "Content-Type", "application/json")
		}
		for range 5 {
			if res, body := patch("p.1"); res.StatusCode != 400 { // a change of nothing
				t.Fatal(res.StatusCode, body)
			}
		}
		res, body := patch("p.1")
		if res.StatusCode != 429 || !strings.Contains(body, `"retryAfterMs":200,"limit":{"name":"patch-rate","value":5,"scope":"session"}`) {
			t.Errorf("%d %s", res.StatusCode, body)
		}
		if res, _ := patch("p.2"); res.StatusCode != 400 {
			t.Error("another stream is held up")
		}
		time.Sleep(200 * time.Millisecond)
		if res, _ := patch("p.1"); res.StatusCode != 400 || s.RateLimited() != 1 {
			t.Errorf("%d afterwards, %d refused", res.StatusCode, s.RateLimited())
		}
	})
}
