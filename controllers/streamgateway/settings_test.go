package streamgateway

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/fleet"
	"github.com/streamgateway/streamgateway/controllers/rollout"
)

func TestGuardHasThresholdsOfItsOwn(t *testing.T) {
	strict := intstr.FromString("0.5")
	s := serving()
	s.revisions = []revision{{name: "wanted", verdict: rollout.Pending}}
	s.sg.Spec.Rollout = &v1alpha1.Rollout{Analysis: &v1alpha1.Analysis{
		MinEvents: ptr.To[int32](7), Thresholds: &v1alpha1.Thresholds{MaxP99Latency: "2s", MaxBrowserP95: "3s", MaxQueuePercent: 40},
	}}
	rolling := rollout.DefaultThresholds()
	rolling.MinEvents, rolling.MaxP99Latency, rolling.MaxBrowserP95, rolling.MaxQueuePercent = 7, 2*time.Second, 3*time.Second, 40
	guarded := func() rollout.Thresholds {
		s.revisions[0].detail.GuardStart = s.now
		defer func() { s.revisions[0].detail.GuardStart = time.Time{} }()
		return s.thresholds()
	}
	if s.thresholds() != rolling || guarded() != rolling {
		t.Errorf("without a section: %+v on trial, %+v guarded; want %+v", s.thresholds(), guarded(), rolling)
	}
	s.sg.Spec.Rollback = &v1alpha1.Rollback{Thresholds: &v1alpha1.GuardThresholds{MaxDropPercent: &strict}}
	if got := s.thresholds(); got != rolling {
		t.Errorf("on trial: %+v, want %+v", got, rolling)
	}
	bad := fleet.Summary{
		Offered: 1000, ErrorPercent: 100, LatencyP99: time.Hour, QueuePercent: 100,
		ReconnectsPerMinute: 1e6, BrowserReports: 1000, BrowserP95: time.Hour,
	}
	if b := rollout.Judge(&bad, guarded()); b != nil {
		t.Errorf("what is not set is judged: %+v", b)
	}
	bad.DropPercent = 0.6
	if b := rollout.Judge(&bad, guarded()); b == nil || b.Reason != rollout.ReasonDropRateHigh || b.Threshold != "0.5" {
		t.Errorf("what is set is judged as %+v", b)
	}
}
