//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// TestAChangeIsTakenBackWhenPagesReportLateEvents closes the loop from pages to
// the verdict on a change: 25 streams, whose pages say that their events are
// fast, and after a change that they are late.
func TestAChangeIsTakenBackWhenPagesReportLateEvents(t *testing.T) {
	const streams = 25
	ns := cluster.Namespace(t)
	base := cluster.Gateway(t, ns, "prices", "{rollback: {guardPeriod: 0s, warmPeriod: 0s}, rollout: {analysis: {thresholds: {maxBrowserP95: 1s}}}, observability: {beaconInterval: 10s}}")
	a := cluster.Audience(t, base, streams, "finance.revenue")
	good := cluster.Get(t, ns, "prices").Status.DesiredRevision
	Eventually(t, 20*time.Second, "a stable revision", func() error {
		if s := cluster.Get(t, ns, "prices").Status; s.StableRevision != good {
			return fmt.Errorf("stable is %q", s.StableRevision)
		}
		return nil
	})
	cluster.report(t, base, a, 1, 40)
	Eventually(t, 45*time.Second, "fast pages in status", func() error {
		if m := cluster.Get(t, ns, "prices").Status.Metrics; m == nil || m.BrowserP95Milliseconds == nil || *m.BrowserP95Milliseconds > 60 {
			return fmt.Errorf("metrics %+v", m)
		}
		return nil
	})
	begun := time.Now()
	cluster.Patch(t, ns, "prices", `{"spec":{"rollback":{"guardPeriod":"5m"},"features":[{"name":"newChart"}]}}`)
	Eventually(t, 10*time.Second, "the change runs", func() error {
		if s := cluster.Get(t, ns, "prices").Status; s.ActiveRevision == good {
			return fmt.Errorf("active is %s", s.ActiveRevision)
		}
		return nil
	})
	time.Sleep(max(0, 6*time.Second-time.Since(begun))) // half an interval after the first votes, so that these count
	cluster.report(t, base, a, 2, 3000)
	Eventually(t, 30*time.Second, "rolled back", func() error {
		s := cluster.Get(t, ns, "prices").Status
		if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionRolledBack); c == nil || c.Reason != v1alpha1.ReasonBrowserLatencyHigh || s.ActiveRevision != good {
			return errors.New(conditions(cluster.Get(t, ns, "prices")))
		}
		return nil
	})
	r := cluster.Get(t, ns, "prices").Status.Rollback
	t.Logf("%s after the patch: %s %s over %s", time.Since(begun).Round(time.Millisecond), r.Metric, r.Observed, r.Threshold)
	if r.Metric != "browserP95" || r.Threshold != "1s" {
		t.Errorf("%+v", r)
	}
	if err := a.Open(); err != nil {
		t.Errorf("streams were dropped: %v", err)
	}
}

// report sends, for each stream, what its page would report.
func (c *Cluster) report(t *testing.T, base string, a *audience, events int, p95Milliseconds float64) {
	t.Helper()
	for sid := range a.sids(t) {
		body := fmt.Sprintf(`{"sid":%q,"eventsReceived":%d,"avgLatencyMs":%g,"p95LatencyMs":%g}`, sid, events, p95Milliseconds/2, p95Milliseconds)
		res, err := c.HTTP.Post(base+"/beacon", "text/plain;charset=UTF-8", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusNoContent {
			t.Fatalf("a report is answered %d", res.StatusCode)
		}
	}
}

// sids are those of the audience's streams.
func (a *audience) sids(t *testing.T) map[string]bool {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	all := map[string]bool{}
	for _, l := range a.streams {
		for _, m := range l.controls {
			var open struct{ SID string }
			if m.Event == "sg.open" && json.Unmarshal([]byte(m.Data), &open) == nil {
				all[open.SID] = true
			}
		}
	}
	if len(all) != len(a.streams) {
		t.Fatalf("%d session ids of %d streams", len(all), len(a.streams))
	}
	return all
}
