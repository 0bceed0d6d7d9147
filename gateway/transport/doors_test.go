package transport

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// knock sends a request of a page through doors with these origins.
func knock(t *testing.T, allowed []string, method, path string, header ...string) *http.Response {
	t.Helper()
	routes, _ := newRoutes(&scriptedLog{}, verdict{})
	routes.Doors.Tune(Listener{AllowedOrigins: allowed})
	res, body := ask(t, routes.Handler(), method, path, "", header...)
	if res.StatusCode == http.StatusForbidden && !strings.Contains(body, KindOriginDenied) {
		t.Fatalf("%s %s: %s", method, path, body)
	}
	return res
}

func TestOnlyListedOriginsMayAsk(t *testing.T) {
	list := []string{"https://shop.example.com", "https://*.example.org", "http://localhost:3000", "HTTPS://Caps.example.com:443"}
	for origin, ok := range map[string]bool{
		"https://shop.example.com":                        true,
		"https://caps.example.com":                        true,
		"http://localhost:3000":                           true,
		"https://a.example.org":                           true,
		"https://a.b.example.org":                         true,
		"http://shop.example.com":                         false,
		"https://shop.example.com:8443":                   false,
		"https://shop.example.com.evil.test":              false,
		"https://evil-shop.example.com":                   false,
		"https://example.org":                             false,
		"https://.example.org":                            false,
		"https://evil.test/.example.org":                  false,
		"https://evil.test#.example.org":                  false,
		"https://evil.test?x.example.org":                 false,
		"https://user@a.example.org":                      false,
		"https://evilexample.org":                         false,
		"https://a.example.org:8443":                      false,
		"http://localhost":                                false,
		"http://127.0.0.1:3000":                           false,
		"null":                                            false,
		"*":                                               false,
		"file://":                                         false,
		"https://":                                        false,
		"https://shop.example.com, https://evil.test":     false,
		"https://shop.example.com/":                       false,
		"https://shop.example.com\u0000https://evil.test": false,
	} {
		res := knock(t, list, "GET", Base+"/time", "Origin", origin)
		want := map[bool]int{true: 200, false: 403}[ok]
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", origin, res.StatusCode, want)
		}
		if got := res.Header.Get("Access-Control-Allow-Origin"); (got == origin) != ok || !ok && got != "" {
			t.Errorf("%s: shared with %q", origin, got)
		}
		if !strings.Contains(res.Header.Get("Vary"), "Origin") {
			t.Errorf("%s: Vary %q", origin, res.Header["Vary"])
		}
	}
}

func TestEveryEndpointKeepsForeignPagesOut(t *testing.T) {
	for _, endpoint := range []string{"GET /stream?channels=a", "POST /stream", "PATCH /sessions/x", "DELETE /sessions/x", "POST /events",
		"POST /channels/a/events", "GET /channels/a/events", "GET /channels/a/last", "GET /channels/a/presence", "GET /time", "GET /metrics", "OPTIONS /stream"} {
		method, path, _ := strings.Cut(endpoint, " ")
		for _, header := range [][]string{{"Origin", "https://evil.test"}, {"Origin", "null"}, {"Origin", "null", "Sec-Fetch-Site", "cross-site"},
			{"Origin", "https://example.com", "Sec-Fetch-Site", "cross-site"}} {
			res := knock(t, []string{"https://shop.test"}, method, Base+path, header...)
			if res.StatusCode != 403 || res.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s with %v: %d %v", endpoint, header, res.StatusCode, res.Header)
			}
		}
	}
}

func TestPagesOfTheGatewaysOwnOriginAndProgramsNeedNoList(t *testing.T) {
	for name, header := range map[string][]string{
		"a program":                          {},
		"a page, over plain HTTP":            {"Origin", "http://example.com"},
		"a page, as its browser says":        {"Origin", "https://example.com", "Sec-Fetch-Site", "same-origin"},
		"a page behind a proxy":              {"Origin", "https://outside.test", "Sec-Fetch-Site", "same-origin"},
		"a beacon of a page without referer": {"Origin", "null", "Sec-Fetch-Site", "same-origin"},
		"a person who types the address":     {"Sec-Fetch-Site", "none"},
	} {
		for _, method := range []string{"GET", "POST"} {
			res := knock(t, nil, method, Base+"/channels/a/"+map[string]string{"GET": "events?cursor=x", "POST": "events"}[method], header...)
			if res.StatusCode == 403 || res.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s, %s: %d %v", name, method, res.StatusCode, res.Header)
			}
		}
	}
}

func TestAChangeThatABrowserSendsForAnotherSiteIsRefusedWithoutItsOrigin(t *testing.T) {
	for _, site := range []string{"cross-site", "same-site", "anything"} {
		if res := knock(t, []string{"*"}, "POST", Base+"/channels/a/events", "Sec-Fetch-Site", site); res.StatusCode != 403 {
			t.Errorf("%s: %d", site, res.StatusCode)
		}
	}
}

