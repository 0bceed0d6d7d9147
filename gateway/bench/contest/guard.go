//go:build linux

package contest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/streamgateway/streamgateway/gateway/config"
)

// Guard closes the doors of this gateway: readers and publishers need tokens,
// and everybody is counted against every limit there is.
type Guard struct {
	key *ecdsa.PrivateKey
	// Quota is what each tenant, and each publisher, may publish; 0 = more than
	// anybody does here.
	Quota int // events per second
}

// NewGuard makes a guard with a key of its own.
func NewGuard(quota int) (*Guard, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return &Guard{key, quota}, nil
}

const (
	guardIssuer = "https://login.bench"
	guardKey    = "bench"
	guardOrigin = "https://page.bench"
	noLimit     = 1_000_000 // that anything here could reach
	tokenLives  = time.Hour
)

// Token is of somebody who may read and publish all channels of a tenant.
func (g *Guard) Token(tenant, subject string) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: g.key, KeyID: guardKey}}, nil)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	claims, err := json.Marshal(map[string]any{
		"iss": guardIssuer, "aud": guardKey, "sub": subject, "exp": time.Now().Add(tokenLives).Unix(),
		"sg": map[string]any{"tenant": tenant, "sub": []string{">"}, "pub": []string{">"}},
	})
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	return signed.CompactSerialize()
}

// close writes the guard into a document.
func (g *Guard) close(d *config.Document) error {
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: g.key.Public(), KeyID: guardKey, Algorithm: string(jose.ES256), Use: "sig"}}})
	if err != nil {
		return fmt.Errorf("writing keys: %w", err)
	}
	from := config.KeyRef{Name: guardKey, Key: "jwks.json"}
	d.KeySets = []config.KeySet{{ConfigMap: from, JWKS: string(keys)}}
	jwt := config.JWT{Issuer: guardIssuer, Audiences: []string{guardKey}, ChannelsClaim: "sg", JWKS: config.JWKS{ConfigMapRef: from}}
	hot := &d.Stable.Hot
	hot.Auth.Publishers = config.Publishers{Mode: config.ModeJWT, JWT: jwt}
	hot.Auth.Subscribers.Mode, hot.Auth.Subscribers.JWT = config.ModeJWT, jwt
	hot.Listener.AllowedOrigins = []string{guardOrigin, "https://*.pages.bench"}
	hot.Listener.TrustedProxies = []string{"127.0.0.0/8", "10.0.0.0/8"}
	hot.Connections.MaxPerSubject, hot.Connections.MaxPerAddress, hot.Connections.MaxPerTenant = noLimit, noLimit, noLimit
	rate := noLimit
	if g.Quota > 0 {
		rate = g.Quota
	}
	hot.Limits.Publish = config.Publish{PerPublisherEventsPerSecond: rate, Burst: rate, PerTenantEventsPerSecond: rate}
	hot.Limits.Delivery = config.Delivery{EventsPerSecond: noLimit, BytesPerSecond: 1 << 30}
	return nil
}

// GuardedName is that of this gateway with its doors closed.
const GuardedName = "gateway-guarded"

// Guarded is this gateway behind a guard. Who asks has no token yet, see
// Running.As.
func Guarded(g *Guard) *Server {
	s := gateway(g)
	s.Name = GuardedName
	return s
}

// As is the same running server, asked by the bearer of a token: a page of an
// allowed origin, through a proxy that is believed.
func (r *Running) As(token string) *Running {
	lines := "Authorization: Bearer " + token + "\r\nOrigin: " + guardOrigin + "\r\nX-Forwarded-For: 192.0.2.7, 10.1.2.3\r\n"
	s, other := *r.Server, *r
	other.Server = &s
	s.stream = func(channels []string, since string) (string, string) {
		target, header := r.stream(channels, since)
		return target, header + lines
	}
	s.target.Header = func(channel string) string { return r.target.Header(channel) + lines }
	s.target.Many = func(body []byte, channels []string, data [][]byte) (string, string, []byte) {
		path, header, whole := r.target.Many(body, channels, data)
		return path, header + lines, whole
	}
	return &other
}

// Attach is this gateway, started by somebody else: it can be asked, and
// nothing more is known of it.
func Attach(address netip.AddrPort) *Running { return &Running{Server: gateway(nil), Address: address} }
