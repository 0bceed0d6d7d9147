package fanout

import "time"

// WaitingStats is a state: deliveries that no write has been tried for, since
// their batch is not closed. Latencies are counted at the end of a write, so
// what comes late is in none of them until it has come.
type WaitingStats struct {
	Events uint64   // summed over streams
	Counts []uint64 // writes to come, by Options.Bucket of the age of their oldest event
}

// waiting adds what clients' groups hold back.
func (l *loop) waiting(sum *WaitingStats) {
	for _, g := range l.groups {
		if len(g.pending) == 0 || len(g.members) == 0 || g.key.own() {
			continue
		}
		sum.Events += uint64(len(g.pending)) * uint64(len(g.members))
		sum.Counts[l.f.opts.Bucket(time.Duration(l.now-g.arrived).Seconds())] += uint64(len(g.members))
	}
}
