package engine

import (
	"cmp"
	"slices"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Activity is how busy one channel was.
type Activity struct {
	Channel string
	Events  int
	Newest  time.Time // by the log's clock
}

// maxActivityEvents bounds what Activity looks at.
const maxActivityEvents = 10_000

// Activity lists the n busiest channels of clients, busiest first, and the time
// that they were watched for: what is kept of the last span, or what the newest
// 10,000 events took when that is less.
func (e *Engine) Activity(span time.Duration, n int) ([]Activity, time.Duration) {
	now, head := time.Now(), e.ring.Head()
	after := max(e.ring.First(), 1) - 1
	if head > maxActivityEvents && head-maxActivityEvents > after {
		after = head - maxActivityEvents
		if first, ok := e.ring.Get(after + 1); ok {
			span = min(span, max(now.Sub(time.UnixMilli(first.Time)), time.Millisecond))
		}
	}
	since, byChannel := now.Add(-span).UnixMilli(), map[string]Activity{}
	// An error says that the oldest of them have just been evicted: what was
	// counted by then is as good as it gets.
	_ = e.ring.Each(after, head, func(el *wire.Element) bool {
		if el.Time >= since && !wire.Own(el.Channel) {
			a := byChannel[el.Channel]
			byChannel[el.Channel] = Activity{el.Channel, a.Events + 1, time.UnixMilli(el.Time)}
		}
		return true
	})
	var busiest []Activity
	for _, a := range byChannel {
		busiest = append(busiest, a)
	}
	slices.SortFunc(busiest, func(a, b Activity) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), cmp.Compare(a.Channel, b.Channel))
	})
	return busiest[:min(n, len(busiest))], span
}
