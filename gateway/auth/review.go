package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	reviewTimeout = 5 * time.Second
	maxReviews    = 32 // in flight, so that a flood of made-up tokens cannot flood the reviewer
)

// reviews has Kubernetes tokens judged for one right.
type reviews struct {
	reviewer Reviewer // nil = there is nobody to ask
	right    string
	cache    cache
	flights  flights
	slots    chan struct{}
}

func newReviews(reviewer Reviewer, right string) reviews {
	return reviews{reviewer: reviewer, right: right, slots: make(chan struct{}, maxReviews)}
}

// ask gives the judgement of a token that has the right. The error is one of
// ErrUnauthenticated, ErrDenied and ErrUnavailable, with the reason.
func (a *reviews) ask(ctx context.Context, token string, audiences []string, ttl time.Duration) (Review, error) {
	if a.reviewer == nil {
		return Review{}, fmt.Errorf("%w: this gateway runs without an API server to ask", ErrUnavailable)
	}
	review, err := a.judge(ctx, token, audiences, ttl)
	switch {
	case err != nil:
		return Review{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case !review.Authenticated:
		return Review{}, fmt.Errorf("%w: the token is not valid for the audiences of this gateway (%s)",
			ErrUnauthenticated, strings.Join(audiences, ", "))
	case !review.Allowed:
		return Review{}, fmt.Errorf("%w: %s needs the verb create on streamgateways/%s", ErrDenied, review.Subject, a.right)
	case review.expired():
		return Review{}, fmt.Errorf("%w: %w", ErrUnauthenticated, ErrExpired)
	}
	return review, nil
}

func (r Review) expired() bool { return !r.Expires.IsZero() && !time.Now().Before(r.Expires) }

// judge answers from memory while a judgement is fresh, else asks; when the
// reviewer is away, an older judgement stands for up to staleLimit.
func (a *reviews) judge(ctx context.Context, token string, audiences []string, ttl time.Duration) (Review, error) {
	k := keyOf(token, audiences)
	old, known := a.cache.get(k)
	if known && old.fresh(time.Now(), ttl) {
		return old.review, nil
	}
	review, err := a.flights.do(ctx, k, func() (Review, error) {
		return a.send(context.WithoutCancel(ctx), k, token, audiences)
	})
	if err != nil && known && time.Since(old.at) < staleLimit {
		a.cache.postpone(k)
		return old.review, nil
	}
	return review, err
}

func (a *reviews) send(ctx context.Context, k key, token string, audiences []string) (Review, error) {
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return Review{}, errors.New("too many tokens wait for review")
	}
	review, err := a.reviewer.Review(ctx, token, audiences, a.right)
	if err == nil {
		review.Expires = expiryOf(token)
		a.cache.put(k, review)
	}
	return review, err
}

// expiryOf reads when a service account's token expires, zero when it does not
// say. The reviewer has verified what it says.
func expiryOf(token string) (at time.Time) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return at
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Expires int64 `json:"exp"`
	}
	if err == nil && json.Unmarshal(payload, &claims) == nil && claims.Expires > 0 {
		at = time.Unix(claims.Expires, 0)
	}
	return at
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
