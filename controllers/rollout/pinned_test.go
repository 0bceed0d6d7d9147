package rollout_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgateway/streamgateway/controllers/rollout"
)

func TestPinnedRevisionRunsWhateverBecameOfIt(t *testing.T) {
	for _, verdict := range []rollout.Verdict{rollout.Failed, rollout.Healthy, rollout.Superseded, rollout.Pending} {
		o := &rollout.Observation{
			Settings: rollout.Settings{Automatic: true, GuardPeriod: time.Minute, ConsecutiveBreaches: 1}, Now: start.Add(time.Hour), Desired: "pinned",
			Revisions: []rollout.Revision{{Name: "old", Verdict: rollout.Healthy}, {Name: "tried", Verdict: rollout.Pending}, {Name: "pinned", Verdict: verdict, GuardStart: start}},
			AllAcked:  true, TemplateReady: true, Moved: true, Nack: "pod a: no", Breach: &drops, Breaches: 9, Deadline: true,
		}
		want := rollout.Decision{Run: "pinned", Stable: "old", Percent: 100, State: rollout.Idle, Supersede: []string{"tried"}}
		if verdict == rollout.Healthy {
			want.Stable = "pinned"
		}
		if diff := cmp.Diff(want, rollout.Pinned(o)); diff != "" {
			t.Errorf("%s: %s", verdict, diff)
		}
	}
}

func TestPinnedRevisionIsOnItsWayUntilPodsRunIt(t *testing.T) {
	for _, c := range []struct {
		ready, acked bool
		want         rollout.State
	}{{false, false, rollout.Preparing}, {true, false, rollout.Pushing}, {true, true, rollout.Idle}} {
		o := &rollout.Observation{Desired: "pinned", Revisions: []rollout.Revision{{Name: "pinned"}}, TemplateReady: c.ready, AllAcked: c.acked, Moved: true}
		if d := rollout.Pinned(o); d.State != c.want {
			t.Errorf("ready %v, acked %v: %s, want %s", c.ready, c.acked, d.State, c.want)
		}
	}
}
