package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// reviewer answers from a table and counts what it was asked.
type reviewer struct {
	answers map[string]Review
	delay   time.Duration
	down    atomic.Bool
	asked   atomic.Int64
	running atomic.Int64
	most    atomic.Int64
	right   atomic.Pointer[string] // asked about last
}

func (r *reviewer) Review(ctx context.Context, token string, _ []string, right string) (Review, error) {
	r.right.Store(&right)
	r.asked.Add(1)
	r.most.Store(max(r.most.Load(), r.running.Add(1)))
	defer r.running.Add(-1)
	select {
	case <-time.After(r.delay):
	case <-ctx.Done():
		return Review{}, ctx.Err()
	}
	if r.down.Load() {
		return Review{}, errors.New("connection refused")
	}
	return r.answers[token], nil
}

var tuning = Publishers{Mode: ModeKubernetes, Audiences: []string{"streamgateway.io"}, CacheTTL: 10 * time.Second}

func request(token string) *http.Request {
	r := (&http.Request{Header: http.Header{}}).WithContext(context.Background())
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func newReviewer() *reviewer {
	return &reviewer{answers: map[string]Review{
		"good":   {Subject: "system:serviceaccount:shop:till", Authenticated: true, Allowed: true},
		"reader": {Subject: "system:serviceaccount:shop:reader", Authenticated: true},
	}}
}

func TestOnlyAReviewedTokenMayPublish(t *testing.T) {
	cases := map[string]struct {
		header []string
		want   error
	}{
		"a token with the right":    {[]string{"Bearer good"}, nil},
		"scheme in any case":        {[]string{"bearer good"}, nil},
		"no header":                 {nil, ErrUnauthenticated},
		"an empty token":            {[]string{"Bearer "}, ErrUnauthenticated},
		"another scheme":            {[]string{"Basic Z29vZA=="}, ErrUnauthenticated},
		"two headers":               {[]string{"Bearer good", "Bearer good"}, ErrUnauthenticated},
		"a token with blanks":       {[]string{"Bearer good good"}, ErrUnauthenticated},
		"a token of control bytes":  {[]string{"Bearer go\x00od"}, ErrUnauthenticated},
		"a token too long to be":    {[]string{"Bearer " + strings.Repeat("a", maxTokenBytes+1)}, ErrUnauthenticated},
		"an unknown token":          {[]string{"Bearer forged"}, ErrUnauthenticated},
		"a token without the right": {[]string{"Bearer reader"}, ErrDenied},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := request("")
			r.Header["Authorization"] = c.header
			p, err := New(newReviewer(), tuning).Authenticate(r)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err == nil && p.Subject != "system:serviceaccount:shop:till" {
				t.Errorf("subject %q", p.Subject)
			}
			if err != nil && (p != nil || strings.Contains(err.Error(), "good") || strings.Contains(err.Error(), "forged")) {
				t.Errorf("refusal gives away too much: %+v, %v", p, err)
			}
		})
	}
}

func TestAnonymousModeAsksNobody(t *testing.T) {
	rv := newReviewer()
	if _, err := New(rv, Publishers{Mode: ModeAnonymous}).Authenticate(request("")); err != nil || rv.asked.Load() != 0 {
		t.Errorf("got %v after %d reviews", err, rv.asked.Load())
	}
}

func TestAGatewayWithoutReviewerRefusesEveryToken(t *testing.T) {
	if _, err := New(nil, tuning).Authenticate(request("good")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestJudgementsAreReusedForTheirTime(t *testing.T) {
	cases := []struct {
		token string
		ttl   time.Duration
		want  error
	}{
		{"good", 10 * time.Second, nil},
		{"reader", 5 * time.Second, ErrDenied},
		{"forged", 5 * time.Second, ErrUnauthenticated},
	}
	for _, c := range cases {
		synctest.Test(t, func(t *testing.T) {
			rv := newReviewer()
			a := New(rv, tuning)
			check := func(asked int64) {
				t.Helper()
				if _, err := a.Authenticate(request(c.token)); !errors.Is(err, c.want) {
					t.Errorf("%s: got %v, want %v", c.token, err, c.want)
				}
				if n := rv.asked.Load(); n != asked {
					t.Errorf("%s: asked %d times, want %d", c.token, n, asked)
				}
			}
			check(1)
			time.Sleep(c.ttl - time.Millisecond)
			check(1)
			time.Sleep(time.Millisecond)
			check(2)
		})
	}
}

func TestARevokedRightEndsAfterTheCacheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rv := newReviewer()
		a := New(rv, tuning)
		if _, err := a.Authenticate(request("good")); err != nil {
			t.Fatal(err)
		}
		delete(rv.answers, "good")
		time.Sleep(tuning.CacheTTL)
		if _, err := a.Authenticate(request("good")); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("got %v", err)
		}
	})
}

