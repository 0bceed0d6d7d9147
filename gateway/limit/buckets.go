package limit

import (
	"hash/maphash"
	"sync"
	"time"
)

// Rate is what one key may use.
type Rate struct {
	PerSecond int // tokens, on the long run; 0 = not limited
	Burst     int // tokens at once, after a quiet time; at least 1
}

// Buckets are token buckets by key, such as a publisher's name or an address.
// A key that has used nothing for a while takes no memory; keys are kept as
// hashes, and no more than maxKeys of them, 4 MB or so. Keys that find no room
// share a bucket with others of their kind, so that a flood of keys never lets
// more in. Make one with NewBuckets.
type Buckets struct {
	start   time.Time
	seed    maphash.Seed
	stripes [64]stripe
}

const (
	maxKeys      = 128 << 10
	maxPerStripe = maxKeys / 64
	// sweepEvery is how often a full stripe is searched for idle keys.
	sweepEvery = time.Second
)

// stripe holds some of the keys.
type stripe struct {
	mu     sync.Mutex
	owed   map[uint64]debt
	spill  debt          // of keys without room
	swept  time.Duration // when, since Buckets.start
	denied uint64
}

// debt is what a key has used and time has not yet paid.
type debt struct {
	tokens float64
	at     time.Duration // since Buckets.start
	free   time.Duration // when all is paid
}

// NewBuckets makes buckets that are all full.
func NewBuckets() *Buckets { return &Buckets{start: time.Now(), seed: maphash.MakeSeed()} }

// Take uses n tokens of a key and returns 0, or uses none and tells how long to
// wait until they are there. More than a burst is granted to a full bucket.
func (b *Buckets) Take(key string, n int, r Rate) time.Duration {
	if r.PerSecond <= 0 {
		return 0
	}
	now, id := time.Since(b.start), maphash.String(b.seed, key)
	s := &b.stripes[id%uint64(len(b.stripes))]
	s.mu.Lock()
	defer s.mu.Unlock()
	d, own := s.find(id, now)
	d.tokens = max(0, d.tokens-(now-d.at).Seconds()*float64(r.PerSecond))
	d.at = now
	wait := time.Duration(0)
	if over := d.tokens + float64(min(n, r.Burst)-r.Burst); over > 0 {
		s.denied++
		wait = max(time.Duration(over/float64(r.PerSecond)*float64(time.Second)), time.Millisecond)
	} else {
		d.tokens += float64(n)
	}
	d.free = now + time.Duration(d.tokens/float64(r.PerSecond)*float64(time.Second))
	if own {
		s.owed[id] = d
	} else {
		s.spill = d
	}
	return wait
}

// Give takes back what a Take used, because something else forbade it.
func (b *Buckets) Give(key string, n int) {
	id := maphash.String(b.seed, key)
	s := &b.stripes[id%uint64(len(b.stripes))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, ok := s.owed[id]; ok {
		d.tokens = max(0, d.tokens-float64(n))
		s.owed[id] = d
	}
}

// Refused counts refusals since the start.
func (b *Buckets) Refused() (sum uint64) {
	for i := range b.stripes {
		s := &b.stripes[i]
		s.mu.Lock()
		sum += s.denied
		s.mu.Unlock()
	}
	return sum
}

// Keys counts keys that take memory.
func (b *Buckets) Keys() (sum int) {
	for i := range b.stripes {
		s := &b.stripes[i]
		s.mu.Lock()
		sum += len(s.owed)
		s.mu.Unlock()
	}
	return sum
}

// Sweep forgets keys that owe nothing. It is called from time to time.
func (b *Buckets) Sweep() {
	now := time.Since(b.start)
	for i := range b.stripes {
		s := &b.stripes[i]
		s.mu.Lock()
		s.sweep(now)
		s.mu.Unlock()
	}
}

// find gives a key's debt and tells whether it is the key's own. mu is held.
func (s *stripe) find(id uint64, now time.Duration) (d debt, own bool) {
	if d, own = s.owed[id]; own {
		return d, true
	}
	if len(s.owed) >= maxPerStripe && now-s.swept >= sweepEvery {
		s.sweep(now)
	}
	if len(s.owed) >= maxPerStripe {
		return s.spill, false
	}
	if s.owed == nil {
		s.owed = map[uint64]debt{}
	}
	return debt{at: now}, true
}

// sweep drops who owes nothing any more. mu is held.
func (s *stripe) sweep(now time.Duration) {
	s.swept = now
	for id, d := range s.owed {
		if d.free <= now {
			delete(s.owed, id)
		}
	}
	if len(s.owed) == 0 {
		s.owed = nil // a map never shrinks
	}
}
