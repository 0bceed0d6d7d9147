package fanout

import (
	"slices"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// scan matches new records against groups, about scanTurn of them, and then
// closes the batches of quiet groups.
func (l *loop) scan() {
	for budget := scanTurn; len(l.news) > 0 && budget > 0; {
		a := l.news[0]
		if a.last > l.seen {
			upto, hole := min(a.last, l.seen+uint64(budget)), l.f.opts.Ring.Hole()
			if hole > l.seen {
				upto = min(upto, hole)
			}
			budget -= int(upto - l.seen)
			l.match(upto, a.at)
			if hole > l.hole && hole <= l.seen {
				l.tellHole(hole)
			}
		}
		if l.seen >= a.last {
			l.marks.add(a, int64(l.tuning.Queue.MaxLag))
			l.news = slices.Delete(l.news, 0, 1)
			l.settle()
		}
	}
	if l.seen-l.checked >= checkpointEvery/2 {
		l.checkpoint()
	}
}

// match gives the records up to a position to their groups.
func (l *loop) match(upto uint64, arrived int64) {
	err := l.f.opts.Ring.Each(l.seen, upto, func(e *wire.Element) bool {
		for _, g := range l.routes.of(e.Channel) {
			l.take(g, e, arrived)
		}
		l.seen = e.Seq
		return true
	})
	if err != nil {
		l.overrun()
		return
	}
	l.seen = upto
}

// overrun goes on after the log dropped records before this loop saw them,
// which takes a log with bounds far below what is published in one turn. Every
// stream is behind then, and finds out by the proof what it has lost.
func (l *loop) overrun() {
	l.seen = max(l.seen, l.f.opts.Ring.First()-1)
	for _, g := range l.groups {
		l.flush(g, causeBytes)
		l.wakeAll(g)
		g.last = max(g.last, l.seen)
		for _, s := range g.members {
			l.queue(s)
		}
	}
}

// checkpointEvery is how many events the log may move without one for a
// client before its cursor is brought up to date.
const checkpointEvery = 1000

// checkpoint keeps the cursors of quiet groups young. It runs twice as often
// as it must, so that no group waits longer.
func (l *loop) checkpoint() {
	l.checked = l.seen
	for _, g := range l.groups {
		if !g.key.poll && len(g.pending) == 0 && l.seen-g.last >= checkpointEvery/2 {
			l.publish(g, &block{
				from: g.last, first: l.seen, last: l.seen, bytes: wire.AppendCheckpoint(nil, l.f.at(l.seen)),
			})
		}
	}
}

// routes tell which groups of a loop get a channel's events.
type routes struct {
	exact    map[string][]*group
	patterns []*group
	// cache holds answers that took patterns into account. It is dropped when
	// a group comes or goes, and when it is full.
	cache map[string][]*group
}

const maxRoutesCached = 1 << 16

func newRoutes() routes {
	return routes{exact: map[string][]*group{}, cache: map[string][]*group{}}
}

// of gives the groups that get a channel's events.
func (r *routes) of(channel string) []*group {
	if len(r.patterns) == 0 {
		return r.exact[channel]
	}
	if found, ok := r.cache[channel]; ok {
		return found
	}
	found := slices.Clone(r.exact[channel])
	for _, g := range r.patterns {
		if g.subs.Match(channel) && !slices.Contains(found, g) {
			found = append(found, g)
		}
	}
	if len(r.cache) >= maxRoutesCached {
		clear(r.cache)
	}
	r.cache[channel] = found
	return found
}

func (r *routes) add(g *group) {
	for _, name := range g.subs.Exact() {
		r.exact[name] = append(r.exact[name], g)
	}
	if len(g.subs.Patterns()) > 0 {
		r.patterns = append(r.patterns, g)
	}
	clear(r.cache)
}

func (r *routes) remove(g *group) {
	same := func(other *group) bool { return other == g }
	for _, name := range g.subs.Exact() {
		if left := slices.DeleteFunc(r.exact[name], same); len(left) > 0 {
			r.exact[name] = left
		} else {
			delete(r.exact, name)
		}
	}
	r.patterns = slices.DeleteFunc(r.patterns, same)
	clear(r.cache)
}

// arrival is when records became known in this pod.
type arrival struct {
	first, last uint64
	at          int64 // nanoseconds since Fanout.start
}

// maxMarks bounds marks; they reach back over twice the longest lag allowed.
const maxMarks = 1024

// marks remember when the log was where: sparsely, yet enough to tell how old
// the next event of a client is that is far behind.
type marks struct {
	ring [maxMarks]arrival
	head int // index of the oldest
	n    int
}

// add notes an arrival, unless the last one is too near for a memory that
// reaches back over twice this span.
func (m *marks) add(a arrival, span int64) {
	if m.n > 0 && a.at-m.get(m.n-1).at < 2*span/maxMarks {
		return
	}
	if m.n == maxMarks {
		m.head = (m.head + 1) % maxMarks
		m.n--
	}
	m.ring[(m.head+m.n)%maxMarks] = a
	m.n++
}

func (m *marks) get(i int) *arrival { return &m.ring[(m.head+i)%maxMarks] }

// at gives when the record seq arrived: exactly, or too early by the distance
// of two marks. For what is older than memory reaches it gives the oldest
// time known, 0 when there is none.
func (m *marks) at(seq uint64) int64 {
	low, high := 0, m.n // find the first mark that ends at seq or above
	for low < high {
		mid := (low + high) / 2
		if m.get(mid).last < seq {
			low = mid + 1
		} else {
			high = mid
		}
	}
	switch {
	case m.n == 0:
		return 0
	case low < m.n && m.get(low).first <= seq:
		return m.get(low).at
	}
	return m.get(max(low-1, 0)).at
}
