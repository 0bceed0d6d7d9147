package auth

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

func secretOf(b byte) []byte { return bytes.Repeat([]byte{b}, KeyBytes) }

func ticketsWith(t testing.TB, secret []byte) *Tickets {
	t.Helper()
	tickets := &Tickets{}
	if err := tickets.Use(secret); err != nil {
		t.Fatal(err)
	}
	return tickets
}

func patternsIn(tenant string, names ...string) (list []wire.Pattern) {
	for _, p := range patterns(names) {
		list = append(list, p.In(tenant))
	}
	return list
}

// ann reads orders and prices of acme.
func ann() *Principal {
	return &Principal{Subject: "ann", Tenant: "acme", Sub: patternsIn("acme", "orders.>", "prices.*"), Pub: patternsIn("acme", ">"),
		Limits: Limits{Connections: 4}, Presence: true, Metrics: true, Flush: true}
}

// page is a request of a page with a ticket.
func page(kind TicketKind, text string, header ...string) *http.Request {
	r := httptest.NewRequest("GET", "/v2/realtime/stream?channels=orders.1", nil)
	switch kind {
	case TicketCookie:
		r.AddCookie(&http.Cookie{Name: CookieName, Value: text})
	default:
		r.URL.RawQuery += "&ticket=" + text
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

const shop, evil = "https://shop.test", "https://evil.test"

func TestATicketHoldsWhatItsOwnerMayReadAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tickets, who := ticketsWith(t, secretOf(1)), ann()
		expires := time.Now().Add(5 * time.Minute)
		text, err := tickets.Make(TicketQuery, Grant{Who: who, Sub: patternsIn("acme", "orders.7", "orders.8.>"), Origin: shop, Expires: expires, Mode: ModeJWT})
		if err != nil {
			t.Fatal(err)
		}
		got, present, err := tickets.fromTicket(page(TicketQuery, text, "Origin", shop), ModeJWT)
		if err != nil || !present {
			t.Fatal(err)
		}
		if got.Subject != "ann" || got.Tenant != "acme" || got.Limits.Connections != 4 || !got.Presence || !got.Expires.Equal(expires) {
			t.Errorf("%+v", got)
		}
		if got.Pub != nil || got.Metrics || got.Flush {
			t.Errorf("a ticket gives more than reading: %+v", got)
		}
		for name, may := range map[string]bool{"orders.7": true, "orders.8.x": true, "orders.9": false, "orders.>": false, "prices.eur": false} {
			if got.MayRead(patternsIn("acme", name)[0]) != may {
				t.Errorf("%s: %t", name, !may)
			}
		}
		if got.MayRead(patternsIn("other", "orders.7")[0]) || got.MayRead(patternsIn("", "orders.7")[0]) {
			t.Error("crosses tenants")
		}
		for _, part := range []string{"ann", "acme", "orders", "shop"} {
			if box, _ := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, ticketPrefix)); strings.Contains(text, part) || bytes.Contains(box, []byte(part)) {
				t.Errorf("the ticket shows %q", part)
			}
		}
		time.Sleep(5*time.Minute - time.Second)
		if _, _, err := tickets.fromTicket(page(TicketQuery, text, "Origin", shop), ModeJWT); err != nil {
			t.Errorf("a second before its end: %v", err)
		}
		time.Sleep(time.Second)
		if _, _, err := tickets.fromTicket(page(TicketQuery, text, "Origin", shop), ModeJWT); !errors.Is(err, ErrExpired) || !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("at its end: %v", err)
		}
	})
}

