package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/streamgateway/streamgateway/gateway/auth/authtest"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// login is an issuer that can be away, and change its key.
type login struct {
	t      *testing.T
	key    atomic.Pointer[jose.JSONWebKey]
	away   atomic.Bool
	server *httptest.Server
}

func newLogin(t *testing.T) *login {
	l := &login{t: t}
	l.rotate("first")
	l.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if l.away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{l.key.Load().Public()}})
	}))
	t.Cleanup(l.server.Close)
	return l
}

func (l *login) rotate(kid string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		l.t.Fatal(err)
	}
	l.key.Store(&jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: "ES256", Use: "sig"})
}

// bearer is the header of somebody who may read and publish to what is listed.
func (l *login) bearer(subject string, channels ...string) string {
	claims := map[string]any{
		"iss": "https://login.example", "aud": "prices", "sub": subject, "exp": time.Now().Add(time.Hour).Unix(),
		"sg": map[string]any{"sub": channels, "pub": channels, "presence": true},
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		l.t.Fatal(err)
	}
	return "Bearer " + authtest.Sign(l.t, jose.SigningKey{Algorithm: jose.ES256, Key: *l.key.Load()}, nil, payload)
}

// asks is the rule that takes its tokens.
func (l *login) asks() config.JWT {
	return config.JWT{
		Issuer: "https://login.example", Audiences: []string{"prices"}, ChannelsClaim: "sg", ClockSkew: 30 * time.Second,
		JWKS: config.JWKS{URI: l.server.URL + "/keys?of=us", RefreshInterval: time.Second},
	}
}

func TestStreamsOutliveAnIssuerThatIsAwayAndEndWithAKeyThatIsWithdrawn(t *testing.T) {
	g, l := start(t, nil), newLogin(t)
	everybody := g.open("channels=prices")
	everybody.next("sg.caught-up")
	g.config.take(g.document(func(h *config.Hot) {
		h.Auth.Subscribers.Mode, h.Auth.Subscribers.JWT = config.ModeJWT, l.asks()
		h.Auth.Publishers.Mode, h.Auth.Publishers.JWT = config.ModeJWT, l.asks()
	}))
	if f := everybody.closed(); !strings.Contains(f.data, `"reason":"auth-revoked","status":403`) {
		t.Errorf("a stream of nobody in particular ended with %+v", f)
	}
	ann := l.bearer("ann", "prices")
	s := g.open("channels=prices,secrets", "Authorization", ann)
	if f := s.next("sg.open"); !strings.Contains(f.data, `"denied":[{"channel":"secrets"`) {
		t.Errorf("opened with %s", f.data)
	}
	// Publishers have keys of their own, and only keys that were had outlive the issuer.
	g.eventually("publishers' tokens are known", func() bool {
		return g.publishAs("/channels/secrets/events", "application/json", "0", []string{"Authorization", l.bearer("bob", "secrets")}) == 200
	})
	l.away.Store(true)
	g.eventually("the fault is told", func() bool { return g.report().KeysFault != "" })
	if fault := g.report().KeysFault; strings.Contains(fault, "of=us") || !strings.Contains(fault, "503") {
		t.Errorf("the fault is %q", fault)
	}
	for who, want := range map[string]int{l.bearer("bob", "prices"): 200, l.bearer("eve", "elsewhere"): 403, "Bearer x.y.z": 401, "": 401} {
		if got := g.publishAs("/channels/prices/events", "application/json", "1", []string{"Authorization", who}); got != want {
			t.Errorf("%.20s: %d, want %d", who, got, want)
		}
	}
	if f := s.next(""); f.data != "1" {
		t.Errorf("got %+v", f)
	}
	l.rotate("second")
	l.away.Store(false)
	if f := s.closed(); !strings.Contains(f.data, `"reason":"auth-revoked","status":403`) {
		t.Errorf("the stream of a withdrawn key ended with %+v", f)
	}
	g.eventually("the fault is over", func() bool { return g.report().KeysFault == "" })
	g.open("channels=prices", "Authorization", l.bearer("ann", "prices")).next("sg.caught-up")
	if status := g.publishAs("/channels/prices/events", "application/json", "1", []string{"Authorization", ann}); status != 401 {
		t.Errorf("a token of the withdrawn key publishes: %d", status)
	}
}

func TestTokensAreCountedByWhatTheyAreWorth(t *testing.T) {
	g, l := start(t, nil), newLogin(t)
	g.config.take(g.document(func(h *config.Hot) {
		h.Auth.Subscribers.Mode, h.Auth.Subscribers.JWT = config.ModeJWT, l.asks()
	}))
	g.open("channels=prices", "Authorization", l.bearer("ann", "prices")).next("sg.caught-up")
	if status := g.status(g.base + "/stream?channels=prices"); status != 401 {
		t.Errorf("without a token: %d", status)
	}
	text := g.scrape("")
	for result, n := range map[string]int{"allowed": 1, "unauthenticated": 1, "unavailable": 0} {
		if want := fmt.Sprintf("sg_auth_total{method=\"jwt\",result=%q} %d\n", result, n); !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestMetricsAreOpenWhenTheConfigurationSaysSo(t *testing.T) {
	g, l := start(t, nil), newLogin(t)
	tokens := func(h *config.Hot) {
		h.Auth.Subscribers.Mode, h.Auth.Subscribers.JWT = config.ModeJWT, l.asks()
		h.Auth.Publishers.Mode, h.Auth.Publishers.JWT = config.ModeJWT, l.asks()
	}
	g.config.take(g.document(tokens))
	if status := g.status(g.base + "/metrics"); status != 401 {
		t.Errorf("without a token: %d", status)
	}
	g.config.take(g.document(func(h *config.Hot) {
		tokens(h)
		h.Observability.MetricsAccess = config.MetricsOpen
		h.Observability.Presence = config.Disabled
	}))
	if status := g.status(g.base + "/metrics"); status != 200 {
		t.Errorf("open: %d", status)
	}
	if status := g.status(g.base + "/channels/a/presence"); status != 404 {
		t.Errorf("presence, disabled: %d", status)
	}
}
