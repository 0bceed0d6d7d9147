package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/streamgateway/streamgateway/gateway/auth/authtest"
)

// issuer signs tokens and serves its keys.
type issuer struct {
	t      *testing.T
	mu     sync.Mutex
	keys   map[string]any // private, by kid
	server *httptest.Server
	asked  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc] // in the place of the keys
}

var keyPool = sync.OnceValue(func() map[string]any {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	weak, worse := rsa.GenerateKey(rand.Reader, 1024)
	_, edKey, bad := ed25519.GenerateKey(rand.Reader)
	ecKey, wrong := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ecBig, over := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil || worse != nil || bad != nil || wrong != nil || over != nil {
		panic("no keys")
	}
	return map[string]any{"rsa": rsaKey, "weak": weak, "ed": edKey, "ec": ecKey, "p384": ecBig}
})

func newIssuer(t *testing.T, kids ...string) *issuer {
	i := &issuer{t: t, keys: map[string]any{}}
	for _, kid := range kids {
		i.keys[kid] = keyPool()[kid]
	}
	i.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		if other := i.answer.Load(); other != nil {
			(*other)(w, r)
			return
		}
		_, _ = w.Write(i.jwks())
	}))
	t.Cleanup(i.server.Close)
	return i
}

// jwks is the set of its public keys.
func (i *issuer) jwks() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	var set jose.JSONWebKeySet
	for kid, k := range i.keys {
		private := jose.JSONWebKey{Key: k, KeyID: kid, Use: "sig"}
		set.Keys = append(set.Keys, private.Public())
	}
	text, err := json.Marshal(set)
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

func (i *issuer) set(kids ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = map[string]any{}
	for _, kid := range kids {
		i.keys[kid] = keyPool()[kid]
	}
}

// claimsOf are those of a good token, with some of them changed; nil takes one
// out.
func claimsOf(change map[string]any) map[string]any {
	all := map[string]any{
		"iss": "https://issuer.example", "aud": "prices", "sub": "u7", "exp": time.Now().Add(time.Hour).Unix(),
		"sg": map[string]any{"sub": []string{"orders.>"}},
	}
	for name, value := range change {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	return all
}

func sign(t testing.TB, alg jose.SignatureAlgorithm, kid string, key any, payload []byte) string {
	t.Helper()
	return authtest.Sign(t, jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid), payload)
}

// token is a good one, signed with its elliptic key.
func (i *issuer) token(change map[string]any) string {
	payload, err := json.Marshal(claimsOf(change))
	if err != nil {
		i.t.Fatal(err)
	}
	return sign(i.t, jose.ES256, "ec", keyPool()["ec"], payload)
}

func rulesFor(j JWKS) Subscribers {
	return Subscribers{Mode: ModeJWT, JWT: JWT{
		Issuer: "https://issuer.example", Audiences: []string{"prices", "other"}, JWKS: j, ChannelsClaim: "sg", ClockSkew: 30 * time.Second,
	}}
}

// given is a Subscriber that has the keys in its rules.
func (i *issuer) given() *Subscriber {
	return NewSubscriber(nil, rulesFor(JWKS{Keys: string(i.jwks())}))
}

// fetching is a Subscriber that fetches the keys.
func (i *issuer) fetching() *Subscriber {
	a := NewSubscriber(nil, rulesFor(JWKS{URI: i.server.URL, RefreshInterval: time.Hour}))
	go a.Run(i.t.Context())
	return a
}
