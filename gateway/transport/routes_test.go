package transport

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/auth"
)

func TestEveryPathAnswersByItsMethods(t *testing.T) {
	routes, _ := newRoutes(&scriptedLog{}, verdict{})
	h := routes.Handler()
	cases := []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", Base + "/time", 200, ""},
		{"HEAD", Base + "/time", 200, ""},
		{"POST", Base + "/time", 405, "GET, HEAD, OPTIONS"},
		{"OPTIONS", Base + "/events", 204, "POST, OPTIONS"},
		{"GET", Base + "/events", 405, "POST, OPTIONS"},
		{"DELETE", Base + "/channels/a/events", 405, "GET, HEAD, POST, OPTIONS"},
		{"HEAD", Base + "/stream", 405, "GET, POST, OPTIONS"},
		{"GET", Base + "/metrics", 200, ""},
		{"GET", "/", 404, ""},
		{"GET", Base + "/nowhere", 404, ""},
		{"GET", "/metrics", 404, ""},
	}
	for _, c := range cases {
		res, body := ask(t, h, c.method, c.path, "")
		if res.StatusCode != c.status || res.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %d Allow %q, want %d %q (%s)", c.method, c.path, res.StatusCode, res.Header.Get("Allow"), c.status, c.allow, body)
		}
		for name := range res.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s %s opens itself to other origins: %s", c.method, c.path, name)
			}
		}
	}
}

func TestTheClockIsMilliseconds(t *testing.T) {
	routes, _ := newRoutes(&scriptedLog{}, verdict{})
	_, body := ask(t, routes.Handler(), "GET", Base+"/time", "")
	var got struct{ T int64 }
	if err := json.Unmarshal([]byte(body), &got); err != nil || time.Since(time.UnixMilli(got.T)).Abs() > time.Minute {
		t.Errorf("%s: %v", body, err)
	}
}

func TestRequestIDsAreTheClientsOnlyWhenHarmless(t *testing.T) {
	routes, _ := newRoutes(&scriptedLog{}, verdict{})
	id := regexp.MustCompile(`"requestId":"([^"]*)"`)
	given := func(header string) string {
		_, body := ask(t, routes.Handler(), "GET", Base+"/nowhere", "", "X-Request-Id", header)
		return id.FindStringSubmatch(body)[1]
	}
	if got := given("a-B_1-z"); got != "a-B_1-z" {
		t.Errorf("changed to %q", got)
	}
	seen := []string{}
	for _, header := range []string{"", "two words", "line\nbreak", `quo"te`, "head.payload.signature", strings.Repeat("a", 129), "é"} {
		got := given(header)
		if len(got) < 16 || got == header || slices.Contains(seen, got) {
			t.Errorf("%q became %q", header, got)
		}
		seen = append(seen, got)
	}
}

func TestMetricsKeepTheirShapeAndAreNotForEverybody(t *testing.T) {
	routes, _ := newRoutes(&scriptedLog{}, verdict{})
	routes.Metrics = func() (m Metrics) {
		m.Version, m.Health.Status, m.Health.Reasons = "2", "ok", []string{}
		m.Flags.Values = map[string]bool{}
		for _, name := range []string{"sse", "unifiedStream", "batching", "compression", "zstd", "sharedConnection", "replay", "coalesce", "beacon", "myFlag"} {
			m.Flags.Values[name] = true
		}
		return m
	}
	_, body := ask(t, routes.Handler(), "GET", Base+"/metrics", "")
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	for _, fault := range readSchema(t, "testdata/metrics.schema.json").check(v, "$") {
		t.Error(fault)
	}
	routes, _ = newRoutes(&scriptedLog{}, verdict{auth.ErrUnauthenticated})
	if res, _ := ask(t, routes.Handler(), "GET", Base+"/metrics", ""); res.StatusCode != 401 {
		t.Errorf("without a credential: %d", res.StatusCode)
	}
}
