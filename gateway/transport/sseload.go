package transport

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	minRetry = 2 * time.Second
	maxRetry = 30 * time.Second // twice that at most, with the jitter
	// refusalsPerSecond that this many clients may cause when they come back.
	refusalsPerSecond = 100
)

// load spreads refused clients: the more there are, the later they come back,
// so that refusals stay at about refusalsPerSecond.
type load struct {
	second  atomic.Int64 // that recent counts for
	recent  atomic.Int64
	waiting atomic.Int64 // estimate of clients that are going to come back
}

// retry counts a refusal and draws when that client should try again:
// uniform in [R, 2R], R from 2 s to 30 s.
func (l *load) retry() time.Duration {
	r := l.base(time.Now().Unix())
	return r + rand.N(r+1)
}

func (l *load) base(second int64) time.Duration {
	if old := l.second.Load(); old != second && l.second.CompareAndSwap(old, second) {
		// Forget half of it every second: who was refused long ago is back, or gone.
		idle := min(second-old, 62)
		l.waiting.Store(l.waiting.Load()>>idle + l.recent.Swap(0))
	}
	waiting := l.waiting.Load() + l.recent.Add(1)
	r := time.Duration(waiting) * time.Second / refusalsPerSecond
	return min(max(r, minRetry), maxRetry)
}
