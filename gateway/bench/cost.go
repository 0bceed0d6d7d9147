//go:build linux

package bench

import (
	"fmt"
	"strings"
)

// Prices are what a month is computed with; all are inputs of the one who
// pays. The units are those of bills.
type Prices struct {
	PerMillionRequests float64 // at the load balancer or API gateway in front
	PerGigabyte        float64 // out to the internet
	PerCoreHour        float64
	MinutesOpen        float64 // that a stream stays open, until it is opened anew
}

// Month is what so many clients cost, each connected for so many hours a month,
// at the rates that were measured:
//
//	hours × 3600 × clients/measured clients ×
//	  (requests/s × price + bytes/s × price + CPU seconds/s × price)
func (c *Claims) Month(way Claim, clients int, hours float64, p Prices) float64 {
	perSecond := float64(clients) / float64(c.Clients) / way.Seconds
	seconds := hours * 3600
	requests := perSecond * seconds * float64(way.Requests)
	if way.Way.streams() {
		requests = float64(clients) * hours * 60 / p.MinutesOpen
	}
	return requests/1e6*p.PerMillionRequests +
		perSecond*seconds*float64(way.Bytes)/1e9*p.PerGigabyte +
		perSecond*seconds*way.CPU/3600*p.PerCoreHour
}

// Table is what was found as Markdown, with the cost of a month of 10,000
// clients at example prices.
func (c *Claims) Table() string {
	const clients, hours = 10_000, 176
	p := Prices{PerMillionRequests: 1, PerGigabyte: 0.09, PerCoreHour: 0.04, MinutesOpen: 120}
	var b strings.Builder
	fmt.Fprintf(&b, "%d clients on %d channels, %g events/s in all.\n\n", c.Clients, c.Channels, c.Rate)
	b.WriteString("| way | mean ms | p50 ms | p95 ms | requests per client and hour | KB per client and hour | server CPU s per 1,000 clients and hour | deliveries | a month of 10,000 clients |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, w := range c.Ways {
		perHour := 3600 / w.Seconds / float64(c.Clients)
		requests := float64(w.Requests) * perHour
		if w.Way.streams() {
			requests = 60 / p.MinutesOpen
		}
		fmt.Fprintf(&b, "| %s | %.1f | %.1f | %.1f | %.1f | %.0f | %.1f | %d | $%.2f |\n", w.Way, w.Latency.Mean/1000, float64(w.Latency.P50)/1000,
			float64(w.Latency.P95)/1000, requests, float64(w.Bytes)*perHour/1000, w.CPU*perHour*1000, w.Delivered, c.Month(w, clients, hours, p))
	}
	fmt.Fprintf(&b, "\n%d streams were %d subscriptions for the log (groups of equal streams).\n", c.Clients, c.Groups)
	fmt.Fprintf(&b, "\nInputs of the last column: %d hours a month each; $%g a million requests, $%g a GB, $%g a core-hour; a stream lasts %g minutes. Put in your own.\n",
		hours, p.PerMillionRequests, p.PerGigabyte, p.PerCoreHour, p.MinutesOpen)
	b.WriteString(c.against(func(w Claim) float64 { return c.Month(w, clients, hours, p) }))
	return b.String()
}

// against compares streams with the ways of polling, number by number.
func (c *Claims) against(month func(Claim) float64) string {
	var b strings.Builder
	b.WriteString("\n| instead of | | mean latency | bytes | requests while connected | a month |\n|---|---|--:|--:|--:|--:|\n")
	share := func(of, old float64) string { return fmt.Sprintf("%.3g %%", 100*of/old) }
	for _, old := range c.Ways {
		for _, way := range c.Ways {
			if old.Way.streams() || !way.Way.streams() {
				continue
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | none | %+.0f %% |\n", old.Way, way.Way, share(way.Latency.Mean, old.Latency.Mean),
				share(float64(way.Bytes)/way.Seconds, float64(old.Bytes)/old.Seconds), 100*month(way)/month(old)-100)
		}
	}
	return b.String()
}