func TestATicketIsShownByItsPageAlone(t *testing.T) {
	tickets := ticketsWith(t, secretOf(1))
	grant := Grant{Who: ann(), Sub: ann().Sub, Origin: shop, Expires: time.Now().Add(time.Minute), Mode: ModeJWT}
	unbound := grant
	unbound.Origin = ""
	for name, c := range map[string]struct {
		grant  Grant
		kind   TicketKind
		method string
		header []string
		ok     bool
	}{
		"its page":                             {grant, TicketQuery, "GET", []string{"Origin", shop}, true},
		"another page":                         {grant, TicketQuery, "GET", []string{"Origin", evil}, false},
		"no page at all":                       {grant, TicketQuery, "GET", []string{"Origin", "null"}, false},
		"its host's page":                      {grant, TicketQuery, "GET", []string{"Sec-Fetch-Site", "same-origin"}, true},
		"a person's address bar":               {grant, TicketQuery, "GET", []string{"Sec-Fetch-Site", "none"}, true},
		"a program":                            {grant, TicketQuery, "GET", nil, true},
		"a picture of another site":            {grant, TicketQuery, "GET", []string{"Sec-Fetch-Site", "cross-site"}, false},
		"a picture of a sister":                {grant, TicketQuery, "GET", []string{"Sec-Fetch-Site", "same-site"}, false},
		"a program's, shown by a page":         {unbound, TicketQuery, "GET", []string{"Origin", shop}, false},
		"a program's, shown by a program":      {unbound, TicketQuery, "GET", nil, true},
		"a cookie of its page":                 {grant, TicketCookie, "GET", []string{"Origin", shop}, true},
		"a cookie of its host's page":          {grant, TicketCookie, "GET", []string{"Sec-Fetch-Site", "same-origin"}, true},
		"a cookie from another page":           {grant, TicketCookie, "GET", []string{"Origin", evil}, false},
		"a cookie from a sister":               {grant, TicketCookie, "GET", []string{"Sec-Fetch-Site", "same-site"}, false},
		"a change by its page":                 {grant, TicketCookie, "PATCH", []string{"Origin", shop}, true},
		"a change by another page":             {grant, TicketCookie, "PATCH", []string{"Origin", evil}, false},
		"a change by nobody knows whom":        {grant, TicketCookie, "DELETE", nil, false},
		"a change, its origin left out":        {grant, TicketCookie, "POST", []string{"Sec-Fetch-Site", "same-origin"}, false},
		"a change with a ticket, by a program": {grant, TicketQuery, "PATCH", nil, true},
	} {
		text, err := tickets.Make(c.kind, c.grant)
		if err != nil {
			t.Fatal(err)
		}
		r := page(c.kind, text, c.header...)
		r.Method = c.method
		if _, present, err := tickets.fromTicket(r, ModeJWT); !present || (err == nil) != c.ok || err != nil && !errors.Is(err, ErrCSRF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsNoTicketOfThisGatewayIsRefused(t *testing.T) {
	tickets := ticketsWith(t, secretOf(1))
	grant := Grant{Who: ann(), Sub: ann().Sub, Expires: time.Now().Add(time.Minute), Mode: ModeJWT}
	good, err := tickets.Make(TicketQuery, grant)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := ticketsWith(t, secretOf(2)).Make(TicketQuery, grant)
	grant.Mode = ModeKubernetes
	mode, _ := tickets.Make(TicketQuery, grant)
	flipped := []byte(good)
	flipped[len(flipped)/2] ^= 1
	for name, r := range map[string]*http.Request{
		"of another gateway":        page(TicketQuery, other),
		"of another mode":           page(TicketQuery, mode),
		"a ticket as cookie":        page(TicketCookie, good),
		"changed":                   page(TicketQuery, string(flipped)),
		"cut":                       page(TicketQuery, good[:len(good)-3]),
		"with something behind it":  page(TicketQuery, good+"A"),
		"without its prefix":        page(TicketQuery, good[len(ticketPrefix):]),
		"a token":                   page(TicketQuery, "eyJhbGciOiJub25lIn0.e30."),
		"empty":                     page(TicketQuery, ""),
		"two tickets":               page(TicketQuery, good+"&ticket="+good),
		"with a line break":         page(TicketQuery, good[:40]+"%0A"+good[40:]),
		"padded":                    page(TicketQuery, good+"%3D"),
		"an endless one":            page(TicketQuery, ticketPrefix+strings.Repeat("A", 1<<16)),
		"beside a broken query":     page(TicketQuery, good+"&%zz=1"),
		"a cookie that is none":     page(TicketCookie, "x"),
		"a cookie of another style": page(TicketCookie, ticketPrefix),
	} {
		if _, present, err := tickets.fromTicket(r, ModeJWT); !present || !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: present %t, %v", name, present, err)
		} else if strings.Contains(err.Error(), good[10:30]) {
			t.Errorf("%s: the error tells the ticket", name)
		}
	}
	two := page(TicketCookie, good)
	two.AddCookie(&http.Cookie{Name: CookieName, Value: good})
	if _, _, err := tickets.fromTicket(two, ModeJWT); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("two cookies: %v", err)
	}
	if _, present, err := tickets.fromTicket(httptest.NewRequest("GET", "/", nil), ModeJWT); present || err != nil {
		t.Errorf("nothing shown: %t %v", present, err)
	}
}

func TestAnotherSecretEndsWhatTheOldOneMade(t *testing.T) {
	tickets := &Tickets{}
	grant := Grant{Who: ann(), Sub: ann().Sub, Expires: time.Now().Add(time.Minute), Mode: ModeJWT}
	if _, err := tickets.Make(TicketQuery, grant); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without a secret: %v", err)
	}
	if _, _, err := tickets.fromTicket(page(TicketQuery, "sgt1_x"), ModeJWT); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without a secret: %v", err)
	}
	if err := tickets.Use([]byte("short")); err == nil {
		t.Error("took a short secret")
	}
	subs, err := wire.QualifiedSubSet([]string{"acme/orders.7"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range byte(2) {
		if err := tickets.Use(secretOf(i)); err != nil {
			t.Fatal(err)
		}
	}
	text, _ := tickets.Make(TicketQuery, grant)
	who, _, err := tickets.fromTicket(page(TicketQuery, text), ModeJWT)
	if err != nil {
		t.Fatal(err)
	}
	if !who.StillMayRead(subs) {
		t.Error("may not read while the secret stands")
	}
	if err := tickets.Use(secretOf(9)); err != nil {
		t.Fatal(err)
	}
	if who.StillMayRead(subs) {
		t.Error("a stream outlives the secret of its ticket")
	}
	if _, _, err := tickets.fromTicket(page(TicketQuery, text), ModeJWT); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("with another secret: %v", err)
	}
}