func TestKnownTokensOutliveTheReviewerForTenMinutesAndNewOnesDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rv := newReviewer()
		a := New(rv, tuning)
		for _, token := range []string{"good", "reader"} {
			_, _ = a.Authenticate(request(token))
		}
		rv.down.Store(true)
		time.Sleep(staleLimit - time.Second)
		if _, err := a.Authenticate(request("good")); err != nil {
			t.Errorf("known token: %v", err)
		}
		asked := rv.asked.Load()
		if _, err := a.Authenticate(request("good")); err != nil || rv.asked.Load() != asked {
			t.Errorf("asked again at once (%v)", err)
		}
		if _, err := a.Authenticate(request("reader")); !errors.Is(err, ErrDenied) {
			t.Errorf("a known refusal became %v", err)
		}
		if _, err := a.Authenticate(request("new")); !errors.Is(err, ErrUnavailable) {
			t.Errorf("new token: %v", err)
		}
		time.Sleep(2 * time.Second)
		if _, err := a.Authenticate(request("good")); !errors.Is(err, ErrUnavailable) {
			t.Errorf("after ten minutes: %v", err)
		}
		rv.down.Store(false)
		if _, err := a.Authenticate(request("good")); err != nil {
			t.Errorf("with the reviewer back: %v", err)
		}
	})
}

func TestEqualTokensShareOneReview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rv := newReviewer()
		rv.delay = time.Second
		a := New(rv, tuning)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := a.Authenticate(request("good")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := rv.asked.Load(); n != 1 {
			t.Errorf("%d reviews", n)
		}
	})
}

func TestACallerThatLeavesDoesNotSpoilTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rv := newReviewer()
		rv.delay = time.Second
		a := New(rv, tuning)
		ctx, cancel := context.WithCancel(context.Background())
		go func() { _, _ = a.Authenticate(request("good").WithContext(ctx)) }()
		synctest.Wait()
		cancel()
		if _, err := a.Authenticate(request("good")); err != nil {
			t.Error(err)
		}
	})
}

func TestMadeUpTokensFloodNeitherReviewerNorMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rv := newReviewer()
		rv.delay = time.Millisecond
		a := New(rv, tuning)
		_, _ = a.Authenticate(request("good"))
		var wg sync.WaitGroup
		for i := range maxRemembered + 500 {
			wg.Go(func() { _, _ = a.Authenticate(request(fmt.Sprintf("forged-%d", i))) })
		}
		wg.Wait()
		if most := rv.most.Load(); most > maxReviews {
			t.Errorf("%d reviews at once", most)
		}
		if n := len(a.reviews.cache.negative); n > maxRemembered {
			t.Errorf("%d refusals remembered", n)
		}
		asked := rv.asked.Load()
		if _, err := a.Authenticate(request("good")); err != nil || rv.asked.Load() != asked {
			t.Errorf("the real publisher was forgotten (%v)", err)
		}
	})
}

func TestOtherAudiencesNeedAnotherReview(t *testing.T) {
	rv := newReviewer()
	a := New(rv, tuning)
	_, _ = a.Authenticate(request("good"))
	a.Tune(Publishers{Mode: ModeKubernetes, Audiences: []string{"elsewhere"}, CacheTTL: 10 * time.Second})
	_, _ = a.Authenticate(request("good"))
	if n := rv.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

func TestAnswersAreCounted(t *testing.T) {
	rv := newReviewer()
	a := New(rv, tuning)
	for _, token := range []string{"good", "good", "reader", "forged", ""} {
		_, _ = a.Authenticate(request(token))
	}
	rv.down.Store(true)
	_, _ = a.Authenticate(request("other"))
	if got, want := a.Counts(), (Counts{Kubernetes: Results{Allowed: 2, Denied: 1, Unauthenticated: 2, Unavailable: 1}}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
