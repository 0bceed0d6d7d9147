package server

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streamgateway/streamgateway/gateway/report"
)

// series is what a row of docs/metrics.md and a scrape both tell of a metric.
type series struct {
	kind   string
	labels string // sorted, with commas
}

// documented reads the table of docs/metrics.md.
func documented(t *testing.T) map[string]series {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(sg_[a-z_]+)` \\| ([a-z]+) \\| ([^|]*)\\|[^|]*[a-z0-9][^|]*\\|[^|]*[a-z][^|]*\\|$")
	all := map[string]series{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		labels := regexp.MustCompile("[a-z_]+").FindAllString(m[3], -1)
		slices.Sort(labels)
		all[m[1]] = series{m[2], strings.Join(labels, ",")}
	}
	if n := strings.Count(string(text), "\n| `sg_"); n != len(all) {
		t.Fatalf("docs/metrics.md has %d rows, %d of them can be read: a row is | `name` | type | `label`, … | unit | meaning |", n, len(all))
	}
	return all
}

// scraped reads what a gateway serves to a scraper.
func (g *gateway) scraped() map[string]series {
	g.t.Helper()
	families, err := g.registry().Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	all := map[string]series{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "sg_") {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName())
			}
			s := series{strings.ToLower(f.GetType().String()), strings.Join(labels, ",")}
			if before, ok := all[f.GetName()]; ok && before != s {
				g.t.Errorf("%s is %v and %v", f.GetName(), before, s)
			}
			all[f.GetName()] = s
		}
	}
	return all
}

// drive makes a gateway do a little of everything that clients can ask of it,
// under a channel's name that must not be found anywhere.
func (g *gateway) drive(channel string) {
	g.t.Helper()
	s := g.open("channels=" + channel)
	s.next("sg.caught-up")
	g.post(channel, `"x"`)
	last := s.next("")
	g.post(channel, "{")
	s.close()
	g.open("channels="+channel+"&cursor="+last.id, "Accept-Encoding", "identity").next("sg.caught-up")
	g.open("channels="+channel, "Last-Event-ID", "0000.7").next("sg.reset")
	for _, path := range []string{"/stream?wait=0&channels=" + channel, "/stream", "/channels/" + channel + "/last", "/nowhere"} {
		g.status(g.base + path)
	}
}

func TestMetricsAreThoseOfTheTable(t *testing.T) {
	g := start(t, nil)
	g.drive("secret.channel")
	rows, scraped := documented(t), g.scraped()
	for name, s := range scraped {
		switch row, ok := rows[name]; {
		case !ok:
			t.Errorf("add a row to docs/metrics.md: | `%s` | %s | %s | unit | meaning |", name, s.kind, s.labels)
		case row != s:
			t.Errorf("docs/metrics.md says %v of %s, which is %v", row, name, s)
		}
	}
	for name := range rows {
		if _, ok := scraped[name]; !ok {
			t.Errorf("docs/metrics.md has a row for %s, which no scrape has: remove the row, or make drive use it", name)
		}
	}
}

func TestMetricsFollowTheRulesOfTheirFormat(t *testing.T) {
	g := start(t, nil)
	g.drive("secret.channel")
	problems, err := testutil.GatherAndLint(g.registry())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	g.eventually("the last write is counted", func() bool { return g.report().Events.Delivered == 1 })
	text := g.scrape("text/plain")
	for _, want := range []string{`sg_connections{encoding="gzip",transport="sse"} 1`, `sg_connections{encoding="identity",transport="sse"} 1`,
		`sg_connections_opened_total{transport="poll"} 1`, `sg_connections_closed_total{reason="client"} 1`, `sg_connections_closed_total{reason="timeout"} 0`,
		`sg_events_published_total{durability="memory"} 1`, `sg_publish_rejected_total{reason="invalid-json"} 1`,
		`sg_publish_to_write_seconds_count 1`, `sg_publish_to_write_seconds_bucket{le="0.512"} 1`, `sg_publish_ack_seconds_count{broker="memory"} 1`,
		`sg_batch_events_bucket{le="1"} 1`, `sg_resets_total{reason="epoch"} 1`, `sg_resumes_total{result="complete"} 1`,
		`sg_build_info{version="test"} 1`, "go_goroutines", `sg_flag_info{flag="replay",state="on"} 1`} {
		if !strings.Contains(text, want+"\n") && !strings.Contains(text, want+" ") {
			t.Errorf("%s is missing", want)
		}
	}
	open := g.scrape("application/openmetrics-text; version=1.0.0")
	for _, want := range []string{"sg_events_published_created{", "sg_publish_to_write_seconds_created ", "sg_publish_ack_seconds_created{"} {
		if !strings.Contains(open, want) {
			t.Errorf("OpenMetrics lacks %s", want)
		}
	}
}

// scrape asks the admin port as a scraper does.
func (g *gateway) scrape(accept string) string {
	g.t.Helper()
	r, err := http.NewRequest("GET", g.admin+report.MetricsPath, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(text)
}

// What clients chose stays out of what the admin port tells.
func TestTheAdminPortNamesNoChannelSubjectOrAddress(t *testing.T) {
	g := start(t, nil)
	g.drive("secret.channel")
	for _, text := range []string{g.scrape("text/plain"), g.scrape("application/openmetrics-text"), fmt.Sprintf("%+v", g.report())} {
		if strings.Contains(text, "secret") || strings.Contains(text, "127.0.0.1") {
			t.Errorf("a channel or an address stands in\n%s", text)
		}
	}
	for name, s := range documented(t) {
		for label := range strings.SplitSeq(s.labels, ",") {
			if slices.Contains([]string{"channel", "tenant", "subject", "address", "client", "sid", "path"}, label) {
				t.Errorf("%s has the label %s", name, label)
			}
		}
	}
}
