package streamgateway_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/report"
)

func TestChangeWhoseAuditorFindsALossIsTakenBack(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	pods := w.fleet(2)
	good := w.gateway().Status.DesiredRevision
	for i, p := range pods {
		looks := uint64(0)
		p.counts(func(r *report.Report) {
			r.Audit = &report.Audit{Checked: 1, LastProof: r.Time}
			if i == 1 && r.Revision != good {
				looks++
				r.Audit.Lost, r.Audit.LastLoss, r.Audit.Message = looks, r.Time, "events [7] were acknowledged and never came"
			}
		})
	}
	w.condition(v1alpha1.ConditionNoLossVerified, metav1.ConditionTrue, v1alpha1.ReasonVerified)
	w.patch(`{"spec":{"batching":{"maxEvents":77}}}`)
	w.condition(v1alpha1.ConditionRolledBack, metav1.ConditionTrue, v1alpha1.ReasonLossDetected)
	s := w.gateway().Status
	if r := s.Rollback; r.ToRevision != good || r.Metric != "eventsLost" || r.Observed == "" || r.Threshold != "0" {
		t.Errorf("rollback is %+v", r)
	}
	w.eventually(func() error {
		if s := w.gateway().Status; s.ActiveRevision != good || s.Rollback.CompletedTime == nil {
			return fmt.Errorf("active is %s, %+v", s.ActiveRevision, s.Rollback)
		}
		return nil
	})
	took := s.Rollback.DetectedTime.Sub(must(get[v1alpha1.StreamGateway](w, "prices")).Status.Rollout.StartTime.Time)
	t.Logf("found within %s", took.Round(time.Second))
	w.event("Warning", "RollbackStarted", "eventsLost")
}

// pages are so many reports of pages that were this late.
func pages(n uint64, seconds float64) report.Histogram {
	h := report.Histogram{Counts: make([]uint64, report.Buckets)}
	h.Counts[report.Bucket(seconds)] = n
	return h
}

// reports are those of 60 pages of a pod, half of which have each flag on, one
// flag independent of the other. The one is slow, the other is not. What pages
// told as long as the slow one was on is told for a minute.
func (s *simulated) reports(slow, fine string) {
	s.counts(func(r *report.Report) {
		on := map[string]bool{}
		for _, f := range s.hot.Features {
			on[f.Name] = f.Mode == config.Percent
		}
		all, some := pages(60, 0.02), pages(30, 0.02)
		mixed := some
		if on[slow] {
			mixed = pages(15, 0.02).Add(pages(15, 3))
			r.Browsers.Flags = append(r.Browsers.Flags, report.Cohorts{Flag: slow, On: pages(30, 3), Off: some})
		}
		if on[fine] {
			r.Browsers.Flags = append(r.Browsers.Flags, report.Cohorts{Flag: fine, On: mixed, Off: mixed})
			all = pages(30, 0.02).Add(pages(30, 3))
		}
		r.Browsers.Latency, r.Browsers.Reports = all, 60
	})
}

func TestOneOfTwoFlagsIsSwitchedOffAndTheOtherStays(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	all := w.fleet(2)
	w.patch(`{"spec":{"rollout":{"analysis":{"thresholds":{"maxBrowserP95":"1s"}}},"observability":{"beaconInterval":"10s"},"rollback":{"guardPeriod":"0s"}}}`)
	w.verdict(w.gateway().Status.DesiredRevision, "Healthy")
	for _, p := range all {
		p.reports("newChart", "quickSort")
	}
	w.patch(`{"spec":{"rollback":{"guardPeriod":"5m"},"features":[{"name":"newChart","mode":"Percent","percent":50},{"name":"quickSort","mode":"Percent","percent":50}]}}`)
	w.event("Normal", "FeatureDisabled", "flag newChart: browserP95")
	changed := w.gateway().Status.DesiredRevision
	w.eventually(func() error {
		_, document := w.pushed()
		modes := map[string]string{}
		for _, f := range document.Candidate.Hot.Features {
			modes[f.Name] = f.Mode
		}
		if document.Candidate.Name != changed || modes["newChart"] != config.Disabled || modes["quickSort"] != config.Percent {
			return fmt.Errorf("the document gives %v with %s", modes, document.Candidate.Name)
		}
		sources := map[string]v1alpha1.FeatureSource{}
		for _, f := range w.gateway().Status.Features {
			sources[f.Name] = f.Source
		}
		if sources["newChart"] != v1alpha1.FeatureSourceRollback || sources["quickSort"] != v1alpha1.FeatureSourceSpec {
			return fmt.Errorf("status says %v", sources)
		}
		return nil
	})
	time.Sleep(4 * time.Second) // looks enough for any verdict on what pages still tell of before
	s := w.gateway().Status
	if s.ActiveRevision != changed || s.Rollback != nil || s.Rollout.State != "Guarding" {
		t.Errorf("active %s, want %s; %+v, %+v", s.ActiveRevision, changed, s.Rollout, s.Rollback)
	}
	if c := w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady); !strings.Contains(c.Message, "without newChart (browserP95 ") {
		t.Errorf("Ready says %q", c.Message)
	}
	// Nobody forgets it with the operator, and the next revision has it again.
	w.stop()
	w.operate(builtInImage)
	time.Sleep(2 * time.Second) // time for the next leader to write after all
	if _, document := w.pushed(); document.Candidate.Hot.Features[len(document.Candidate.Hot.Features)-1].Mode != config.Disabled {
		t.Errorf("the next operator gives %+v", document.Candidate.Hot.Features)
	}
	w.patch(`{"spec":{"batching":{"maxEvents":77}}}`)
	w.event("Normal", "FeatureRestored", "newChart")
}
