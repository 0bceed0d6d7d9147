package streamgateway

import (
	"math"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/fleet"
	"github.com/streamgateway/streamgateway/controllers/rollout"
)

const (
	// staleAfter is how long ready pods may not answer before their numbers
	// are called stale.
	staleAfter = 15 * time.Second
	// consecutiveBreaches is how often in a row a threshold has to be crossed
	// where spec does not say: once is an accident.
	consecutiveBreaches = 2
)

// healthy judges the pods' numbers.
func (s *scope) healthy() verdict {
	reason, message := "", ""
	if b := rollout.Judge(&s.summary, s.thresholds()); b != nil {
		reason, message = b.Reason, b.Message
	}
	minEvents := s.thresholds().MinEvents
	if reason == "" || reason != s.memory.breach {
		s.memory.breach, s.memory.breaches = reason, 0
	}
	switch {
	case s.summary.Pods == 0 && s.readyPods() > 0 && s.now.Sub(s.memory.lastAnswer(s.now)) > staleAfter:
		return unknown(v1alpha1.ReasonMetricsStale, "no pod has told its numbers for %s", staleAfter)
	case s.summary.Pods == 0:
		return s.healthBefore()
	case reason != "":
		s.memory.breaches++
		if s.memory.breaches < s.settings().ConsecutiveBreaches {
			s.lookAgain(movingInterval)
			return s.healthBefore()
		}
		return no(reason, "%s", message)
	case s.summary.Rated == 0:
		s.lookAgain(movingInterval) // a second report makes a rate
		return s.healthBefore()
	case s.summary.Offered == 0 && s.summary.PublishesPerSecond == 0:
		return yes(v1alpha1.ReasonIdle, "no events")
	case s.summary.Offered < float64(minEvents):
		return unknown(v1alpha1.ReasonInsufficientTraffic, "fewer than %d deliveries in %s", minEvents, s.window())
	}
	return yes(v1alpha1.ReasonWithinThresholds, "")
}

// healthBefore is what status says already: nothing new is known.
func (s *scope) healthBefore() verdict {
	if c := s.before(v1alpha1.ConditionHealthy); c != nil {
		return verdict{status: c.Status, reason: c.Reason, message: c.Message}
	}
	return unknown(v1alpha1.ReasonPending, "no pod has told its numbers yet")
}

// lastAnswer is when a pod answered last; a new leader starts counting when it
// looks first.
func (m *memory) lastAnswer(now time.Time) time.Time {
	if m.reportTime.IsZero() {
		m.reportTime = now
	}
	return m.reportTime
}

// metrics are the numbers for status: rounded, and those of before as long as
// none of them moves.
func (s *scope) metrics(before *v1alpha1.MetricsStatus) *v1alpha1.MetricsStatus {
	switch {
	case len(s.pods) == 0 && before == nil, len(s.pods) > 0 && s.summary.Pods == 0:
		return before
	case before != nil && s.summary.Pods > 0 && s.summary.Rated == 0:
		return before // a first look has no rates
	}
	m := rounded(&s.summary)
	if before != nil {
		m.SampledTime = before.SampledTime
		if equality.Semantic.DeepEqual(before, m) {
			return before
		}
	}
	m.SampledTime = &metav1.Time{Time: s.now.Truncate(time.Second)}
	return m
}

func rounded(s *fleet.Summary) *v1alpha1.MetricsStatus {
	m := &v1alpha1.MetricsStatus{
		Connections:            count32(float64(s.Connections)),
		QueuePercent:           ptr.To(int32(math.Round(s.QueuePercent))),
		LatencyP50Milliseconds: milliseconds(s.LatencyP50),
		LatencyP95Milliseconds: milliseconds(s.LatencyP95),
		LatencyP99Milliseconds: milliseconds(s.LatencyP99),
		ErrorPercent:           decimalPercent(s.ErrorPercent),
		DropPercent:            decimalPercent(s.DropPercent),
		EventsPerSecond:        count64(s.EventsPerSecond),
		PublishesPerSecond:     count64(s.PublishesPerSecond),
		ReconnectsPerMinute:    count64(s.ReconnectsPerMinute),
		SampledPods:            ptr.To(int32(s.Pods)),
	}
	if s.BrowserReports > 0 {
		m.BrowserP95Milliseconds = milliseconds(s.BrowserP95)
	}
	return m
}

// twoDigits rounds to two significant digits.
func twoDigits(v float64) float64 {
	if v < 100 {
		return math.Round(v)
	}
	unit := math.Pow(10, math.Floor(math.Log10(v))-1)
	return math.Round(v/unit) * unit
}

func count32(v float64) *int32 { return ptr.To(int32(min(twoDigits(v), math.MaxInt32))) }

func count64(v float64) *int64 {
	const most = 1e15 // more than any pod can do; a float holds it exactly
	return ptr.To(int64(min(twoDigits(v), most)))
}

// milliseconds rounds up below one: a latency that was measured is not zero.
func milliseconds(d time.Duration) *int32 {
	v := float64(d) / float64(time.Millisecond)
	if v > 0 && v < 1 {
		v = 1
	}
	return count32(v)
}

// decimalPercent has two decimals below 1, one below 10, else none.
func decimalPercent(v float64) v1alpha1.DecimalPercent {
	v = min(max(v, 0), 100)
	decimals := 0
	switch {
	case v < 0.995:
		decimals = 2
	case v < 9.95:
		decimals = 1
	}
	return v1alpha1.DecimalPercent(strconv.FormatFloat(v, 'f', decimals, 64))
}
