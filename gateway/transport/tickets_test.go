package transport

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// bearers are people who are known by their token alone.
type bearers struct{ people }

func (b bearers) AuthenticateBearer(r *http.Request) (*auth.Principal, string, error) {
	who, err := b.Authenticate(r)
	return who, auth.ModeJWT, err
}

// ticketDesk makes tickets for two people of two tenants, and says what it has
// made.
func ticketDesk(t *testing.T) (http.Handler, *Tickets) {
	t.Helper()
	maker := &auth.Tickets{}
	if err := maker.Use(bytes.Repeat([]byte{7}, auth.KeyBytes)); err != nil {
		t.Fatal(err)
	}
	staff := tenants()
	narrow := staff["acme"]
	narrow.Subject, narrow.Sub, narrow.Expires = "u2", rightsIn("acme", "orders.*", "prices.>"), time.Now().Add(2*time.Minute)
	staff["narrow"] = narrow
	tickets := NewTickets(bearers{staff}, maker)
	routes, _ := newRoutes(&scriptedLog{}, verdict{})
	routes.Tickets, routes.Log = tickets, slog.New(slog.DiscardHandler)
	routes.Doors = NewDoors(Listener{AllowedOrigins: []string{"https://shop.test", "https://other.test"}})
	return routes.Handler(), tickets
}

// rightsIn are patterns of a tenant.
func rightsIn(tenant string, names ...string) (rights []wire.Pattern) {
	for _, name := range names {
		if p, err := wire.ParsePattern(name); err == nil {
			rights = append(rights, p.In(tenant))
		}
	}
	return rights
}

func ticketFor(t *testing.T, h http.Handler, who, body string, header ...string) (*http.Response, string) {
	t.Helper()
	return ask(t, h, "POST", Base+"/tickets", body, append(header, "Authorization", who, "Content-Type", "application/json")...)
}

func TestATicketIsMadeForWhoHasAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, tickets := ticketDesk(t)
		for body, want := range map[string]time.Duration{
			`{}`:                2 * time.Minute, // no longer than the token
			`{"ttlSeconds":60}`: time.Minute,
			`{"channels":["orders.*","prices.a.b"],"ttlSeconds":1,"as":"ticket","later":true}`: time.Second,
		} {
			res, text := ticketFor(t, h, "narrow", body)
			var answer struct {
				Ticket    string
				ExpiresAt int64
			}
			if err := json.Unmarshal([]byte(text), &answer); err != nil || res.StatusCode != 201 || !strings.HasPrefix(answer.Ticket, "sgt1_") {
				t.Fatalf("%s: %d %s", body, res.StatusCode, text)
			}
			if d := time.Until(time.UnixMilli(answer.ExpiresAt)); d > want || d < want-time.Second {
				t.Errorf("%s: ends in %s, want %s", body, d, want)
			}
			if res.Header.Get("Set-Cookie") != "" || res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("%v", res.Header)
			}
		}
		res, text := ticketFor(t, h, "acme", `{"ttlSeconds":3600}`)
		if res.StatusCode != 201 {
			t.Errorf("an hour: %d %s", res.StatusCode, text)
		}
		if tickets.Made()["ticket"] != 4 {
			t.Errorf("counted %v", tickets.Made())
		}
	})
}

func TestATicketIsNeverWiderThanItsToken(t *testing.T) {
	h, _ := ticketDesk(t)
	for _, channels := range []string{`">"`, `"*.*"`, `"orders.>"`, `"orders.*.x"`, `"secrets.a"`, `"orders.a","secrets.a"`, `"Orders.a"`, `"prices"`} {
		res, body := ticketFor(t, h, "narrow", `{"channels":[`+channels+`]}`)
		if res.StatusCode == 429 {
			time.Sleep(1100 * time.Millisecond)
			res, body = ticketFor(t, h, "narrow", `{"channels":[`+channels+`]}`)
		}
		if res.StatusCode != 403 || !strings.Contains(body, KindChannelDenied) {
			t.Errorf("%s: %d %s", channels, res.StatusCode, body)
		}
	}
}

