package fanout

import (
	"slices"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// TestSegmentsFitTheirCursorAndTheirBudget holds the cache against a list that
// forgets nothing.
func TestSegmentsFitTheirCursorAndTheirBudget(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := segments{budget: rapid.IntRange(1, 400).Draw(rt, "budget"), sum: &atomic.Int64{}}
		groups := []*group{{}, {gzips: 1}}
		kept := map[*group][]*block{}
		now := int64(0)
		rt.Repeat(map[string]func(*rapid.T){
			"keep": func(rt *rapid.T) {
				g := groups[rapid.IntRange(0, 1).Draw(rt, "group")]
				from := rapid.Uint64Range(0, 30).Draw(rt, "from")
				b := &block{from: from, first: from + rapid.Uint64Range(1, 5).Draw(rt, "gap")}
				b.last = b.first + rapid.Uint64Range(0, 9).Draw(rt, "long")
				b.bytes = make([]byte, rapid.IntRange(1, 100).Draw(rt, "bytes"))
				c.keep(g, b, now)
				kept[g] = append(kept[g], b)
				if got := c.find(g, b.first-1, now); got != b {
					rt.Fatalf("kept %+v, found %+v", b, got)
				}
			},
			"find": func(rt *rapid.T) {
				g := groups[rapid.IntRange(0, 1).Draw(rt, "group")]
				cursor := rapid.Uint64Range(0, 40).Draw(rt, "cursor")
				b := c.find(g, cursor, now)
				if b == nil {
					return
				}
				if !b.fits(cursor) {
					rt.Fatalf("%+v does not fit %d", b, cursor)
				}
				if !slices.Contains(kept[g], b) {
					rt.Fatalf("%+v is not of this group", b)
				}
			},
			"expire": func(*rapid.T) {
				now += 10
				c.expire(now - 20)
			},
			"forget": func(rt *rapid.T) { c.forget(groups[rapid.IntRange(0, 1).Draw(rt, "group")]) },
			"": func(rt *rapid.T) {
				sum, n := 0, 0
				for _, g := range groups {
					for i, s := range g.segments {
						sum += s.bytes
						n++
						if i > 0 && g.segments[i-1].block.first >= s.block.first {
							rt.Fatalf("out of order at %d", i)
						}
						if s.used < now-20-10 {
							rt.Fatalf("kept since %d, now %d", s.used, now)
						}
					}
				}
				if sum != c.bytes || int64(sum) != c.sum.Load() || n != c.order.Len() || c.bytes > c.budget && n > 1 {
					rt.Fatalf("%d bytes in %d segments, counted %d in %d, budget %d", sum, n, c.bytes, c.order.Len(), c.budget)
				}
			},
		})
	})
}
