package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/auth/authtest"
	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/report"
)

// signer makes tokens that a gateway of issuing takes.
type signer struct{ key jose.JSONWebKey }

// issuing starts a gateway whose readers show JWTs, and pages of two shops may
// ask.
func issuing(t *testing.T, change func(*Options), tune func(*config.Hot)) (*gateway, signer) {
	t.Helper()
	issuer, d := newSigner(t, tune)
	g := start(t, change)
	g.serial++
	d.Serial = g.serial
	text, err := config.Encode(d)
	if err != nil {
		t.Fatal(err)
	}
	g.config.take(text)
	if _, nack := g.config.now(); nack != nil {
		t.Fatal(nack.Message)
	}
	return g, issuer
}

// newSigner makes a key, and the document of a gateway that takes its tokens.
func newSigner(t *testing.T, tune func(*config.Hot)) (signer, config.Document) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private := jose.JSONWebKey{Key: key, KeyID: "k1", Use: "sig"}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{private.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	_, hot := config.Default()
	hot.Auth.Publishers.Mode = config.ModeAnonymous
	from := config.KeyRef{Name: "issuer", Key: "jwks.json"}
	hot.Auth.Subscribers.Mode = config.ModeJWT
	hot.Auth.Subscribers.JWT = config.JWT{Issuer: "https://issuer.test", Audiences: []string{"prices"},
		JWKS: config.JWKS{ConfigMapRef: from, RefreshInterval: time.Minute}, ChannelsClaim: "sg", ClockSkew: 30 * time.Second}
	hot.Listener.AllowedOrigins = []string{"https://shop.test", "https://other.test"}
	if tune != nil {
		tune(&hot)
	}
	return signer{private}, config.Document{Serial: 1, Stable: config.Revision{Name: "r2", Hot: hot},
		KeySets: []config.KeySet{{ConfigMap: from, JWKS: string(set)}}}
}

// token is for a reader of some channels.
func (s signer) token(t *testing.T, subject, tenant string, channels ...string) string {
	t.Helper()
	return s.claiming(t, subject, map[string]any{"tenant": tenant, "sub": channels, "limits": map[string]any{"connections": 5}})
}

// publishing is a token for a publisher of a whole tenant.
func (s signer) publishing(t *testing.T, tenant string) string {
	t.Helper()
	return s.claiming(t, "service", map[string]any{"tenant": tenant, "pub": []string{">"}})
}

func (s signer) claiming(t *testing.T, subject string, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(map[string]any{"iss": "https://issuer.test", "aud": "prices", "sub": subject, "exp": time.Now().Add(time.Hour).Unix(), "sg": claims})
	if err != nil {
		t.Fatal(err)
	}
	return authtest.Sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: s.key}, nil, payload)
}

