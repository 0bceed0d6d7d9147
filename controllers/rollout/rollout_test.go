package rollout_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgateway/streamgateway/controllers/fleet"
	"github.com/streamgateway/streamgateway/controllers/rollout"
)

var start = time.Date(2030, 1, 7, 10, 0, 0, 0, time.UTC)

// running is a wanted revision that all pods run and that is guarded for a
// minute of five; the one before it is healthy.
func running() *rollout.Observation {
	return &rollout.Observation{
		Settings: rollout.Settings{Automatic: true, GuardPeriod: 5 * time.Minute, ConsecutiveBreaches: 2},
		Now:      start.Add(time.Minute), Desired: "new",
		Revisions:     []rollout.Revision{{Name: "old", Verdict: rollout.Healthy}, {Name: "new", Verdict: rollout.Pending, GuardStart: start}},
		TemplateReady: true, AllAcked: true,
	}
}

var drops = rollout.Breach{Reason: rollout.ReasonDropRateHigh, Metric: "dropPercent", Observed: "6.2", Threshold: "0.5"}

func TestDecisionFollowsFromWhatIsSeen(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*rollout.Observation)
		want   rollout.Decision
	}{
		"a revision that runs is guarded": {
			func(*rollout.Observation) {},
			rollout.Decision{Run: "new", Stable: "old", State: rollout.Guarding},
		},
		"new pods are waited for": {
			func(o *rollout.Observation) { o.TemplateReady, o.AllAcked = false, false },
			rollout.Decision{Run: "new", Stable: "old", State: rollout.Preparing},
		},
		"acks are waited for": {
			func(o *rollout.Observation) { o.AllAcked = false },
			rollout.Decision{Run: "new", Stable: "old", State: rollout.Pushing},
		},
		"the guard begins when all pods run it": {
			func(o *rollout.Observation) { o.Revisions[1].GuardStart = time.Time{} },
			rollout.Decision{Run: "new", Stable: "old", State: rollout.Guarding, StartGuard: true},
		},
		"without a guard period it is healthy at once": {
			func(o *rollout.Observation) { o.GuardPeriod, o.Revisions[1].GuardStart = 0, time.Time{} },
			rollout.Decision{Run: "new", Stable: "new", State: rollout.Idle, StartGuard: true, Promote: rollout.ReasonGuardPassed},
		},
		"after the guard period it is healthy": {
			func(o *rollout.Observation) { o.Now = start.Add(5 * time.Minute) },
			rollout.Decision{Run: "new", Stable: "new", State: rollout.Idle, Promote: rollout.ReasonGuardPassed},
		},
		"so it is when nothing could be judged, and says so": {
			func(o *rollout.Observation) { o.Now, o.TooQuiet = start.Add(5*time.Minute), true },
			rollout.Decision{Run: "new", Stable: "new", State: rollout.Idle, Promote: rollout.ReasonTooQuiet},
		},
		"one breach is an accident": {
			func(o *rollout.Observation) { o.Breach, o.Breaches = &drops, 1 },
			rollout.Decision{Run: "new", Stable: "old", State: rollout.Guarding},
		},
		"no guard period ends within a breach": {
			func(o *rollout.Observation) { o.Breach, o.Breaches, o.Now = &drops, 1, start.Add(time.Hour) },
			rollout.Decision{Run: "new", Stable: "old", State: rollout.Guarding},
		},
		"two in a row are not": {
			func(o *rollout.Observation) { o.Breach, o.Breaches = &drops, 2 },
			rollout.Decision{Run: "old", Stable: "old", State: rollout.RollingBack, Failure: &rollout.Failure{
				Reason: "DropRateHigh", Message: "dropPercent 6.2 over 0.5, 2 looks in a row", Metric: "dropPercent", Observed: "6.2", Threshold: "0.5"}},
		},
		"what was broken before is not its fault": {
			func(o *rollout.Observation) {
				o.Breach, o.Breaches, o.Revisions[1].UnhealthyBefore = &drops, 9, rollout.ReasonDropRateHigh
			},
			rollout.Decision{Run: "new", Stable: "old", State: rollout.Guarding},
		},
		"numbers of pods that serve in its place are not held against it": {
			func(o *rollout.Observation) {
				o.Breach, o.Breaches, o.TemplateReady, o.AllAcked = &drops, 9, false, false
			},
			rollout.Decision{Run: "new", Stable: "old", State: rollout.Preparing},
		},
		"a short replay window fails nothing": {
			func(o *rollout.Observation) {
				o.Breach, o.Breaches = &rollout.Breach{Reason: rollout.ReasonReplayWindowShort}, 9
			},
			rollout.Decision{Run: "new", Stable: "old", State: rollout.Guarding},
		},
		"a refusal counts at once": {
			func(o *rollout.Observation) { o.Nack, o.AllAcked = "pod a: no", false },
			rollout.Decision{Run: "old", Stable: "old", State: rollout.RollingBack, Failure: &rollout.Failure{Reason: "ConfigRejected", Message: "pod a: no"}},
		},
		"so does a crash": {
			func(o *rollout.Observation) {
				o.PodReason, o.PodMessage, o.TemplateReady = "PodsCrashing", "pod a", false
			},
			rollout.Decision{Run: "old", Stable: "old", State: rollout.RollingBack, Failure: &rollout.Failure{Reason: "PodsCrashing", Message: "pod a"}},
		},
		"and the deadline": {
			func(o *rollout.Observation) { o.Deadline, o.PodMessage, o.TemplateReady = true, "not ready", false },
			rollout.Decision{Run: "old", Stable: "old", State: rollout.RollingBack, Failure: &rollout.Failure{Reason: "ProgressDeadlineExceeded", Message: "not ready"}},
		},
		"in mode Manual a person decides": {
			func(o *rollout.Observation) { o.Automatic, o.Nack = false, "no" },
			rollout.Decision{Run: "new", Stable: "old", State: rollout.Holding, Bad: &rollout.Failure{Reason: "ConfigRejected", Message: "no"}},
		},
		"the first revision has nowhere to go back to": {
			func(o *rollout.Observation) { o.Revisions, o.Nack = o.Revisions[1:], "no" },
			rollout.Decision{Run: "new", State: rollout.Guarding},
		},
		"after a failure the stable one runs until all pods have left": {
			func(o *rollout.Observation) { o.Revisions[1].Verdict = rollout.Failed },
			rollout.Decision{Run: "old", Stable: "old", State: rollout.RollingBack},
		},
		"and stays": {
			func(o *rollout.Observation) {
				o.Revisions[1].Verdict, o.LeftBehind, o.Breach, o.Breaches = rollout.Failed, true, &drops, 9
			},
			rollout.Decision{Run: "old", Stable: "old", State: rollout.RolledBack},
		},
		"a healthy one is not judged again": {
			func(o *rollout.Observation) {
				o.Revisions[1].Verdict, o.Breach, o.Breaches = rollout.Healthy, &drops, 9
			},
			rollout.Decision{Run: "new", Stable: "new", State: rollout.Idle},
		},
		"a newer spec supersedes the one that had no verdict": {
			func(o *rollout.Observation) {
				o.Desired, o.Revisions = "newer", append(o.Revisions, rollout.Revision{Name: "newer", Verdict: rollout.Pending, GuardStart: start})
			},
			rollout.Decision{Run: "newer", Stable: "old", State: rollout.Guarding, Supersede: []string{"new"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := running()
			c.change(o)
			if diff := cmp.Diff(c.want, rollout.Step(o)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A log that fails makes publishes fail under any revision.
func TestAnOutageOfTheLogIsNoFaultOfARevision(t *testing.T) {
	b := rollout.Judge(&fleet.Summary{Offered: 1000, ErrorPercent: 50, BrokerDown: []string{"pod-a"}}, rollout.DefaultThresholds())
	if b == nil || b.Reason != rollout.ReasonBrokerUnavailable || b.Metric != "" {
		t.Errorf("got %+v", b)
	}
}

func TestPagesAreJudgedOnlyWhenAskedForAndByTwentyReports(t *testing.T) {
	slow := fleet.Summary{BrowserReports: 20, BrowserP95: time.Minute}
	limits := rollout.DefaultThresholds()
	if b := rollout.Judge(&slow, limits); b != nil {
		t.Errorf("without a threshold: %+v", b)
	}
	limits.MaxBrowserP95 = time.Second
	slow.BrowserReports--
	if b := rollout.Judge(&slow, limits); b != nil {
		t.Errorf("by 19 reports: %+v", b)
	}
}

func TestThresholdsAreCrossedFromAbove(t *testing.T) {
	limits := rollout.DefaultThresholds()
	limits.MaxBrowserP95 = 2 * time.Second
	for reason, c := range map[string]struct{ at, over fleet.Summary }{
		rollout.ReasonErrorRateHigh: {fleet.Summary{Offered: 100, ErrorPercent: 1}, fleet.Summary{Offered: 100, ErrorPercent: 1.01}},
		rollout.ReasonDropRateHigh:  {fleet.Summary{Offered: 100, DropPercent: 1}, fleet.Summary{Offered: 100, DropPercent: 1.01}},
		rollout.ReasonLatencyHigh:   {fleet.Summary{Offered: 100, LatencyP99: time.Second}, fleet.Summary{Offered: 100, LatencyP99: time.Second + 1}},
		rollout.ReasonQueueFull:     {fleet.Summary{QueuePercent: 90}, fleet.Summary{QueuePercent: 90.1}},
		rollout.ReasonReconnectStorm: {
			fleet.Summary{Connections: 1000, ReconnectsPerMinute: 200}, fleet.Summary{Connections: 1000, ReconnectsPerMinute: 201}},
		rollout.ReasonBrowserLatencyHigh: {
			fleet.Summary{BrowserReports: 20, BrowserP95: 2 * time.Second}, fleet.Summary{BrowserReports: 20, BrowserP95: 2*time.Second + 1}},
		rollout.ReasonReplayWindowShort: {fleet.Summary{}, fleet.Summary{ShortReplay: []string{"a"}}},
	} {
		if b := rollout.Judge(&c.at, limits); b != nil {
			t.Errorf("%s: at the threshold: %+v", reason, b)
		}
		if b := rollout.Judge(&c.over, limits); b == nil || b.Reason != reason {
			t.Errorf("%s: above the threshold: %+v", reason, b)
		}
		quiet := c.over
		if quiet.Offered--; quiet.Offered > 0 && rollout.Judge(&quiet, limits) != nil {
			t.Errorf("%s: judged by %v events", reason, quiet.Offered)
		}
	}
}