func TestATicketThatCannotBeMadeIsRefused(t *testing.T) {
	many := `"` + strings.Repeat("orders.a"+strings.Repeat("b", 50)+`","`, 200) + `orders.z"`
	for name, c := range map[string]struct {
		who, body string
		header    []string
		status    int
		kind      string
	}{
		"nobody":                        {"", `{}`, nil, 401, KindUnauthenticated},
		"a ticket for a ticket":         {"", `{}`, []string{"Cookie", auth.CookieName + "=sgt1_x"}, 401, KindUnauthenticated},
		"no JSON":                       {"narrow", `[]`, nil, 400, KindInvalidJSON},
		"no time":                       {"narrow", `{"ttlSeconds":0}`, nil, 400, KindInvalidParameter},
		"too long a time":               {"narrow", `{"ttlSeconds":3601}`, nil, 400, KindInvalidParameter},
		"a kind that is none":           {"narrow", `{"as":"token"}`, nil, 400, KindInvalidParameter},
		"a pattern that is none":        {"narrow", `{"channels":["a..b"]}`, nil, 400, KindInvalidChannel},
		"the gateway's own channel":     {"acme", `{"channels":["$sg.canary"]}`, nil, 400, KindInvalidChannel},
		"another tenant's channel":      {"acme", `{"channels":["evil/a"]}`, nil, 400, KindInvalidChannel},
		"more than a ticket has room":   {"narrow", `{"channels":[` + many + `]}`, nil, 400, KindInvalidParameter},
		"a page that may not":           {"narrow", `{}`, []string{"Origin", "https://evil.test"}, 403, KindOriginDenied},
		"a cookie from a sandboxed one": {"narrow", `{"as":"cookie"}`, []string{"Origin", "null"}, 403, KindOriginDenied},
		"a cookie from a sister":        {"narrow", `{"as":"cookie"}`, []string{"Sec-Fetch-Site", "same-site"}, 403, KindOriginDenied},
	} {
		h, _ := ticketDesk(t)
		res, body := ticketFor(t, h, c.who, c.body, c.header...)
		if res.StatusCode != c.status || !strings.Contains(body, problemType+c.kind+`"`) || res.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
}

func TestACookieIsForThisHostAlone(t *testing.T) {
	h, _ := ticketDesk(t)
	res, body := ticketFor(t, h, "acme", `{"as":"cookie","ttlSeconds":600}`, "Origin", "https://shop.test")
	cookies := res.Cookies()
	if res.StatusCode != 201 || len(cookies) != 1 || strings.Contains(body, "sgt1_") || !strings.Contains(body, `"expiresAt":`) {
		t.Fatalf("%d %s %v", res.StatusCode, body, cookies)
	}
	c := cookies[0]
	if c.Name != "__Host-sg" || c.Path != "/" || c.Domain != "" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.MaxAge < 598 || c.MaxAge > 600 {
		t.Errorf("%+v", c)
	}
}

func TestASubjectGetsATicketASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, tickets := ticketDesk(t)
		made := func(who string, n int) (made int) {
			for range n {
				if res, _ := ticketFor(t, h, who, `{}`); res.StatusCode == 201 {
					made++
				}
			}
			return made
		}
		if first, other := made("acme", 20), made("evil", 20); first != 5 || other != 5 { // of one name, in two tenants
			t.Errorf("made %d and %d at once", first, other)
		}
		res, body := ticketFor(t, h, "acme", `{}`)
		if res.StatusCode != 429 || !strings.Contains(body, `"limit":{"name":"ticket-rate","value":1,"scope":"subject"}`) || res.Header.Get("Retry-After") != "1" {
			t.Errorf("%d %s", res.StatusCode, body)
		}
		time.Sleep(3 * time.Second)
		if later := made("acme", 20); later != 3 || tickets.RateLimited() != 15+15+1+17 {
			t.Errorf("made %d in three seconds, %d counted", later, tickets.RateLimited())
		}
	})
}
