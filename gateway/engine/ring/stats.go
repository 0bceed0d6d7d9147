package ring

import "time"

// Stats tells what the ring holds. Counters grow from its start. Events and
// channels of the gateway itself are not counted, but for their bytes.
type Stats struct {
	First, Head    uint64
	Events         int
	Bytes          int64         // memory of events, used or reserved
	Held           time.Duration // age of the oldest event, by arrival, and of what else shares its chunk
	Short          bool          // events younger than the TTL had to go for lack of memory
	Channels       int
	Evictions      uint64 // runs of Evict
	EvictedAge     uint64 // events
	EvictedBytes   uint64 // events
	EvictedMemory  uint64 // events, by Squeeze
	FoldedChannels uint64 // channels forgotten
}

// Stats reads all of it at one moment.
func (r *Ring) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Since(r.start)
	s := Stats{
		First: r.First(), Head: r.Head(),
		Bytes:          r.bytes,
		Short:          r.shortAt >= 0 && now-r.shortAt < r.tuning.Load().TTL,
		Channels:       r.table.len() - r.table.own,
		Evictions:      r.counts.evictions,
		EvictedAge:     r.counts.evictedEvents[causeAge],
		EvictedBytes:   r.counts.evictedEvents[causeBytes],
		EvictedMemory:  r.counts.evictedEvents[causeMemory],
		FoldedChannels: r.counts.folded,
	}
	s.Events = int(s.Head+1-s.First) - r.own
	for _, c := range *r.dir.Load() {
		if int(c.n.Load()) > c.own {
			s.Held = now - c.opened
			break
		}
	}
	return s
}
