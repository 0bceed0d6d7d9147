package auth

import (
	"net/http"
	"sync/atomic"
	"time"
)

// Publishers says who may publish.
type Publishers struct {
	Mode      string        // one of the Mode constants
	Audiences []string      // that Kubernetes tokens must be made for
	CacheTTL  time.Duration // how long a positive review is reused
	JWT       JWT           // with ModeJWT
}

// Publisher authenticates publish requests. It is safe for concurrent use.
type Publisher struct {
	desk
	rules atomic.Pointer[Publishers]
}

// New makes a Publisher. A nil reviewer makes every Kubernetes token
// uncheckable.
func New(reviewer Reviewer, p Publishers) *Publisher {
	a := &Publisher{desk: desk{reviews: newReviews(reviewer, RightPublish)}}
	a.tokens.init(func() {}) // no request outlives its judgement
	a.Tune(p)
	return a
}

// Tune takes over new rules from the next request on. Judgements made for
// other audiences are not reused.
func (a *Publisher) Tune(p Publishers) {
	a.tokens.tune(p.JWT, p.Mode == ModeJWT)
	a.rules.Store(&p)
}

// Authenticate finds out who wants to publish. The error is one of
// ErrUnauthenticated, ErrDenied and ErrUnavailable, with the reason.
func (a *Publisher) Authenticate(r *http.Request) (*Principal, error) {
	rules := a.rules.Load()
	if rules.Mode == ModeAnonymous {
		return publisher(""), nil
	}
	judged := &a.kubernetes
	if rules.Mode == ModeJWT {
		judged = &a.jwt
	}
	token, err := tokenOf(r, false)
	if err != nil {
		judged.count(err)
		return nil, err
	}
	if rules.Mode == ModeJWT {
		return a.verify(r.Context(), token)
	}
	review, err := a.review(r.Context(), token, rules.Audiences, rules.CacheTTL)
	if err != nil {
		return nil, err
	}
	return publisher(review.Subject), nil
}

// publisher may publish everything, and nothing narrows it: the right that the
// API server knows has no channels.
func publisher(subject string) *Principal {
	return &Principal{Subject: subject, Pub: everything(), Metrics: true, Flush: true}
}
