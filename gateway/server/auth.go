package server

import (
	"net/http"
	"sync/atomic"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/transport"
)

// publishersOf and subscribersOf are the rules of auth. They are no plain
// conversions, since the keys of JWTs come from elsewhere in the document.
func publishersOf(d config.Document, a config.Auth) auth.Publishers {
	return auth.Publishers{Mode: a.Publishers.Mode, Audiences: a.Publishers.Audiences, CacheTTL: a.Publishers.CacheTTL, JWT: jwtOf(d, a.Publishers.JWT)}
}

// subscribersOf: tokens of Kubernetes subscribers are made for the same
// audiences as those of publishers.
func subscribersOf(d config.Document, a config.Auth) auth.Subscribers {
	s := a.Subscribers
	return auth.Subscribers{
		Mode: s.Mode, AnonymousChannels: s.AnonymousChannels, AccessTokenQuery: s.AccessTokenQuery == config.Enabled,
		Audiences: a.Publishers.Audiences, CacheTTL: a.Publishers.CacheTTL, JWT: jwtOf(d, s.JWT),
	}
}

func jwtOf(d config.Document, j config.JWT) auth.JWT {
	out := auth.JWT{Issuer: j.Issuer, Audiences: j.Audiences, ChannelsClaim: j.ChannelsClaim, ClockSkew: j.ClockSkew}
	out.JWKS = auth.JWKS{URI: j.JWKS.URI, RefreshInterval: j.JWKS.RefreshInterval}
	if j.JWKS.URI == "" {
		out.JWKS.Keys = d.Keys(j.JWKS.ConfigMapRef)
	}
	return out
}

// tuneAuth takes over who may do what, and ends the streams that read what they
// may not any more.
func (s *Server) tuneAuth(d config.Document, a config.Auth) {
	s.publisher.Tune(publishersOf(d, a))
	s.subscriber.Tune(subscribersOf(d, a))
	s.engine.Judge() // after the rules: what is opened in between is judged by them
}

// metricsAccess says who may read the JSON metrics: everybody, or who shows to
// either side, as a publisher or as a reader, a credential with that right.
type metricsAccess struct {
	publisher, subscriber transport.Authenticator
	open                  atomic.Bool
}

func (m *metricsAccess) tune(access string) { m.open.Store(access == config.MetricsOpen) }

// Authenticate gives a principal with the right, or else what the publishers'
// side says.
func (m *metricsAccess) Authenticate(r *http.Request) (*auth.Principal, error) {
	if m.open.Load() {
		return &auth.Principal{Metrics: true}, nil
	}
	who, err := m.publisher.Authenticate(r)
	if err == nil && who.Metrics {
		return who, nil
	}
	if reader, readErr := m.subscriber.Authenticate(r); readErr == nil && reader.Metrics {
		return reader, nil
	}
	return who, err
}
