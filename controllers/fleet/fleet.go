// Package fleet asks the gateway pods of one StreamGateway how they are and
// folds their answers into one Summary.
//
// Asking (Client) is a thin rim over HTTP that trusts no pod: an answer is
// bounded in size and time and is checked before it is used. Remembering
// (Window) and folding (Summarize) are pure. It knows nothing of Kubernetes;
// controllers/streamgateway calls it with the addresses of pods that it knows
// to be its own, and turns the Summary into status.
package fleet

import (
	"github.com/streamgateway/streamgateway/gateway/report"
)

// Target is a pod to ask.
type Target struct {
	Pod     string // name; the report has to carry the same one
	Address string // host:port of the admin port
}

// Answer is what came of asking one pod: a report or an error, never both.
type Answer struct {
	Pod    string
	Report *report.Report
	Err    error
}

// Sample is what one pod did over a while. Older is nil for a pod that was
// seen once: it counts in what is true now and in no rate.
type Sample struct {
	Older *report.Report
	Newer report.Report

	counted uint64 // of the latest writes, those that do not count any more
}

// seconds is how long the sample lasted by the pod's own clock, so that no
// other machine's clock and no slow answer bends a rate.
func (s Sample) seconds() float64 {
	if s.Older == nil {
		return 0
	}
	return max(s.Newer.Time.Sub(s.Older.Time).Seconds(), 0)
}

// anew tells that what the pod did before the newer report does not count: its
// counters began again, or it has got another revision, which the one before
// is not to be blamed for.
func anew(older, newer *report.Report) bool {
	return !older.StartTime.Equal(newer.StartTime) || newer.Time.Before(older.Time) || older.Revision != newer.Revision
}

// Wanted is what pods shall run.
type Wanted struct {
	Serial   int64
	Revision func(pod string) string // nil: whichever the document gives the pod
}

// Acked tells whether the pod runs what it shall. One that knows the document
// but not how to try a candidate has not.
func (w Wanted) Acked(r *report.Report) bool {
	return !w.nacked(r) && r.Serial >= w.Serial && (w.Revision == nil || w.Revision(r.Pod) == r.Revision)
}

func (w Wanted) nacked(r *report.Report) bool { return r.Nack != nil && r.Nack.Serial >= w.Serial }
