package transport

import (
	"maps"
	"sync"
)

// tally counts by word: the kind of a problem, or a result. Words are those of
// this program, never a client's, so there are few of them.
type tally struct {
	mu     sync.Mutex
	counts map[string]uint64
}

func (t *tally) add(word string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]uint64{}
	}
	t.counts[word]++
}

func (t *tally) all() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.counts)
}
