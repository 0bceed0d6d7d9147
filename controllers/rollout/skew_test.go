package rollout_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/streamgateway/streamgateway/controllers/fleet"
	"github.com/streamgateway/streamgateway/controllers/rollout"
	"github.com/streamgateway/streamgateway/gateway/report"
)

// busy is what a healthy pod has done after so many seconds: a thousand events
// a second to a hundred streams, delivered in ten milliseconds, and a stream
// lost every half minute.
func busy(seconds int, clock time.Time) report.Report {
	latency := report.Histogram{Counts: make([]uint64, report.Buckets)}
	latency.Counts[report.Bucket(0.01)] = uint64(1000 * seconds)
	return report.Report{
		Pod: "a", Time: clock, Revision: "new",
		Connections: report.Connections{Active: 100, Lost: uint64(seconds / 30)},
		Events:      report.Events{Delivered: uint64(1000 * seconds), Published: uint64(10 * seconds)}, Latency: latency,
	}
}

// A pod's clock may be hours away from the operator's, and be set while
// anybody looks.
func TestClockThatIsWrongOrIsSetFailsNoRevision(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clock := start.Add(time.Duration(rapid.Int64Range(-1e15, 1e15).Draw(t, "skew")))
		var w fleet.Window
		for second := range 90 {
			clock = clock.Add(time.Second)
			if rapid.IntRange(0, 9).Draw(t, "set") == 0 {
				clock = clock.Add(time.Duration(rapid.Int64Range(-11e9, 11e9).Draw(t, "by")))
			}
			r := busy(second, clock)
			s := fleet.Summarize(w.Add([]fleet.Answer{{Pod: "a", Report: &r}}, 10*time.Second), 0, fleet.Wanted{})
			if b := rollout.Judge(&s, rollout.DefaultThresholds()); b != nil {
				t.Fatalf("second %d: %+v of %+v", second, b, s)
			}
		}
	})
}

// What a pod says may be anything; what becomes of it are numbers.
func TestReportOfNonsenseIsJudgedWithoutHarm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nonsense := func() report.Report {
			count := func() uint64 { return rapid.Uint64().Draw(t, "count") }
			r := report.Report{
				Pod: "a", Revision: "new", Time: start.Add(time.Duration(rapid.Int64().Draw(t, "time"))),
				Connections: report.Connections{Active: rapid.Int().Draw(t, "active"), Lost: count()},
				Events: report.Events{
					Published: count(), PublishFailed: count(), Delivered: count(), DeliveryFailed: count(), Dropped: count(),
				},
				Queue: report.Queue{LagPercent: rapid.Float64().Draw(t, "lag")},
			}
			r.Latency.Counts = rapid.SliceOfN(rapid.Uint64(), 0, report.Buckets).Draw(t, "latency")
			return r
		}
		var w fleet.Window
		for range 3 {
			r := nonsense()
			s := fleet.Summarize(w.Add([]fleet.Answer{{Pod: "a", Report: &r}}, time.Second), 0, fleet.Wanted{})
			rollout.Judge(&s, rollout.DefaultThresholds())
			for _, v := range []float64{s.ErrorPercent, s.DropPercent} {
				if math.IsNaN(v) || v < 0 || v > 100 {
					t.Fatalf("a percentage of %v", v)
				}
			}
		}
	})
}
