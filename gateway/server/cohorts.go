package server

import (
	"maps"
	"slices"

	"github.com/streamgateway/streamgateway/gateway/report"
	"github.com/streamgateway/streamgateway/gateway/transport"
)

// Where the latencies of pages that have a flag off, and on, are in
// browserTotals.
const (
	flagOff = iota
	flagOn
)

// side counts a latency for each flag that not all pages have on. Names come
// and go with the config; those beyond what one config holds are counted no
// more.
func (t *browserTotals) side(r transport.BrowserReport, sides map[string]bool) {
	for name, on := range sides {
		both, known := t.flags[name]
		if !known && len(t.flags) >= 2*report.MaxFlags {
			continue
		}
		if t.flags == nil {
			t.flags = map[string][2]report.Histogram{}
		}
		which := flagOff
		if on {
			which = flagOn
		}
		h := &both[which]
		if h.Counts == nil {
			h.Counts = make([]uint64, report.Buckets)
		}
		h.Counts[report.Bucket(r.P95.Seconds())]++
		h.Sum += r.P95.Seconds()
		t.flags[name] = both
	}
}

func (t *browserTotals) flagsSince(older browserTotals) map[string][2]report.Histogram {
	since := make(map[string][2]report.Histogram, len(t.flags))
	for name, both := range t.flags {
		before := older.flags[name]
		for i := range both {
			both[i] = both[i].Since(before[i])
		}
		since[name] = both
	}
	return since
}

func (t *browserTotals) cloned() map[string][2]report.Histogram {
	all := maps.Clone(t.flags)
	for name, both := range all {
		for i := range both {
			both[i].Counts = slices.Clone(both[i].Counts)
		}
		all[name] = both
	}
	return all
}

// cohorts are the latencies by the flags that only a part of the pages has on
// now.
func (t *browserTotals) cohorts(flags *flagSet) (all []report.Cohorts) {
	for _, f := range flags.percent {
		if both, counted := t.flags[f.Name]; counted {
			all = append(all, report.Cohorts{Flag: f.Name, On: shortened(both[flagOn]), Off: shortened(both[flagOff])})
		}
	}
	return all
}
