// Package auth says who may publish and who may read what: it finds the
// credential of a request, has it judged (a Kubernetes token by a Reviewer, a
// JWT by its signature), and remembers the judgement for a while.
//
// It knows no Kubernetes (gateway/cluster is a Reviewer), no route and no
// event. It never returns or logs a token, and files what it remembers under a
// SHA-256 of it; only a token that has to be reviewed again is kept, as long as
// its streams run. It is called by gateway/transport.
package auth

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// Why a request is refused. Callers branch on these with errors.Is.
var (
	ErrUnauthenticated = errors.New("no valid credential")      // 401
	ErrExpired         = errors.New("the token has expired")    // 401, besides ErrUnauthenticated
	ErrDenied          = errors.New("not allowed")              // 403
	ErrUnavailable     = errors.New("credential not checkable") // 503; never open on failure
)

// Modes of Publishers and Subscribers.
const (
	ModeKubernetes = "Kubernetes"
	ModeJWT        = "JWT"
	ModeAnonymous  = "Anonymous"
)

// Review is a Reviewer's judgement of one token.
type Review struct {
	Subject       string // of an authenticated token
	Authenticated bool   // the token is genuine, unexpired and made for one of the audiences
	Allowed       bool   // and its subject has the right that was asked about
	Expires       time.Time
}

// Rights that a Reviewer is asked about.
const (
	RightPublish   = "publish"
	RightSubscribe = "subscribe"
)

// Reviewer judges tokens. An error means that there is no judgement, not that
// the token is bad.
type Reviewer interface {
	Review(ctx context.Context, token string, audiences []string, right string) (Review, error)
}

// Counts are the answers given so far, by what was judged.
type Counts struct{ Kubernetes, JWT, Ticket Results }

// Results are answers by what a credential was worth.
type Results struct{ Allowed, Unauthenticated, Denied, Unavailable uint64 }

// Plus adds counts.
func (c Counts) Plus(o Counts) Counts {
	return Counts{c.Kubernetes.plus(o.Kubernetes), c.JWT.plus(o.JWT), c.Ticket.plus(o.Ticket)}
}

func (r Results) plus(o Results) Results {
	return Results{r.Allowed + o.Allowed, r.Unauthenticated + o.Unauthenticated, r.Denied + o.Denied, r.Unavailable + o.Unavailable}
}

type results struct{ allowed, unauthenticated, denied, unavailable atomic.Uint64 }

func (r *results) count(err error) {
	switch {
	case err == nil:
		r.allowed.Add(1)
	case errors.Is(err, ErrUnauthenticated):
		r.unauthenticated.Add(1)
	case errors.Is(err, ErrDenied), errors.Is(err, ErrCSRF):
		r.denied.Add(1)
	default:
		r.unavailable.Add(1)
	}
}

func (r *results) load() Results {
	return Results{r.allowed.Load(), r.unauthenticated.Load(), r.denied.Load(), r.unavailable.Load()}
}

// desk judges credentials. Publisher and Subscriber have one each.
type desk struct {
	reviews                 reviews
	tokens                  verifier
	kubernetes, jwt, ticket results
}

// Counts returns the answers given so far.
func (d *desk) Counts() Counts { return Counts{d.kubernetes.load(), d.jwt.load(), d.ticket.load()} }

// Run fetches the keys that JWTs are signed with, until ctx ends.
func (d *desk) Run(ctx context.Context) { d.tokens.keys.run(ctx) }

// KeysFault is why the newest keys of JWTs cannot be had, "" when they are
// there or not needed.
func (d *desk) KeysFault() string { return d.tokens.keys.fault() }

func (d *desk) verify(ctx context.Context, token string) (*Principal, error) {
	who, err := d.tokens.verify(ctx, token)
	d.jwt.count(err)
	return who, err
}

func (d *desk) review(ctx context.Context, token string, audiences []string, ttl time.Duration) (Review, error) {
	review, err := d.reviews.ask(ctx, token, audiences, ttl)
	d.kubernetes.count(err)
	return review, err
}
