package auth

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"
)

const (
	negativeTTL   = 5 * time.Second
	staleLimit    = 10 * time.Minute // while the reviewer is away
	retryPause    = time.Second      // between questions about one token while the reviewer is away
	maxRemembered = 4096             // of each kind
)

type key [sha256.Size]byte

type entry struct {
	review  Review
	at      time.Time // when it was judged
	retryAt time.Time // not asked again before this
}

func (e entry) fresh(now time.Time, positiveTTL time.Duration) bool {
	ttl := negativeTTL
	if e.review.Allowed {
		ttl = positiveTTL
	}
	return now.Sub(e.at) < ttl || now.Before(e.retryAt)
}

// cache holds positive and negative judgements apart, each bounded, so that
// made-up tokens cannot push out those of real publishers.
type cache struct {
	mu       sync.Mutex
	positive map[key]entry
	negative map[key]entry
}

func (c *cache) get(k key) (entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.positive[k]; ok {
		return e, true
	}
	e, ok := c.negative[k]
	return e, ok
}

func (c *cache) put(k key, r Review) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.positive == nil {
		c.positive, c.negative = map[key]entry{}, map[key]entry{}
	}
	delete(c.positive, k)
	delete(c.negative, k)
	into := c.negative
	if r.Allowed {
		into = c.positive
	}
	makeRoom(into)
	into[k] = entry{review: r, at: time.Now()}
}

// postpone keeps requests with this token from waiting for a reviewer that has
// just failed.
func (c *cache) postpone(k key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range []map[key]entry{c.positive, c.negative} {
		if e, ok := m[k]; ok {
			e.retryAt = time.Now().Add(retryPause)
			m[k] = e
		}
	}
}

// makeRoom drops what is too old to be used, and when that is not enough any
// one entry: it costs its owner one more review.
func makeRoom(m map[key]entry) {
	if len(m) < maxRemembered {
		return
	}
	for k, e := range m {
		if time.Since(e.at) >= staleLimit {
			delete(m, k)
		}
	}
	for k := range m {
		if len(m) < maxRemembered {
			return
		}
		delete(m, k)
	}
}

// flights lets requests with the same token share one review.
type flights struct {
	mu      sync.Mutex
	running map[key]*flight
}

type flight struct {
	done   chan struct{}
	review Review
	err    error
}

// do runs ask once for all that come while it runs. A caller that gives up
// (its ctx ends) leaves the others waiting.
func (f *flights) do(ctx context.Context, k key, ask func() (Review, error)) (Review, error) {
	f.mu.Lock()
	fl, running := f.running[k]
	if !running {
		fl = &flight{done: make(chan struct{})}
		if f.running == nil {
			f.running = map[key]*flight{}
		}
		f.running[k] = fl
		go f.run(k, fl, ask)
	}
	f.mu.Unlock()
	select {
	case <-fl.done:
		return fl.review, fl.err
	case <-ctx.Done():
		return Review{}, ctx.Err()
	}
}

// has tells whether ask runs already.
func (f *flights) has(k key) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running[k] != nil
}

func (f *flights) run(k key, fl *flight, ask func() (Review, error)) {
	fl.review, fl.err = ask()
	f.mu.Lock()
	delete(f.running, k)
	f.mu.Unlock()
	close(fl.done)
}
