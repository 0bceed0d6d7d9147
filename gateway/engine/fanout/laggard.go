package fanout

import (
	"cmp"
	"slices"
	"time"
)

// Laggard is a stream that is behind.
type Laggard struct {
	Identity
	Gzip          bool
	Subscriptions int
	Age           time.Duration // since it was opened
	LagEvents     uint64
	LagBytes      uint64
	Lag           time.Duration // age of the oldest event that its socket has not taken
	Share         float64       // lag ÷ limit of Queue, by the nearest: 1 = the limit
}

// Laggards lists the n streams that are nearest to a limit of Queue, worst
// first, in O(streams).
func (f *Fanout) Laggards(n int) (worst []Laggard) {
	for _, l := range f.loops {
		l.call(func() {
			l.now = l.f.now()
			for _, s := range l.streams {
				if behind := l.lag(s); behind != (lag{}) && !s.group.key.own() {
					worst = append(worst, l.laggard(s, behind))
				}
			}
		})
		slices.SortFunc(worst, func(a, b Laggard) int {
			return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.SID, b.SID))
		})
		worst = worst[:min(n, len(worst))]
	}
	return worst
}

func (l *loop) laggard(s *Stream, behind lag) Laggard {
	return Laggard{
		Identity: s.id, Gzip: s.gzip != nil, Subscriptions: s.group.subs.Len(), Age: time.Duration(l.now - s.born),
		LagEvents: behind.events, LagBytes: behind.bytes, Lag: behind.age, Share: behind.share(&l.tuning.Queue),
	}
}