func TestATicketFitsACookieOrIsNotMade(t *testing.T) {
	tickets, longest := ticketsWith(t, secretOf(1)), 0
	for n := 1; ; n++ {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("orders.%d.%s", i, strings.Repeat("x", 40)))
		}
		text, err := tickets.Make(TicketCookie, Grant{Who: ann(), Sub: patternsIn("acme", names...), Mode: ModeJWT})
		if errors.Is(err, ErrTicketSize) {
			break
		}
		if err != nil || len(text) > 3500 {
			t.Fatalf("%d names: %d bytes, %v", n, len(text), err)
		}
		longest = n
	}
	if longest < 40 {
		t.Errorf("only %d names fit", longest)
	}
}

// FuzzTickets shows texts that nobody has made.
func FuzzTickets(f *testing.F) {
	tickets := ticketsWith(f, secretOf(1))
	good, err := tickets.Make(TicketQuery, Grant{Who: ann(), Sub: ann().Sub, Expires: time.Now().Add(24 * time.Hour), Mode: ModeJWT})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(ticketPrefix)
	f.Fuzz(func(t *testing.T, text string) {
		// Each process has made one of its own, with another nonce.
		if who, origin, err := tickets.read(TicketQuery, text, ModeJWT); err == nil && (who.Subject != "ann" || origin != "" || len(text) != len(good)) {
			t.Errorf("%q is taken for %+v", text, who)
		}
	})
}
