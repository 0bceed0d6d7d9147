package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/transport"
)

func late(sid string, p95 time.Duration) transport.BrowserReport {
	return transport.BrowserReport{SID: sid, Events: 1, Measured: true, Average: p95 / 2, P95: p95}
}

func TestAPageHasOneVoteInHalfAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b browsers
		for range 100 {
			b.take(late("a", 5*time.Second), true, 30*time.Second, nil)
		}
		b.take(late("b", 10*time.Millisecond), true, 30*time.Second, nil)
		if got := b.now(); got.reports != 2 || got.latency.Count() != 2 {
			t.Errorf("%d reports, %d latencies of two pages", got.reports, got.latency.Count())
		}
		time.Sleep(31 * time.Second)
		old := late("a", 5*time.Second)
		b.take(old, true, 30*time.Second, nil)
		if got := b.now(); got.reports != 3 || got.latency.Count() != 2 {
			t.Errorf("%d reports, %d latencies: a page that got nothing tells an old latency", got.reports, got.latency.Count())
		}
		time.Sleep(31 * time.Second)
		old.Events++
		b.take(old, true, 30*time.Second, nil)
		if got := b.now(); got.latency.Count() != 3 {
			t.Errorf("%d latencies in the next interval", got.latency.Count())
		}
		time.Sleep(121 * time.Second)
		if b.sweep(2 * time.Minute); b.heard != nil {
			t.Errorf("%d pages are remembered for ever", len(b.heard))
		}
	})
}

func TestALatencyCountsOnlyWithAStreamOfThisPod(t *testing.T) {
	var b browsers
	for i := range 100 {
		r := late(fmt.Sprint(i), 5*time.Second)
		r.Buffering = i%10 == 0
		b.take(r, false, 30*time.Second, nil)
	}
	got := b.now()
	if got.latency.Count() != 0 || got.average != 0 {
		t.Errorf("%d latencies of nobody's streams", got.latency.Count())
	}
	if got.reports != 100 || got.buffering != 10 || b.heard != nil {
		t.Errorf("%d reports, %d of buffering, %d remembered", got.reports, got.buffering, len(b.heard))
	}
}

