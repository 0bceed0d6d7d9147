package rollout_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/streamgateway/streamgateway/controllers/rollout"
)

// stepping is a revision in the second of three steps, ten seconds into a hold
// of thirty.
func stepping() *rollout.Observation {
	o := running()
	o.Stages = []rollout.Stage{{Percent: 25, Hold: time.Minute}, {Percent: 50, Hold: 30 * time.Second}, {Percent: 100, Hold: time.Hour}}
	o.Revisions[1] = rollout.Revision{Name: "new", Verdict: rollout.Pending, Step: 2, StepStart: start}
	o.Now = start.Add(10 * time.Second)
	return o
}

// step is what is decided in the second step when nothing is to be done.
func step(change func(*rollout.Decision)) rollout.Decision {
	return with(rollout.Decision{
		Run: "new", Stable: "old", Base: "old", KeepBase: true,
		Step: 2, Steps: 3, Percent: 50, State: rollout.Stepping, NextStepTime: start.Add(30 * time.Second),
	}, change)
}

func over(o *rollout.Observation) { o.Now = start.Add(30 * time.Second) }

func TestStepIsHeldAndJudged(t *testing.T) {
	inconclusive := rollout.Failure{Reason: "AnalysisInconclusive", Message: "step 2 of 3 ended with too few events to judge by"}
	for name, c := range map[string]struct {
		change func(*rollout.Observation)
		want   rollout.Decision
	}{
		"it is held": {func(*rollout.Observation) {}, step(func(*rollout.Decision) {})},
		"the hold begins when its pods run it": {
			func(o *rollout.Observation) { o.Revisions[1].StepStart = time.Time{} },
			step(func(d *rollout.Decision) { d.StartHold, d.NextStepTime = true, time.Time{} }),
		},
		"and not before": {
			func(o *rollout.Observation) { o.Revisions[1].StepStart, o.AllAcked = time.Time{}, false },
			step(func(d *rollout.Decision) { d.NextStepTime = time.Time{} }),
		},
		"nor while the pods of before do not stand by": {
			func(o *rollout.Observation) { o.Revisions[1].StepStart, o.Moved = time.Time{}, false },
			step(func(d *rollout.Decision) { d.NextStepTime = time.Time{} }),
		},
		"the first step is pushed first": {
			func(o *rollout.Observation) {
				o.Revisions[1].Step, o.Revisions[1].StepStart, o.AllAcked = 0, time.Time{}, false
			},
			step(func(d *rollout.Decision) {
				d.Step, d.Percent, d.State, d.NextStepTime = 1, 25, rollout.Pushing, time.Time{}
			}),
		},
		"or its pods start": {
			func(o *rollout.Observation) {
				o.Revisions[1].Step, o.Revisions[1].StepStart, o.TemplateReady, o.AllAcked = 1, time.Time{}, false, false
			},
			step(func(d *rollout.Decision) {
				d.Step, d.Percent, d.State, d.NextStepTime = 1, 25, rollout.Preparing, time.Time{}
			}),
		},
		"after its hold comes the next one": {over, step(func(d *rollout.Decision) { d.NextStep = 3 })},
		"but not while its pods are not there: a lost node is waited for": {
			func(o *rollout.Observation) { over(o); o.TemplateReady = false },
			step(func(*rollout.Decision) {}),
		},
		"nor within a breach": {
			func(o *rollout.Observation) { over(o); o.Breach, o.Breaches = &drops, 1 },
			step(func(*rollout.Decision) {}),
		},
		"a breach takes it back from the pods that have it": {
			func(o *rollout.Observation) { o.Breach, o.Breaches = &drops, 2 },
			back(rollout.RollingBack, &rollout.Failure{
				Reason: "DropRateHigh", Message: "dropPercent 6.2 over 0.5, 2 looks in a row", Metric: "dropPercent", Observed: "6.2", Threshold: "0.5"}),
		},
		"in mode Manual it stays on its pods": {
			func(o *rollout.Observation) { o.Automatic, o.Nack = false, "no" },
			step(func(d *rollout.Decision) {
				d.State, d.NextStepTime, d.Bad = rollout.Holding, time.Time{}, &rollout.Failure{Reason: "ConfigRejected", Message: "no"}
			}),
		},
		"a quiet step goes on": {
			func(o *rollout.Observation) { over(o); o.TooQuiet = true },
			step(func(d *rollout.Decision) { d.NextStep = 3 }),
		},
		"or waits for a person": {
			func(o *rollout.Observation) {
				over(o)
				o.TooQuiet, o.OnInconclusive = true, rollout.InconclusiveHold
			},
			step(func(d *rollout.Decision) { d.State, d.Bad = rollout.Holding, &inconclusive }),
		},
		"or is taken back": {
			func(o *rollout.Observation) {
				over(o)
				o.TooQuiet, o.OnInconclusive = true, rollout.InconclusiveRollback
			},
			back(rollout.RollingBack, &inconclusive),
		},
		"what the stable pods do as well proves nothing": {
			func(o *rollout.Observation) {
				over(o)
				o.Breach, o.Breaches, o.Common, o.OnInconclusive = &drops, 9, true, rollout.InconclusiveRollback
			},
			back(rollout.RollingBack, &rollout.Failure{Reason: "AnalysisInconclusive",
				Message: "step 2 of 3 ended while pods of the stable revision crossed the same threshold: DropRateHigh"}),
		},
		"the last step is on the way to all pods": {
			func(o *rollout.Observation) {
				o.Revisions[1].Step, o.Revisions[1].StepStart, o.AllAcked = 3, time.Time{}, false
			},
			step(func(d *rollout.Decision) {
				d.Step, d.Percent, d.State, d.NextStepTime = 3, 100, rollout.Promoting, time.Time{}
			}),
		},
		"and has no hold: the guard begins": {
			func(o *rollout.Observation) { o.Revisions[1].Step, o.Revisions[1].StepStart = 3, time.Time{} },
			step(func(d *rollout.Decision) {
				d.Step, d.Percent, d.State, d.StartGuard, d.NextStepTime = 3, 100, rollout.Guarding, true, time.Time{}
			}),
		},
		"a step that spec has no more is the last one": {
			func(o *rollout.Observation) { o.Stages, o.Revisions[1].StepStart = o.Stages[2:], time.Time{} },
			step(func(d *rollout.Decision) {
				d.Step, d.Steps, d.Percent, d.State, d.StartGuard, d.NextStepTime = 1, 1, 100, rollout.Guarding, true, time.Time{}
			}),
		},
		"without a stable one there are no steps": {
			func(o *rollout.Observation) { o.Revisions = o.Revisions[1:] },
			rollout.Decision{Run: "new", Percent: 100, State: rollout.Guarding, StartGuard: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := stepping()
			c.change(o)
			if diff := cmp.Diff(c.want, rollout.Step(o)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestShareIsRoundedUpToWholePods(t *testing.T) {
	for _, c := range []struct{ percent, pods, want int }{
		{1, 1, 1}, {25, 1, 1}, {25, 4, 1}, {25, 5, 2}, {50, 5, 3}, {100, 5, 5}, {1, 500, 5}, {25, 0, 0},
	} {
		if got := rollout.Share(c.percent, c.pods); got != c.want {
			t.Errorf("%d %% of %d pods are %d, want %d", c.percent, c.pods, got, c.want)
		}
	}
}

func TestChoiceStaysForAsLongAsTheChosenOnesAreThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`prices-[a-z]{5}`), 1, 40, rapid.ID).Draw(t, "pods")
		n := rapid.IntRange(0, len(names)).Draw(t, "n")
		chosen := rollout.Choose(names, nil, n)
		if len(chosen) != n || !slices.IsSorted(chosen) {
			t.Fatalf("%d of %d are %v", n, len(names), chosen)
		}
		// Pods come and go: those chosen that are left stay chosen.
		left := slices.DeleteFunc(slices.Clone(names), func(string) bool { return rapid.Bool().Draw(t, "gone") })
		left = append(left, "prices-new-1", "prices-new-2")
		more := min(n+rapid.IntRange(0, 3).Draw(t, "more"), len(left))
		next := rollout.Choose(rapid.Permutation(left).Draw(t, "order"), chosen, more)
		for _, name := range chosen {
			if slices.Contains(left, name) && !slices.Contains(next, name) {
				t.Fatalf("%s of %v was dropped for %v", name, chosen, next)
			}
		}
		if len(next) != more {
			t.Fatalf("%d of %v are %v", more, left, next)
		}
	})
}

func TestPodsStandByOnlyForReadyOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wanted, ready, others := rapid.IntRange(0, 50).Draw(t, "wanted"), rapid.IntRange(0, 50).Draw(t, "ready"), rapid.IntRange(0, 50).Draw(t, "others")
		n := rollout.StandBy(wanted, ready, others)
		if n < 0 || n > others {
			t.Fatalf("%d of %d stand by", n, others)
		}
		if serving := ready + others - n; serving < min(wanted, ready+others) {
			t.Fatalf("%d pods serve of %d wanted, while %d could", serving, wanted, ready+others)
		}
		if n > ready && ready <= wanted && others <= wanted {
			t.Fatalf("%d stand by for %d ready ones", n, ready)
		}
	})
}
