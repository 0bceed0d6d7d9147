package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// String is the histogram of gaps, and what else was seen.
func (c *crowd) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d streams moved, %d of them had to reload; events lost %d named and %d unnamed, repeated %d\n",
		c.moved, c.forgotten, c.lost, c.unnamed, c.repeated)
	fmt.Fprintf(&out, "gap of those that are cut off and come back: %s\nof which beyond the wait that was asked for:   %s\nlatest event of each stream: %s\n", quantiles(c.gaps), quantiles(c.beyond), quantiles(c.late))
	bounds := []time.Duration{50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1500, 2000, 5000, 20000}
	for i, b := range bounds {
		b *= time.Millisecond
		below := time.Duration(0)
		if i > 0 {
			below = bounds[i-1] * time.Millisecond
		}
		n := 0
		for _, g := range c.gaps {
			if g >= below && g < b {
				n++
			}
		}
		if n > 0 {
			fmt.Fprintf(&out, "%8s to %-6s %6d %s\n", below, b, n, strings.Repeat("█", (n*60+len(c.gaps)-1)/len(c.gaps)))
		}
	}
	return out.String()
}

func quantiles(d []time.Duration) string {
	if len(d) == 0 {
		return "none"
	}
	slices.Sort(d)
	at := func(q float64) time.Duration {
		return d[min(int(q*float64(len(d))), len(d)-1)].Round(time.Millisecond)
	}
	return fmt.Sprintf("p50 %s, p90 %s, p99 %s, longest %s of %d", at(0.5), at(0.9), at(0.99), at(1), len(d))
}
