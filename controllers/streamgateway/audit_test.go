package streamgateway

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/fleet"
	"github.com/streamgateway/streamgateway/controllers/rollout"
	"github.com/streamgateway/streamgateway/gateway/report"
)

// audits says what pods find that check themselves, of which the first is the
// wanted one.
func audits(found ...fleet.Audit) func(*scope) {
	return traffic(func(s *fleet.Summary) {
		for i := range found {
			found[i].Pod = fmt.Sprint("pod-", i)
		}
		s.Audits = found
	})
}

func causesOfNoLoss() []cause {
	proof := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	return []cause{
		{"every pod has a proof", audits(fleet.Audit{LastProof: proof.Add(time.Minute)}, fleet.Audit{LastProof: proof}),
			"NoLossVerified=True/Verified Healthy=True/WithinThresholds", "last proof at 2026-11-24T12:00:00Z; 2 of 1 pods"},
		{"a pod lost an event", audits(fleet.Audit{LastProof: proof}, fleet.Audit{LastProof: proof, Broken: true, Message: "events [7] were acknowledged and never came"}),
			"NoLossVerified=False/LossDetected Healthy=False/LossDetected Ready=False/Unhealthy", "pod pod-1: events [7] were"},
		{"a pod is not sure any more", audits(fleet.Audit{LastProof: proof}, fleet.Audit{LastProof: proof, Stale: true}),
			"NoLossVerified=Unknown/AuditStale Healthy=True/WithinThresholds Ready=True/Ready", "no proof for a minute from pod-1"},
		{"a pod has just started", audits(fleet.Audit{LastProof: proof}, fleet.Audit{}), "NoLossVerified=Unknown/Pending Ready=True/Ready", "no proof yet"},
		{"pods do not audit themselves", audits(), "NoLossVerified=Unknown/Pending Ready=True/Ready", ""},
		{"pods are silent about what was told before", func(s *scope) {
			s.summary = fleet.Summary{}
			s.memory.reportTime = s.now.Add(-30 * time.Second)
			s.sg.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionNoLossVerified, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonVerified}}
		}, "NoLossVerified=True/Verified", ""},
		{"pods have been silent for a minute", func(s *scope) {
			s.summary = fleet.Summary{}
			s.memory.reportTime = s.now.Add(-time.Minute)
			s.sg.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionNoLossVerified, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonVerified}}
		}, "NoLossVerified=Unknown/AuditStale", "no pod has told"},
	}
}

func TestAProofAloneIsNotWritten(t *testing.T) {
	s := serving()
	s.summary.Audits = []fleet.Audit{{Pod: "pod-a", LastProof: s.now}}
	written := s.status()
	next := nextPass(s, time.Hour)
	next.sg.Status = written
	next.summary.Audits = []fleet.Audit{{Pod: "pod-a", LastProof: s.now.Add(time.Hour)}}
	if diff := cmp.Diff(written, next.status()); diff != "" {
		t.Errorf("written for: %s", diff)
	}
	next.sg.Generation++ // whatever else is written takes the time along
	c := meta.FindStatusCondition(next.status().Conditions, v1alpha1.ConditionNoLossVerified)
	if want := next.now.UTC().Format(time.RFC3339); !strings.Contains(c.Message, want) {
		t.Errorf("the message is %q, want %s in it", c.Message, want)
	}
}

func TestLossOfPodsThatRunTheWantedRevisionIsItsFault(t *testing.T) {
	audited := func(pod, revision string, before, after uint64) fleet.Sample {
		now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
		r := func(lost uint64, at time.Time) report.Report {
			a := &report.Audit{Checked: 9, Lost: lost, LastProof: at}
			if lost > 0 {
				a.LastLoss = now.Add(-time.Minute)
			}
			return report.Report{Pod: pod, Revision: revision, Time: at, Audit: a}
		}
		older := r(before, now.Add(-5*time.Second))
		return fleet.Sample{Older: &older, Newer: r(after, now)}
	}
	for name, c := range map[string]struct {
		samples        []fleet.Sample
		broken, common bool
	}{
		"no pod loses anything":                       {[]fleet.Sample{audited("a", "wanted", 0, 0), audited("b", "before", 0, 0)}, false, false},
		"a pod that runs it loses events":             {[]fleet.Sample{audited("a", "wanted", 0, 2), audited("b", "before", 0, 0)}, true, false},
		"it had lost them before it ran it":           {[]fleet.Sample{audited("a", "wanted", 2, 2), audited("b", "before", 0, 0)}, false, false},
		"one that does not run it loses them":         {[]fleet.Sample{audited("a", "wanted", 0, 0), audited("b", "before", 0, 2)}, false, false},
		"both do":                                     {[]fleet.Sample{audited("a", "wanted", 0, 2), audited("b", "before", 0, 2)}, true, true},
		"the other one did so a minute ago":           {[]fleet.Sample{audited("a", "wanted", 0, 2), audited("b", "before", 7, 7)}, true, true},
		"all pods run it, and nobody can be compared": {[]fleet.Sample{audited("a", "wanted", 0, 2)}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := serving()
			s.samples = c.samples
			s.compare()
			if (s.breach != nil) != c.broken || s.common != c.common {
				t.Errorf("breach %+v, common %v", s.breach, s.common)
			}
			if b := s.breach; b != nil && (b.Reason != rollout.ReasonLossDetected || b.Metric != "eventsLost" || b.Observed != "2" || b.Threshold != "0") {
				t.Errorf("breach %+v", b)
			}
		})
	}
}
