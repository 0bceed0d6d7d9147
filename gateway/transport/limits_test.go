package transport

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/limit"
)

func TestASubjectAndATenantAreHeldToTheirStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t)
		p.limits.Tune(limit.Most{PerPod: 100, PerTenant: 4, PerSubject: 3})
		staff := tenants()
		staff["narrow"] = auth.Principal{Subject: "u2", Tenant: "acme", Sub: staff["acme"].Sub, Limits: auth.Limits{Connections: 1}}
		routes := p.surface(staff, staff)
		open := func(who string) func() {
			_, leave := openStream(t, routes, "channels=a", "Authorization", who)
			return leave
		}
		refused := func(who, scope string, value string) {
			t.Helper()
			part := `"limit":{"name":"connections","value":` + value + `,"scope":"` + scope + `"}`
			for _, path := range []string{"/stream?channels=a", "/stream?channels=a&errors=http", "/stream?channels=a&wait=1&cursor=earliest"} {
				res, body := ask(t, routes, "GET", Base+path, "", "Authorization", who)
				if res.StatusCode != http.StatusTooManyRequests || !strings.Contains(body, KindConnectionLimit) || !strings.Contains(body, part) || res.Header.Get("Retry-After") == "" {
					t.Errorf("%s %s: %d %s", who, path, res.StatusCode, body)
				}
			}
			res, body := ask(t, routes, "GET", Base+"/stream?channels=a", "", "Authorization", who, "Accept", "text/event-stream")
			if res.StatusCode != 200 || !strings.HasPrefix(body, "retry: ") || !strings.Contains(body, `{"reason":"limit","status":429,"retryMs":`) || strings.Contains(body, "id:") {
				t.Errorf("%s, an EventSource: %d %s", who, res.StatusCode, body)
			}
		}
		leave := open("acme")
		leaveNarrow := open("narrow")
		refused("narrow", limit.ScopeSubject, "1") // its token says one, the configuration three
		leaveOthers := []func(){open("acme"), open("acme"), open("evil"), open("evil"), open("evil")}
		refused("acme", limit.ScopeTenant, "4")
		refused("evil", limit.ScopeSubject, "3")
		leaveNarrow()
		refused("acme", limit.ScopeSubject, "3") // the tenant has room again
		leave()
		leaveOthers = append(leaveOthers, open("acme"))
		p.limits.Tune(limit.Most{PerPod: 100, PerTenant: 1, PerSubject: 1})
		p.publish(wire.Event{Channel: "evil/a", Data: []byte("1")}) // those that run go on
		if active, _, _ := p.limits.Counts(); active != 6 {
			t.Errorf("%d streams run after a limit was lowered", active)
		}
		for _, leave := range leaveOthers {
			leave()
		}
		synctest.Wait()
		if active, _, rejected := p.limits.Counts(); active != 0 || rejected != 16 {
			t.Errorf("%d streams left, %d refused", active, rejected)
		}
	})
}

func TestOneTenantsPublishersDoNotUseUpAnothersRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		routes, p := newRoutes(&scriptedLog{}, tenants())
		p.Tune(1<<10, PublishLimits{PerPublisherEventsPerSecond: 500, Burst: 500, PerTenantEventsPerSecond: 100})
		send := func(who string, n int) int {
			res, body := ask(t, routes.Handler(), "POST", Base+"/events", strings.Repeat(`{"channel":"a","data":1}`+"\n", n),
				"Content-Type", "application/x-ndjson", "Authorization", who)
			if res.StatusCode == 429 && !strings.Contains(body, `"scope":"publisher"`) && !strings.Contains(body, `"scope":"tenant"`) {
				t.Error(body)
			}
			return res.StatusCode
		}
		if first, over := send("evil", 500), send("evil", 1); first != 200 || over != 429 {
			t.Errorf("%d, then %d", first, over)
		}
		if other := send("acme", 500); other != 200 { // a publisher of the same name, of another tenant
			t.Errorf("another tenant: %d", other)
		}
	})
}

func TestOnlyWhoMayClosesBatchingWindowsAndNotTooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		staff := tenants()
		quick := staff["acme"]
		quick.Subject, quick.Flush = "quick", true
		staff["quick"] = quick
		staff["nobody"] = auth.Principal{Pub: everyChannel(), Flush: true}
		log := &scriptedLog{}
		routes, _ := newRoutes(log, staff)
		h := routes.Handler()
		flushes := func(who string, n int) (flushed int) {
			line := `{"specversion":"1.0","id":"1","source":"s","type":"t","channel":"a","sgflush":true,"data":1}` + "\n"
			if res, body := ask(t, h, "POST", Base+"/events", strings.Repeat(line, n), "Content-Type", "application/x-ndjson", "Authorization", who); res.StatusCode != 200 {
				t.Fatal(who, res.StatusCode, body)
			}
			for _, e := range log.last {
				if e.Flush {
					flushed++
				}
			}
			return flushed
		}
		if without, with, again := flushes("acme", 10), flushes("quick", 80), flushes("quick", 10); without != 0 || with != 50 || again != 0 {
			t.Errorf("without the right %d, with it %d of 80, then %d", without, with, again)
		}
		if alone := flushes("nobody", 80); alone != 80 {
			t.Errorf("a gateway run alone flushes %d of 80", alone)
		}
		time.Sleep(time.Second)
		if later := flushes("quick", 80); later != 50 {
			t.Errorf("a second later %d", later)
		}
	})
}
