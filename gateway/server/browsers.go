package server

import (
	"slices"
	"sync"
	"time"

	"github.com/streamgateway/streamgateway/gateway/report"
	"github.com/streamgateway/streamgateway/gateway/transport"
)

// browsers merges what pages report. A latency has a vote when it comes from a
// page whose stream this pod serves, and once in a while only: who wants to
// bend the percentiles has to hold as many streams as the honest pages. Pages
// that poll have no stream; theirs counts for buffering.
type browsers struct {
	mu     sync.Mutex
	totals browserTotals
	heard  map[string]vote // by sid
}

// vote is when a page's report counted last, and how many events it had got
// by then.
type vote struct {
	at     time.Time
	events uint64
}

// browserTotals counts since the start.
type browserTotals struct {
	latency   report.Histogram // of the reported 95th percentiles, in seconds
	average   float64          // sum of the reported averages, in seconds
	reports   uint64
	buffering uint64
	// flags are the latencies by flag: first those of pages that have it off,
	// then on.
	flags map[string][2]report.Histogram
}

// since is what came after the older totals.
func (t browserTotals) since(older browserTotals) browserTotals {
	return browserTotals{
		latency: t.latency.Since(older.latency), average: t.average - older.average,
		reports: t.reports - older.reports, buffering: t.buffering - older.buffering, flags: t.flagsSince(older),
	}
}

// maxHeard bounds the streams whose last vote is remembered; those above have
// none.
const maxHeard = 128 << 10

// take counts a report. served tells that its stream is open here; a second
// vote of a stream within spacing is dropped, and the latency of a page that
// got nothing since its last one is an old one, which is not counted again.
// sides are the page's flags that not all pages have on.
func (b *browsers) take(r transport.BrowserReport, served bool, spacing time.Duration, sides map[string]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if served {
		now := time.Now()
		last, known := b.heard[r.SID]
		if known && now.Sub(last.at) < spacing || !known && len(b.heard) >= maxHeard {
			return
		}
		if b.heard == nil {
			b.heard = map[string]vote{}
		}
		b.heard[r.SID] = vote{now, r.Events}
		r.Measured = r.Measured && (!known || r.Events != last.events)
	}
	b.totals.reports++
	if r.Buffering {
		b.totals.buffering++
	}
	if served && r.Measured {
		b.totals.add(r)
		b.totals.side(r, sides)
	}
}

func (t *browserTotals) add(r transport.BrowserReport) {
	if t.latency.Counts == nil {
		t.latency.Counts = make([]uint64, report.Buckets)
	}
	t.latency.Counts[report.Bucket(r.P95.Seconds())]++
	t.latency.Sum += r.P95.Seconds()
	t.average += r.Average.Seconds()
}

// sweep forgets pages that have not reported for this long.
func (b *browsers) sweep(silent time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for sid, last := range b.heard {
		if time.Since(last.at) > silent {
			delete(b.heard, sid)
		}
	}
	if len(b.heard) == 0 {
		b.heard = nil // a map never shrinks
	}
}

func (b *browsers) now() browserTotals {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.totals
	t.latency.Counts, t.flags = slices.Clone(t.latency.Counts), t.cloned()
	return t
}

// takeBeacon counts a report, unless the flag says that nobody is to send any.
func (s *Server) takeBeacon(r transport.BrowserReport) {
	if flags := s.flags.Load(); !flags.off(flagBeacon) {
		who, served := s.engine.Who(r.SID)
		s.browsers.take(r, served, beaconSpacing(flags), flags.sides(who))
	}
}

// beaconSpacing is the least time between two votes of one page: it reports
// every 80 % of the interval at most, and once more when it is hidden.
func beaconSpacing(flags *flagSet) time.Duration { return flags.beaconInterval / 2 }

// Reports of the last minute that make a reason of health.
const (
	fewReports       = 20
	slowBrowsers     = time.Second // 95th percentile
	bufferingPercent = 5           // of the reports
)

// reasons are what pages have to complain of.
func (t browserTotals) reasons() (slugs []string) {
	if t.latency.Count() >= fewReports && t.latency.Quantile(0.95) > slowBrowsers.Seconds() {
		slugs = append(slugs, "browser-latency")
	}
	if t.reports >= fewReports && t.buffering*100 > t.reports*bufferingPercent {
		slugs = append(slugs, "proxy-buffering")
	}
	return slugs
}