func TestAnAnswerToAnAllowedPageIsSharedByTheBook(t *testing.T) {
	const origin = "https://shop.test"
	for _, path := range []string{"/time", "/stream", "/nowhere"} { // refused or not
		h := knock(t, []string{origin}, "GET", Base+path, "Origin", origin).Header
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin":      origin,
			"Access-Control-Allow-Credentials": "true",
			"Access-Control-Expose-Headers":    "SG-Session, SG-Cursor, SG-Protocol, Retry-After",
			"Timing-Allow-Origin":              origin,
		} {
			if h.Get(name) != want {
				t.Errorf("%s %s: %q, want %q", path, name, h.Get(name), want)
			}
		}
	}
	h := knock(t, []string{"*"}, "GET", Base+"/time", "Origin", origin).Header
	if h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Credentials") != "" || h.Get("Timing-Allow-Origin") != "*" {
		t.Errorf("open to all: %v", h)
	}
	if res := knock(t, []string{"*"}, "GET", Base+"/time", "Origin", "null"); res.StatusCode != 403 {
		t.Errorf("open to all, null: %d", res.StatusCode)
	}
}

func TestAPreflightIsAnsweredBeforeAnyCredentialIsAskedFor(t *testing.T) {
	res := knock(t, []string{"https://shop.test"}, "OPTIONS", Base+"/events", "Origin", "https://shop.test",
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,CE-Type, ce-sgkey,x-other,ce-,ce-a.b")
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin":      "https://shop.test",
		"Access-Control-Allow-Credentials": "true",
		"Access-Control-Allow-Methods":     "GET, POST, PATCH, DELETE",
		"Access-Control-Allow-Headers":     "Authorization, Content-Type, Content-Encoding, Last-Event-ID, Idempotency-Key, SG-Require-Durability, ce-type, ce-sgkey",
		"Access-Control-Max-Age":           "7200",
	} {
		if res.Header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, res.Header.Get(name), want)
		}
	}
	if res.StatusCode != 204 {
		t.Errorf("status %d", res.StatusCode)
	}
	if res := knock(t, nil, "OPTIONS", Base+"/events", "Origin", "https://shop.test", "Access-Control-Request-Method", "POST"); res.StatusCode != 403 {
		t.Errorf("of a foreign page: %d", res.StatusCode)
	}
}

// A stream is written past net/http on Linux; its page has to be able to read
// it there, too.
func TestAStreamIsSharedOnBothTransports(t *testing.T) {
	onBoth(t, func(t *testing.T, transport string) {
		p := newPod(t)
		routes, _ := newRoutes(&scriptedLog{}, verdict{})
		routes.Stream, routes.Doors = p, NewDoors(Listener{AllowedOrigins: []string{"https://*.shop.test"}})
		url := p.serveBehind(t, transport, routes.Handler())
		r, err := http.NewRequestWithContext(t.Context(), "GET", url+"?channels=a", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", "https://www.shop.test")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		h := res.Header
		if h.Get("Access-Control-Allow-Origin") != "https://www.shop.test" || h.Get("Timing-Allow-Origin") == "" ||
			!strings.Contains(h.Get("Vary"), "Origin") || h.Get("SG-Session") == "" {
			t.Errorf("%v", h)
		}
	})
}

func TestNewOriginsActOnTheNextRequest(t *testing.T) {
	routes, _ := newRoutes(&scriptedLog{}, verdict{})
	h := routes.Handler()
	status := func() int {
		res, _ := ask(t, h, "GET", Base+"/time", "", "Origin", "https://shop.test")
		return res.StatusCode
	}
	before := status()
	routes.Doors.Tune(Listener{AllowedOrigins: []string{"https://shop.test"}})
	between := status()
	routes.Doors.Tune(Listener{AllowedOrigins: []string{"no origin", "null"}})
	if after := status(); before != 403 || between != 200 || after != 403 || routes.Doors.OriginDenied() != 2 {
		t.Errorf("%d %d %d, %d denied", before, between, after, routes.Doors.OriginDenied())
	}
}

func FuzzOriginsOfOthersStayOut(f *testing.F) {
	for _, seed := range []string{"null", "https://a.example.org", "https://a.example.org.evil.test", "https://a\x00.example.org"} {
		f.Add(seed)
	}
	list := newOrigins([]string{"https://shop.example.com", "https://*.example.org"})
	ours := regexp.MustCompile(`^https://(shop\.example\.com|[a-z0-9_-][a-z0-9._-]*\.example\.org)$`)
	f.Fuzz(func(t *testing.T, origin string) {
		if list.allow(origin) != ours.MatchString(origin) {
			t.Errorf("%q: let in %t", origin, list.allow(origin))
		}
	})
}