func TestReasonsOfHealthNeedTwentyReports(t *testing.T) {
	for name, c := range map[string]struct {
		fast, slow, buffering int
		want                  []string
	}{
		"nobody reports":           {0, 0, 0, nil},
		"too few to judge":         {0, 19, 0, nil},
		"all are late":             {0, 20, 0, []string{"browser-latency"}},
		"one of twenty is late":    {19, 1, 0, nil},
		"two of twenty are late":   {18, 2, 0, []string{"browser-latency"}},
		"one of twenty buffers":    {20, 0, 1, nil},
		"two of twenty buffer":     {20, 0, 2, []string{"proxy-buffering"}},
		"both, and they are named": {0, 20, 20, []string{"browser-latency", "proxy-buffering"}},
	} {
		t.Run(name, func(t *testing.T) {
			var b browsers
			for i := range c.fast + c.slow {
				r := late(fmt.Sprint(i), 20*time.Millisecond)
				if i >= c.fast {
					r = late(fmt.Sprint(i), 3*time.Second)
				}
				r.Buffering = i < c.buffering
				b.take(r, true, time.Minute, nil)
			}
			if got := b.now().reasons(); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// beacon sends a report as a page does that is being closed.
func (g *gateway) beacon(body string) {
	g.t.Helper()
	res, err := http.Post(g.base+"/beacon", "text/plain;charset=UTF-8", strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		g.t.Errorf("a report is answered %d", res.StatusCode)
	}
}

// opened is what sg.open tells a page.
func (s *stream) opened(t *testing.T) (open struct {
	SID      string          `json:"sid"`
	BeaconMs int64           `json:"beaconMs"`
	Flags    map[string]bool `json:"flags"`
}) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.next("sg.open").data), &open); err != nil {
		t.Fatal(err)
	}
	return open
}

func TestWhatAPageReportsIsSeenInMetricsReportAndScrape(t *testing.T) {
	g := start(t, nil)
	s := g.open("channels=a")
	open := s.opened(t)
	if open.BeaconMs != 60000 || !open.Flags["beacon"] {
		t.Errorf("sg.open says %+v", open)
	}
	g.beacon(fmt.Sprintf(`{"sid":%q,"eventsReceived":1,"avgLatencyMs":100,"p95LatencyMs":400,"buffering":false}`, open.SID))
	g.beacon(fmt.Sprintf(`{"sid":%q,"eventsReceived":1,"avgLatencyMs":9000,"p95LatencyMs":9000}`, open.SID)) // too soon
	g.beacon(`{"sid":"nobody","eventsReceived":1,"avgLatencyMs":9000,"p95LatencyMs":9000,"buffering":true}`) // no stream
	g.beacon(`{"sid":"nobody","eventsReceived":1,"avgLatencyMs":-9000,"p95LatencyMs":1e999}`)                // no sense
	var m transport.Metrics
	g.get(g.base+"/metrics", &m)
	if b := m.LatencyMs.Browser; b.Reports != 2 || b.Avg != 100 || b.P95 < 330 || b.P95 > 480 {
		t.Errorf("metrics say %+v", b)
	}
	r := g.report().Browsers
	if r.Reports != 2 || r.Buffering != 1 || r.Latency.Count() != 1 || r.Latency.Sum != 0.4 {
		t.Errorf("the report says %+v", r)
	}
	text := g.scrape("text/plain")
	for _, want := range []string{"sg_browser_latency_seconds_count 1", "sg_browser_latency_seconds_sum 0.4", "sg_client_buffering_reports_total 1", "sg_client_reports_total 2"} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestAnotherIntervalReachesOpenPagesAndTheFlagStopsReports(t *testing.T) {
	g := start(t, nil)
	s := g.open("channels=a")
	open := s.opened(t)
	g.config.take(g.document(func(h *config.Hot) { h.Observability.BeaconInterval = 10 * time.Second }))
	if got := s.next("sg.flags").data; !strings.Contains(got, `"beaconMs":10000`) {
		t.Errorf("sg.flags says %s", got)
	}
	g.config.take(g.document(func(h *config.Hot) {
		h.Features = []config.Feature{{Name: "beacon", Mode: config.Disabled}}
	}))
	s.next("sg.flags")
	g.beacon(fmt.Sprintf(`{"sid":%q,"eventsReceived":1,"avgLatencyMs":100,"p95LatencyMs":400}`, open.SID))
	if got := g.report().Browsers.Reports; got != 0 {
		t.Errorf("%d reports counted that the flag forbids", got)
	}
}

func TestVotesAreCountedApartByFlag(t *testing.T) {
	flags := newFlagSet(nil, 1, []config.Feature{
		{Name: "half", Mode: config.Percent, Percent: 50, StickyBy: config.Session}, {Name: "all", Mode: config.Enabled},
	}, time.Minute)
	var b browsers
	on, off := 0, 0
	for i := range 100 {
		who := engine.Identity{SID: fmt.Sprint(i)}
		sides := flags.sides(who)
		p95 := 20 * time.Millisecond
		if sides["half"] {
			p95, on = 3*time.Second, on+1
		} else {
			off++
		}
		if of, _ := flags.of(who); of["half"] != sides["half"] {
			t.Fatalf("stream %d is on another side than its flags say", i)
		}
		b.take(late(who.SID, p95), true, time.Minute, sides)
	}
	before := b.now()
	all := before.cohorts(flags)
	if len(all) != 1 || all[0].Flag != "half" || all[0].On.Count() != uint64(on) || all[0].Off.Count() != uint64(off) || on == 0 || off == 0 {
		t.Fatalf("%d on, %d off, told as %+v", on, off, all)
	}
	if all[0].On.Quantile(0.05) < 1 || all[0].Off.Quantile(0.95) > 1 {
		t.Errorf("told as %+v", all)
	}
	b.take(late("another", time.Second), true, time.Minute, map[string]bool{"half": true})
	since := b.now().since(before)
	if c := since.cohorts(flags); c[0].On.Count() != 1 || c[0].Off.Count() != 0 {
		t.Errorf("since then %+v", c)
	}
	if c := before.cohorts(flags); c[0].On.Count() != uint64(on) {
		t.Error("what was told changes afterwards")
	}
	if c := since.cohorts(newFlagSet(flags, 2, nil, time.Minute)); c != nil {
		t.Errorf("a flag that nobody has is told of: %+v", c)
	}
}
