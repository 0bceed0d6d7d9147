package streamgateway

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

func TestIdleGatewayHasNothingToWrite(t *testing.T) {
	first := serving()
	next := nextPass(first, time.Hour)
	if diff := cmp.Diff(next.sg.Status, next.status()); diff != "" {
		t.Error(diff)
	}
}

func TestNumbersAloneAreWrittenEveryThirtySecondsAndOnlyWhenOneMoves(t *testing.T) {
	busy := func(s *scope, eventsPerSecond float64) *scope {
		s.summary.Connections, s.summary.Offered, s.summary.EventsPerSecond = 12345, 1000, eventsPerSecond
		return s
	}
	first := busy(serving(), 1000)
	if got := *first.status().Metrics.EventsPerSecond; got != 1000 {
		t.Fatalf("events %d/s", got)
	}
	cases := []struct {
		name  string
		later time.Duration
		rate  float64
		want  int64
	}{
		{"a move within 30 s waits", 29 * time.Second, 2000, 1000},
		{"a move after 30 s is written", 31 * time.Second, 2000, 2000},
		{"a move below the rounding is none", time.Hour, 1040, 1000},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			next := busy(nextPass(first, c.later), c.rate)
			got := next.status()
			if *got.Metrics.EventsPerSecond != c.want {
				t.Errorf("events %d/s, want %d", *got.Metrics.EventsPerSecond, c.want)
			}
			if unchanged := cmp.Equal(next.sg.Status, got); unchanged != (c.want == 1000) {
				t.Errorf("unchanged: %v", unchanged)
			}
		})
	}
}

// A gateway whose traffic comes and goes must not write at each turn.
func TestHealthThatFollowsTrafficWaitsWithTheNumbers(t *testing.T) {
	first := serving() // idle
	next := nextPass(first, 5*time.Second)
	next.summary.Offered, next.summary.EventsPerSecond = 50, 5
	if diff := cmp.Diff(next.sg.Status, next.status()); diff != "" {
		t.Errorf("written after 5 s: %s", diff)
	}
	later := nextPass(first, 31*time.Second)
	later.summary.Offered, later.summary.EventsPerSecond = 50, 5
	if c := meta.FindStatusCondition(later.status().Conditions, v1alpha1.ConditionHealthy); c.Reason != v1alpha1.ReasonInsufficientTraffic {
		t.Errorf("after 31 s Healthy is %s", c.Reason)
	}
}

func TestOneBadLookIsAnAccidentAndTwoAreABreach(t *testing.T) {
	first := serving()
	bad := nextPass(first, 5*time.Second)
	bad.summary.Offered, bad.summary.DropPercent = 1000, 50
	if c := meta.FindStatusCondition(bad.status().Conditions, v1alpha1.ConditionHealthy); c.Status != metav1.ConditionTrue {
		t.Errorf("after one bad look Healthy is %s/%s", c.Status, c.Reason)
	}
	if bad.wait != movingInterval {
		t.Errorf("the next look is in %s", bad.wait)
	}
	again := nextPass(first, 6*time.Second)
	again.sg.Status = bad.sg.Status
	again.summary.Offered, again.summary.DropPercent = 1000, 50
	again.memory.breach, again.memory.breaches = v1alpha1.ReasonDropRateHigh, 1
	if c := meta.FindStatusCondition(again.status().Conditions, v1alpha1.ConditionHealthy); c.Reason != v1alpha1.ReasonDropRateHigh {
		t.Errorf("after two bad looks Healthy is %s/%s", c.Status, c.Reason)
	}
}

func TestStatusOfOurOwnLastWriteCountsWhenTheCacheIsBehind(t *testing.T) {
	s := serving()
	s.memory.status = &v1alpha1.StreamGatewayStatus{ActiveRevision: "from-memory"}
	for version, want := range map[string]string{"101": "from-memory", "100": "before", "99": "before"} {
		s.memory.statusRV = version
		if got := s.statusBefore().ActiveRevision; got != want {
			t.Errorf("written as %s, cached as 100: %s, want %s", version, got, want)
		}
	}
}
