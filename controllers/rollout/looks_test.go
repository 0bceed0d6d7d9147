package rollout_test

import (
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/controllers/fleet"
	"github.com/streamgateway/streamgateway/controllers/rollout"
)

func TestLooksInARowAreCounted(t *testing.T) {
	type look struct {
		at     float64 // seconds
		breach *rollout.Breach
		goesOn bool
		want   int
	}
	late := &rollout.Breach{Reason: rollout.ReasonLatencyHigh}
	for name, looks := range map[string][]look{
		"a breach that goes on":                             {{0, &drops, true, 1}, {1, &drops, true, 2}, {2, &drops, true, 3}},
		"the first one counts by itself":                    {{0, &drops, false, 1}},
		"looks within the interval are one":                 {{0, &drops, true, 1}, {0.5, &drops, true, 1}, {0.95, &drops, true, 2}},
		"a breach that is over does not count":              {{0, &drops, true, 1}, {1, &drops, false, 1}, {2, &drops, false, 1}},
		"and does when it comes again while it is in sight": {{0, &drops, true, 1}, {1, &drops, false, 1}, {2, &drops, true, 2}},
		"a look that finds nothing begins anew":             {{0, &drops, true, 1}, {1, nil, true, 0}, {2, &drops, true, 1}},
		"another reason is another breach":                  {{0, &drops, true, 1}, {1, late, true, 1}, {2, late, true, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			var j rollout.Looks
			for i, l := range looks {
				before := j.Count
				var counted bool
				j, counted = j.Next(start.Add(time.Duration(l.at*float64(time.Second))), time.Second, "new", l.breach, func(*rollout.Breach) bool { return l.goesOn })
				if j.Count != l.want {
					t.Fatalf("look %d: %d in a row, want %d", i, j.Count, l.want)
				}
				if counted != (j.Count > before || i > 0 && l.breach != nil && l.breach != looks[i-1].breach) && l.breach != nil {
					t.Errorf("look %d: counted is %v", i, counted)
				}
			}
			if again, _ := j.Next(start.Add(time.Minute), time.Second, "newer", &drops, func(*rollout.Breach) bool { return true }); again.Count != 1 {
				t.Errorf("another revision begins with %d", again.Count)
			}
		})
	}
}

func TestBreachGoesOnByItsOwnMetric(t *testing.T) {
	thresholds := rollout.DefaultThresholds()
	bad := map[string]fleet.Summary{
		rollout.ReasonErrorRateHigh:  {Offered: 1, ErrorPercent: 50},
		rollout.ReasonDropRateHigh:   {Offered: 1, DropPercent: 50},
		rollout.ReasonLatencyHigh:    {Offered: 1, LatencyP99: 2 * time.Second},
		rollout.ReasonReconnectStorm: {ReconnectsPerMinute: 1},
	}
	for reason := range bad {
		b := &rollout.Breach{Reason: reason}
		for other, since := range bad {
			if got := b.GoesOn(&since, thresholds); got != (other == reason) {
				t.Errorf("%s goes on with %s: %v", reason, other, got)
			}
		}
		if b.GoesOn(&fleet.Summary{}, thresholds) {
			t.Errorf("%s goes on with nothing", reason)
		}
	}
	if !(&rollout.Breach{Reason: rollout.ReasonQueueFull}).GoesOn(&fleet.Summary{}, thresholds) {
		t.Error("a full queue is a state, and goes on as long as it is found")
	}
}
