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
		TemplateReady: true, AllAcked: true, Moved: true,
	}
}

// trial is what is decided of a revision that all pods shall run at once, and
// that nothing is wrong with; back is the stable one for all of them.
func trial(s rollout.State) rollout.Decision {
	return rollout.Decision{Run: "new", Stable: "old", Base: "old", Step: 1, Steps: 1, Percent: 100, State: s}
}

func back(s rollout.State, f *rollout.Failure) rollout.Decision {
	return rollout.Decision{Run: "old", Stable: "old", Percent: 100, State: s, Failure: f}
}

func with(d rollout.Decision, change func(*rollout.Decision)) rollout.Decision {
	change(&d)
	return d
}

var drops = rollout.Breach{Reason: rollout.ReasonDropRateHigh, Metric: "dropPercent", Observed: "6.2", Threshold: "0.5"}

func TestDecisionFollowsFromWhatIsSeen(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*rollout.Observation)
		want   rollout.Decision
	}{
		"a revision that runs is guarded": {
			func(*rollout.Observation) {},
			trial(rollout.Guarding),
		},
		"new pods are waited for": {
			func(o *rollout.Observation) { o.TemplateReady, o.AllAcked = false, false },
			trial(rollout.Preparing),
		},
		"acks are waited for": {
			func(o *rollout.Observation) { o.AllAcked = false },
			trial(rollout.Pushing),
		},
		"the guard begins when all pods run it": {
			func(o *rollout.Observation) { o.Revisions[1].GuardStart = time.Time{} },
			with(trial(rollout.Guarding), func(d *rollout.Decision) { d.StartGuard, d.KeepBase = true, true }),
		},
		"without a guard period it is healthy at once": {
			func(o *rollout.Observation) { o.GuardPeriod, o.Revisions[1].GuardStart = 0, time.Time{} },
			rollout.Decision{Run: "new", Stable: "new", Percent: 100, State: rollout.Idle, StartGuard: true, Promote: rollout.ReasonGuardPassed},
		},
		"after the guard period it is healthy": {
			func(o *rollout.Observation) { o.Now = start.Add(5 * time.Minute) },
			rollout.Decision{Run: "new", Stable: "new", Percent: 100, State: rollout.Idle, Promote: rollout.ReasonGuardPassed},
		},
		"so it is when nothing could be judged, and says so": {
			func(o *rollout.Observation) { o.Now, o.TooQuiet = start.Add(5*time.Minute), true },
			rollout.Decision{Run: "new", Stable: "new", Percent: 100, State: rollout.Idle, Promote: rollout.ReasonTooQuiet},
		},
		"one breach is an accident": {
			func(o *rollout.Observation) { o.Breach, o.Breaches = &drops, 1 },
			trial(rollout.Guarding),
		},
		"no guard period ends within a breach": {
			func(o *rollout.Observation) { o.Breach, o.Breaches, o.Now = &drops, 1, start.Add(time.Hour) },
			trial(rollout.Guarding),
		},
		"two in a row are not": {
			func(o *rollout.Observation) { o.Breach, o.Breaches = &drops, 2 },
			back(rollout.RollingBack, &rollout.Failure{
				Reason: "DropRateHigh", Message: "dropPercent 6.2 over 0.5, 2 looks in a row", Metric: "dropPercent", Observed: "6.2", Threshold: "0.5"}),
		},
		"what was broken before is not its fault": {
			func(o *rollout.Observation) {
				o.Breach, o.Breaches, o.Revisions[1].UnhealthyBefore = &drops, 9, rollout.ReasonDropRateHigh
			},
			trial(rollout.Guarding),
		},
		"what pods of the stable revision do as well is not its fault": {
			func(o *rollout.Observation) { o.Breach, o.Breaches, o.Common = &drops, 9, true },
			trial(rollout.Guarding),
		},
		"the pods of before stand by for the warm period": {
			func(o *rollout.Observation) { o.WarmPeriod = time.Minute + 1 },
			with(trial(rollout.Guarding), func(d *rollout.Decision) { d.KeepBase = true }),
		},
		"the guard begins when the pods of before stand by": {
			func(o *rollout.Observation) { o.Moved, o.Revisions[1].GuardStart = false, time.Time{} },
			with(trial(rollout.Promoting), func(d *rollout.Decision) { d.KeepBase = true }),
		},
		"a short replay window fails nothing": {
			func(o *rollout.Observation) {
				o.Breach, o.Breaches = &rollout.Breach{Reason: rollout.ReasonReplayWindowShort}, 9
			},
			trial(rollout.Guarding),
		},
		"a refusal counts at once": {
			func(o *rollout.Observation) { o.Nack, o.AllAcked = "pod a: no", false },
			back(rollout.RollingBack, &rollout.Failure{Reason: "ConfigRejected", Message: "pod a: no"}),
		},
		"so does a crash": {
			func(o *rollout.Observation) {
				o.PodReason, o.PodMessage, o.TemplateReady = "PodsCrashing", "pod a", false
			},
			back(rollout.RollingBack, &rollout.Failure{Reason: "PodsCrashing", Message: "pod a"}),
		},
		"and the deadline": {
			func(o *rollout.Observation) { o.Deadline, o.PodMessage, o.TemplateReady = true, "not ready", false },
			back(rollout.RollingBack, &rollout.Failure{Reason: "ProgressDeadlineExceeded", Message: "not ready"}),
		},
		"in mode Manual a person decides": {
			func(o *rollout.Observation) { o.Automatic, o.Nack = false, "no" },
			with(trial(rollout.Holding), func(d *rollout.Decision) { d.Bad = &rollout.Failure{Reason: "ConfigRejected", Message: "no"} }),
		},
		"the first revision has nowhere to go back to": {
			func(o *rollout.Observation) { o.Revisions, o.Nack = o.Revisions[1:], "no" },
			rollout.Decision{Run: "new", Percent: 100, State: rollout.Guarding, NoWayBack: &rollout.Failure{Reason: "ConfigRejected", Message: "no"}},
		},
		"after a failure the stable one runs until all pods have left": {
			func(o *rollout.Observation) { o.Revisions[1].Verdict = rollout.Failed },
			back(rollout.RollingBack, nil),
		},
		"and stays": {
			func(o *rollout.Observation) {
				o.Revisions[1].Verdict, o.LeftBehind, o.Breach, o.Breaches = rollout.Failed, true, &drops, 9
			},
			back(rollout.RolledBack, nil),
		},
		"a healthy one is not judged again": {
			func(o *rollout.Observation) {
				o.Revisions[1].Verdict, o.Breach, o.Breaches = rollout.Healthy, &drops, 9
			},
			rollout.Decision{Run: "new", Stable: "new", Percent: 100, State: rollout.Idle},
		},
		"a newer spec supersedes the one that had no verdict": {
			func(o *rollout.Observation) {
				o.Desired, o.Revisions = "newer", append(o.Revisions, rollout.Revision{Name: "newer", Verdict: rollout.Pending, GuardStart: start})
			},
			with(trial(rollout.Guarding), func(d *rollout.Decision) { d.Run, d.Supersede = "newer", []string{"new"} }),
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
	b = rollout.Judge(&fleet.Summary{Offered: 1000, ErrorPercent: 50, BrokerDown: []string{"pod-a"}, BrokerFull: []string{"pod-a"}}, rollout.DefaultThresholds())
	if b == nil || b.Reason != rollout.ReasonBrokerStorageFull || b.Metric != "" {
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
