//go:build linux

package bench

import (
	"fmt"
	"strings"
)

// curve is one line of a plot.
type curve struct {
	name, colour string
	value        func(Sample) int64
}

const plotWidth, plotHeight, plotMargin = 760, 260, 60

const gridStep = 16 << 20 // bytes; the grid has four lines

// Plot draws heap, resident memory and socket buffers over time, as SVG.
func Plot(samples []Sample) string {
	lines := []curve{
		{"resident", "#1f6feb", func(s Sample) int64 { return s.Resident }},
		{"heap with garbage", "#bf8700", func(s Sample) int64 { return s.Heap }},
		{"heap after collections", "#2da44e", func(s Sample) int64 { return s.Live }},
		{"socket buffers", "#cf222e", func(s Sample) int64 { return s.Sockets }},
	}
	top, end := int64(1), 1.0
	for _, s := range samples {
		end = max(end, s.Seconds)
		for _, l := range lines {
			top = max(top, l.value(s))
		}
	}
	top = (top + gridStep - 1) / gridStep * gridStep
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
		plotWidth+2*plotMargin, plotHeight+2*plotMargin)
	for i := range 5 { // the grid
		y := plotMargin + plotHeight - plotHeight*i/4
		fmt.Fprintf(&b, `<path d="M%d %dH%d" stroke="#ddd"/><text x="%d" y="%d" text-anchor="end">%.0f MiB</text>`+"\n",
			plotMargin, y, plotMargin+plotWidth, plotMargin-6, y+4, float64(top)*float64(i)/4/(1<<20))
		x := plotMargin + plotWidth*i/4
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%.1f min</text>`+"\n", x, plotMargin+plotHeight+18, end*float64(i)/4/60)
	}
	for i, l := range lines {
		var points []string
		for _, s := range samples {
			points = append(points, fmt.Sprintf("%.1f,%.1f", plotMargin+plotWidth*s.Seconds/end, plotMargin+plotHeight*(1-float64(l.value(s))/float64(top))))
		}
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="1.5" points="%s"/>`+"\n", l.colour, strings.Join(points, " "))
		fmt.Fprintf(&b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", plotMargin+150*i, plotMargin-16, l.colour, l.name)
	}
	return b.String() + "</svg>\n"
}
