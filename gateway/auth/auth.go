// Package auth says who may publish and who may read what: it finds the
// credential of a request, has it judged by a Reviewer, and remembers the
// judgement for a while.
//
// It knows no Kubernetes (gateway/cluster is a Reviewer), no route and no
// event. It never keeps, returns or logs a token: what it remembers is filed
// under a SHA-256 of it. It is called by gateway/transport.
package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Why a request is refused. Callers branch on these with errors.Is.
var (
	ErrUnauthenticated = errors.New("no valid credential")      // 401
	ErrDenied          = errors.New("not allowed to publish")   // 403
	ErrUnavailable     = errors.New("credential not checkable") // 503; never open on failure
)

// Review is a Reviewer's judgement of one token.
type Review struct {
	Subject       string // of an authenticated token
	Authenticated bool   // the token is genuine, unexpired and made for one of the audiences
	Allowed       bool   // and its subject may publish to this gateway
}

// Reviewer judges tokens. An error means that there is no judgement, not that
// the token is bad.
type Reviewer interface {
	Review(ctx context.Context, token string, audiences []string) (Review, error)
}

// Publishers says who may publish, in the shape of the hot config's group.
type Publishers struct {
	Mode      string        // ModeKubernetes or ModeAnonymous
	Audiences []string      // that tokens must be made for
	CacheTTL  time.Duration // how long a positive review is reused
}

// Values of Publishers.Mode.
const (
	ModeKubernetes = "Kubernetes"
	ModeAnonymous  = "Anonymous"
)

const (
	maxTokenBytes = 16 << 10
	reviewTimeout = 5 * time.Second
	maxReviews    = 32 // in flight, so that a flood of made-up tokens cannot flood the reviewer
)

// Publisher authenticates publish requests. It is safe for concurrent use.
type Publisher struct {
	reviewer Reviewer
	tuning   atomic.Pointer[Publishers]
	cache    cache
	flights  flights
	slots    chan struct{}
	counts   counters
}

// Counts are the answers given so far.
type Counts struct{ Allowed, Unauthenticated, Denied, Unavailable uint64 }

type counters struct{ allowed, unauthenticated, denied, unavailable atomic.Uint64 }

// New makes a Publisher. A nil reviewer makes every token uncheckable; that is
// enough for ModeAnonymous.
func New(reviewer Reviewer, p Publishers) *Publisher {
	a := &Publisher{reviewer: reviewer, slots: make(chan struct{}, maxReviews)}
	a.Tune(p)
	return a
}

// Tune takes over new rules from the next request on. Judgements made for
// other audiences are not reused.
func (a *Publisher) Tune(p Publishers) { a.tuning.Store(&p) }

// Counts returns the answers given so far.
func (a *Publisher) Counts() Counts {
	return Counts{a.counts.allowed.Load(), a.counts.unauthenticated.Load(), a.counts.denied.Load(), a.counts.unavailable.Load()}
}

// Authenticate finds out who wants to publish. The error is one of
// ErrUnauthenticated, ErrDenied and ErrUnavailable, with the reason.
func (a *Publisher) Authenticate(r *http.Request) (*Principal, error) {
	p, err := a.authenticate(r)
	switch {
	case err == nil:
		a.counts.allowed.Add(1)
	case errors.Is(err, ErrUnauthenticated):
		a.counts.unauthenticated.Add(1)
	case errors.Is(err, ErrDenied):
		a.counts.denied.Add(1)
	default:
		a.counts.unavailable.Add(1)
	}
	return p, err
}

func (a *Publisher) authenticate(r *http.Request) (*Principal, error) {
	tuning := a.tuning.Load()
	if tuning.Mode == ModeAnonymous {
		return publisher(""), nil
	}
	token, err := bearer(r.Header)
	if err != nil {
		return nil, err
	}
	if a.reviewer == nil {
		return nil, fmt.Errorf("%w: this gateway runs without an API server to ask", ErrUnavailable)
	}
	review, err := a.judge(r.Context(), token, tuning)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case !review.Authenticated:
		return nil, fmt.Errorf("%w: the token is not valid for the audiences of this gateway (%s)",
			ErrUnauthenticated, strings.Join(tuning.Audiences, ", "))
	case !review.Allowed:
		return nil, fmt.Errorf("%w: %s needs the verb create on streamgateways/publish", ErrDenied, review.Subject)
	}
	return publisher(review.Subject), nil
}

// publisher may publish everything, and nothing narrows it: the right that the
// API server knows has no channels.
func publisher(subject string) *Principal {
	return &Principal{Subject: subject, Pub: everything(), Metrics: true, Flush: true}
}

// judge answers from memory while a judgement is fresh, else asks; when the
// reviewer is away, an older judgement stands for up to staleLimit.
func (a *Publisher) judge(ctx context.Context, token string, tuning *Publishers) (Review, error) {
	k := keyOf(token, tuning.Audiences)
	old, known := a.cache.get(k)
	if known && old.fresh(time.Now(), tuning.CacheTTL) {
		return old.review, nil
	}
	review, err := a.flights.do(ctx, k, func() (Review, error) {
		return a.ask(context.WithoutCancel(ctx), k, token, tuning.Audiences)
	})
	if err != nil && known && time.Since(old.at) < staleLimit {
		a.cache.postpone(k)
		return old.review, nil
	}
	return review, err
}

func (a *Publisher) ask(ctx context.Context, k key, token string, audiences []string) (Review, error) {
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return Review{}, errors.New("too many tokens wait for review")
	}
	review, err := a.reviewer.Review(ctx, token, audiences)
	if err == nil {
		a.cache.put(k, review)
	}
	return review, err
}

// bearer finds the token of the Authorization header.
func bearer(h http.Header) (string, error) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return "", fmt.Errorf("%w: send Authorization: Bearer with a service account token", ErrUnauthenticated)
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimLeft(token, " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || !plausible(token) {
		return "", fmt.Errorf("%w: the Authorization header is not one Bearer token", ErrUnauthenticated)
	}
	return token, nil
}

// plausible holds a token against the syntax of RFC 6750, so that garbage never
// reaches the reviewer.
func plausible(token string) bool {
	token = strings.TrimRight(token, "=")
	if token == "" || len(token) > maxTokenBytes {
		return false
	}
	for _, c := range []byte(token) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~', c == '+', c == '/':
		default:
			return false
		}
	}
	return true
}

// keyOf files a judgement under the token and what it was judged for.
func keyOf(token string, audiences []string) key {
	h := sha256.New()
	for _, a := range audiences {
		fmt.Fprintf(h, "%d:%s", len(a), a)
	}
	h.Write([]byte{0})
	h.Write([]byte(token))
	return key(h.Sum(nil))
}
