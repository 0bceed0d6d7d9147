package ring

import "time"

const (
	// maxChannels bounds the channels remembered without an event in the ring.
	maxChannels = 1 << 20
	// pagesPerSweep bounds the channels looked at under one hold of the lock.
	pagesPerSweep = 4
	// sweepsPerEvict bounds the work of one Evict.
	sweepsPerEvict = 32
	// idleTTLs is how long, in TTLs, a channel without events is remembered.
	idleTTLs = 2
)

type cause uint8

const (
	causeAge cause = iota
	causeBytes
	causeMemory // of the whole process, not of what the ring may have

	causes = iota
)

// counts are cumulative; guarded by Ring.mu.
type counts struct {
	evictions     uint64 // calls of Evict
	evictedEvents [causes]uint64
	folded        uint64
}

// Evict lets events go that are too old or too many and forgets channels that
// have been idle for long. The engine's janitor calls it every second; now is
// on the monotonic clock. Each hold of the lock is short.
func (r *Ring) Evict(now time.Time) {
	at := now.Sub(r.start)
	for r.evictOne(at) {
	}
	r.mu.Lock()
	r.counts.evictions++
	r.mu.Unlock()
	for range sweepsPerEvict {
		if wrapped := r.fold(at); wrapped {
			return
		}
	}
}

// Squeeze bounds the ring below Replay.MaxBytes, in bytes, because memory is
// short elsewhere; 0 ends that. It acts on the next append or Evict.
func (r *Ring) Squeeze(bytes int64) { r.squeeze.Store(bytes) }

// limit is how many bytes the ring may have now, and why not more.
func (r *Ring) limit(t *Replay) (bytes int64, why cause) {
	if squeeze := r.squeeze.Load(); squeeze > 0 && squeeze < t.MaxBytes {
		return squeeze, causeMemory
	}
	return t.MaxBytes, causeBytes
}

// evictOne drops the oldest chunk if it has to go.
func (r *Ring) evictOne(now time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	dir, t := *r.dir.Load(), r.tuning.Load()
	limit, why := r.limit(t)
	switch {
	case len(dir) == 0:
		return false
	case now-dir[0].newest >= t.TTL:
		r.drop(1, causeAge)
		return true
	case r.bytes > limit && len(dir) > 1:
		r.drop(1, why)
		return true
	}
	return false
}

// drop takes the n oldest chunks out. First it says what will be missing, then
// it lets go: a reader can so see a needless loss, but never a false proof.
// The caller holds mu.
func (r *Ring) drop(n int, why cause) {
	if n == 0 {
		return
	}
	dir := *r.dir.Load()
	for _, c := range dir[:n] {
		count := uint64(c.n.Load())
		if count > 0 {
			r.evicted.Store(c.base + count - 1)
		}
		for i := range c.entries[:count] {
			r.table.byID(c.entries[i].channel).evicted.Store(c.base + uint64(i))
		}
		r.bytes -= c.bytes()
		r.own -= c.own
		clients := count - uint64(c.own)
		r.counts.evictedEvents[why] += clients
		if why != causeAge && clients > 0 {
			r.shortAt = c.newest
		}
	}
	rest := make([]*chunk, len(dir)-n)
	copy(rest, dir[n:])
	r.dir.Store(&rest)
}

// fold forgets idle channels of the next pages and tells whether it has come
// round to the first page again.
func (r *Ring) fold(now time.Duration) (wrapped bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pages := *r.table.pages.Load()
	// The bound is on memory: above it, idle channels go at once.
	idle := idleTTLs * r.tuning.Load().TTL
	if len(r.table.byName) > maxChannels {
		idle = 0
	}
	gone := r.evicted.Load()
	for looked := 0; looked < pagesPerSweep; r.sweep++ {
		if r.sweep >= len(pages) {
			r.sweep = 0
			return true
		}
		if p := pages[r.sweep]; p != nil {
			r.foldPage(p, now-idle, gone)
			looked++
		}
	}
	return false
}

// foldPage forgets the channels of a page that were last used at or before a
// time and have no event above gone.
func (r *Ring) foldPage(p *page, usedBefore time.Duration, gone uint64) {
	var idle []*channel
	kept := 0
	for i := range p {
		switch ch := p[i].Load(); {
		case ch == nil:
		case ch.used > usedBefore, ch.last.Load() > gone:
			kept++
		default:
			r.floors.raise(ch.name, ch.evicted.Load())
			idle = append(idle, ch)
		}
	}
	if len(idle) > 0 {
		r.table.forget(idle)
		r.counts.folded += uint64(len(idle))
	}
	if kept == 0 {
		r.table.dropPage(r.sweep)
	}
}