// send sends a request of a page, or of nobody in particular, and reads the
// answer when it is not a stream.
func (g *gateway) send(method, path, body string, header ...string) (*http.Response, string) {
	g.t.Helper()
	r, err := http.NewRequest(method, g.base+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode == 200 && res.Header.Get("Content-Type") == "text/event-stream" {
		return res, ""
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return res, string(text)
}

// ticket asks for one as a page does.
func (g *gateway) ticket(token, body, origin string) string {
	g.t.Helper()
	res, text := g.send("POST", "/tickets", body, "Authorization", "Bearer "+token, "Origin", origin)
	var answer struct{ Ticket string }
	if err := json.Unmarshal([]byte(text), &answer); err != nil || res.StatusCode != 201 {
		g.t.Fatalf("%d %s", res.StatusCode, text)
	}
	if answer.Ticket == "" {
		return res.Cookies()[0].Value
	}
	return answer.Ticket
}

const shop = "https://shop.test"

func TestAPageReadsWithATicketWhatItMayAndNoOtherPageDoes(t *testing.T) {
	g, issuer := issuing(t, nil, nil)
	token := issuer.token(t, "ann", "", "orders.>")
	ticket := g.ticket(token, `{"channels":["orders.7"]}`, shop)
	s := g.open("channels=orders.7,orders.8&ticket="+ticket, "Origin", shop, "Accept", "text/event-stream")
	if open := s.next("sg.open").data; !strings.Contains(open, `"channels":["orders.7"],"denied":[{"channel":"orders.8"`) {
		t.Errorf("opened %s", open)
	}
	s.next("sg.caught-up")
	g.post("orders.8", `"hidden"`)
	g.post("orders.7", `"shown"`)
	id := s.next("").id
	s.close()
	again := g.open("channels=orders.7&ticket="+ticket, "Origin", shop, "Last-Event-ID", id) // an EventSource repeats its URL
	again.next("sg.caught-up")
	sid := again.header.Get("Sg-Session")
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		part               string
	}{
		"another page of the list":         {"GET", "/stream?channels=orders.7&ticket=" + ticket, "", []string{"Origin", "https://other.test", "Accept", "text/event-stream"}, 403, "problem:csrf"},
		"a page that is not on it":         {"GET", "/stream?channels=orders.7&ticket=" + ticket, "", []string{"Origin", "https://evil.test"}, 403, "problem:origin-denied"},
		"a sandboxed page":                 {"GET", "/stream?channels=orders.7&ticket=" + ticket, "", []string{"Origin", "null"}, 403, "problem:origin-denied"},
		"a wider pattern":                  {"GET", "/stream?channels=orders.*&ticket=" + ticket, "", []string{"Origin", shop}, 403, "problem:channel-denied"},
		"the past of another channel":      {"GET", "/channels/orders.8/events?ticket=" + ticket, "", []string{"Origin", shop}, 403, "problem:channel-denied"},
		"a wider ticket with a ticket":     {"POST", "/tickets?ticket=" + ticket, `{}`, []string{"Origin", shop}, 401, "problem:unauthenticated"},
		"a wider set by PATCH":             {"PATCH", "/sessions/" + sid + "?ticket=" + ticket, `{"add":["orders.8"]}`, []string{"Origin", shop}, 403, "problem:channel-denied"},
		"a ticket in the place of a token": {"GET", "/stream?channels=orders.7", "", []string{"Authorization", "Bearer " + ticket}, 401, "problem:unauthenticated"},
		"a bad token beside a ticket":      {"GET", "/stream?channels=orders.7&ticket=" + ticket, "", []string{"Authorization", "Bearer x"}, 401, "problem:unauthenticated"},
		"a ticket as a cookie":             {"GET", "/stream?channels=orders.7", "", []string{"Cookie", auth.CookieName + "=" + ticket}, 401, "problem:unauthenticated"},
		"a ticket for JSON metrics":        {"GET", "/stream?channels=orders.7&wait=0&ticket=" + ticket[:50], "", nil, 401, "problem:unauthenticated"},
	} {
		res, body := g.send(c.method, c.path, c.body, c.header...)
		if res.StatusCode != c.status || !strings.Contains(body, c.part) {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
	if res, body := g.send("PATCH", "/sessions/"+sid+"?ticket="+g.ticket(token, `{}`, shop), `{"add":["orders.8"]}`, "Origin", shop); res.StatusCode != 404 {
		t.Errorf("a stream is widened beside its ticket: %d %s", res.StatusCode, body)
	}
	if res, body := g.send("PATCH", "/sessions/"+sid, `{"add":["orders.8"],"token":"`+token+`"}`, "Origin", shop); res.StatusCode != 200 {
		t.Errorf("its owner with a token: %d %s", res.StatusCode, body)
	}
}

func TestACookieIsOfNoUseToAnotherPage(t *testing.T) {
	g, issuer := issuing(t, nil, nil)
	cookie := auth.CookieName + "=" + g.ticket(issuer.token(t, "ann", "", "orders.>"), `{"as":"cookie"}`, shop)
	s := g.open("channels=orders.7", "Cookie", cookie, "Origin", shop, "Accept", "text/event-stream")
	s.next("sg.caught-up")
	sid := s.header.Get("Sg-Session")
	for name, c := range map[string]struct {
		method, path string
		header       []string
		kind         string
	}{
		"a change from another page":          {"PATCH", "/sessions/" + sid, []string{"Origin", "https://other.test"}, "csrf"},
		"a change from a sister of the host":  {"PATCH", "/sessions/" + sid, []string{"Sec-Fetch-Site", "same-site"}, "origin-denied"},
		"a change without an origin":          {"PATCH", "/sessions/" + sid, nil, "csrf"},
		"an end without an origin":            {"DELETE", "/sessions/" + sid, nil, "csrf"},
		"a picture in a page of another site": {"GET", "/stream?channels=orders.7&wait=0", []string{"Sec-Fetch-Site", "cross-site"}, "csrf"},
		"a form of another site":              {"POST", "/stream", []string{"Origin", "https://evil.test"}, "origin-denied"},
	} {
		res, body := g.send(c.method, c.path, `{"add":["orders.8"],"channels":["orders.7"]}`, append(c.header, "Cookie", cookie)...)
		if res.StatusCode != 403 || !strings.Contains(body, "problem:"+c.kind+`"`) {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
	if res, body := g.send("PATCH", "/sessions/"+sid, `{"add":["orders.8"]}`, "Origin", shop, "Cookie", cookie); res.StatusCode != 200 {
		t.Errorf("its own page: %d %s", res.StatusCode, body)
	}
	if res, body := g.send("DELETE", "/sessions/"+sid, "", "Origin", shop, "Cookie", cookie); res.StatusCode != 204 {
		t.Errorf("its own page: %d %s", res.StatusCode, body)
	}
}

func TestATicketHoldsOnEveryReplicaUntilTheSecretIsAnother(t *testing.T) {
	folder := t.TempDir()
	mount := func(secret []byte) { writeFile(t, filepath.Join(folder, report.KeysFile), secret) }
	mount(bytes.Repeat([]byte{1}, auth.KeyBytes))
	g, issuer := issuing(t, func(o *Options) { o.Keys = folder }, nil)
	ticket := g.ticket(issuer.token(t, "ann", "", "orders.>"), `{}`, shop)
	replica := start(t, func(o *Options) { o.Keys = folder })
	text, err := os.ReadFile(filepath.Join(folder, report.KeysFile))
	if err != nil {
		t.Fatal(err)
	}
	replica.config.take(g.config.text)
	s := replica.open("channels=orders.7&ticket="+ticket, "Origin", shop)
	s.next("sg.caught-up")
	if g.report().SharedSecret != "" {
		t.Errorf("keys are %q", g.report().SharedSecret)
	}
	for _, away := range []struct {
		state string
		do    func()
	}{
		{report.SharedMissing, func() { _ = os.Remove(filepath.Join(folder, report.KeysFile)) }},
		{report.SharedInvalid, func() { mount([]byte("short")) }},
		{"", func() { mount(text) }},
	} {
		away.do()
		g.eventually(fmt.Sprintf("keys are %q", away.state), func() bool { return g.report().SharedSecret == away.state })
		if res, body := g.send("GET", "/stream?channels=orders.7&errors=http&ticket="+ticket, "", "Origin", shop); res.StatusCode != 200 {
			t.Errorf("keys %q: %d %s", away.state, res.StatusCode, body)
		}
	}
	mount(bytes.Repeat([]byte{2}, auth.KeyBytes))
	if f := s.closed(); f.event != "sg.end" || !strings.Contains(f.data, "auth-revoked") {
		t.Errorf("a stream with a ticket of the old secret ended with %+v", f)
	}
	res, body := replica.send("GET", "/stream?channels=orders.7&ticket="+ticket, "", "Origin", shop, "Accept", "text/event-stream")
	if res.StatusCode != 401 || res.Header.Get("Access-Control-Allow-Origin") != shop {
		t.Errorf("a ticket of the old secret: %d %s", res.StatusCode, body)
	}
}

func TestAPodWithoutTheSecretNeverOpens(t *testing.T) {
	g, issuer := issuing(t, func(o *Options) { o.Keys = t.TempDir() }, nil)
	token := issuer.token(t, "ann", "", "orders.>")
	for _, c := range [][]string{{"POST", "/tickets", "Bearer " + token}, {"GET", "/stream?channels=orders.7&ticket=sgt1_x", ""}} {
		header := []string{"Origin", shop}
		if c[2] != "" {
			header = append(header, "Authorization", c[2])
		}
		if res, body := g.send(c[0], c[1], `{}`, header...); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", c[1], res.StatusCode, body)
		}
	}
	if g.report().SharedSecret != report.SharedMissing {
		t.Errorf("keys are %q", g.report().SharedSecret)
	}
	g.open("channels=orders.7", "Authorization", "Bearer "+token).next("sg.caught-up") // tokens go on
}

func TestOneReaderIsHeldToItsStreamsAndSubscriptions(t *testing.T) {
	g, issuer := issuing(t, nil, func(h *config.Hot) { h.Connections.MaxPerSubject = 50 })
	header := []string{"Authorization", "Bearer " + issuer.token(t, "greedy", "", ">"), "Accept", "text/event-stream"}
	var held []*stream
	for range 5 { // as its token says
		s := g.open("channels=a", header...)
		s.next("sg.open")
		held = append(held, s)
	}
	if f := g.open("channels=a", header...).closed(); f.event != "sg.end" || !strings.Contains(f.data, `"reason":"limit","status":429`) {
		t.Errorf("the sixth ended with %+v", f)
	}
	names := make([]string, 50_000)
	for i := range names {
		names[i] = fmt.Sprintf("c.%d", i)
	}
	body, err := json.Marshal(map[string]any{"channels": names})
	if err != nil {
		t.Fatal(err)
	}
	before := g.report().Connections.Active
	for what, c := range map[string]struct {
		method, path, body string
		status             int
	}{
		"in the URL":         {"GET", "/stream?channels=" + strings.Join(names[:2000], ","), "", 414},
		"in a body":          {"POST", "/stream", string(body), 413},
		"in a smaller body":  {"POST", "/stream", `{"channels":["` + strings.Join(names[:5000], `","`) + `"]}`, 422},
		"in a PATCH":         {"PATCH", "/sessions/" + held[0].header.Get("Sg-Session"), string(body), 413},
		"in a smaller PATCH": {"PATCH", "/sessions/" + held[0].header.Get("Sg-Session"), `{"add":["` + strings.Join(names[:5000], `","`) + `"]}`, 422},
		"in a ticket":        {"POST", "/tickets", `{"channels":["` + strings.Join(names[:5000], `","`) + `"]}`, 400},
	} {
		res, text := g.send(c.method, c.path, c.body, header...)
		if res.StatusCode != c.status {
			t.Errorf("50,000 channels %s: %d %.300s", what, res.StatusCode, text)
		}
	}
	if now := g.report().Connections.Active; now != before {
		t.Errorf("%d streams, %d before", now, before)
	}
	m := g.metrics()
	if m.Subscriptions.Channels > 1 {
		t.Errorf("%d channels are subscribed to", m.Subscriptions.Channels)
	}
}
