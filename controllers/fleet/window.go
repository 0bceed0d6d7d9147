package fleet

import (
	"time"

	"github.com/streamgateway/streamgateway/gateway/report"
)

// Window remembers the reports of the last while for each pod, so that counters
// become rates. The zero value is ready; it is not safe for use by
// several goroutines.
type Window struct {
	pods  map[string][]report.Report // by pod, oldest first
	marks map[string]report.Report   // by pod, see Mark
}

// Mark remembers where pods stand now.
func (w *Window) Mark() {
	w.marks = make(map[string]report.Report, len(w.pods))
	for pod, seen := range w.pods {
		w.marks[pod] = seen[len(seen)-1]
	}
}

// SinceMark cuts samples down to what came after the mark, without the writes
// that were waiting then for longer than late: the look that set the mark had
// them before its eyes. A pod that began anew since then keeps its whole
// sample, and so does one without a mark.
func (w *Window) SinceMark(samples []Sample, late time.Duration) []Sample {
	out := make([]Sample, len(samples))
	for i, s := range samples {
		mark, marked := w.marks[s.Newer.Pod]
		if marked && s.Older != nil && !anew(&mark, &s.Newer) {
			s.Older, s.counted = &mark, mark.Queue.Waiting.From(late.Seconds())
		}
		out[i] = s
	}
	return out
}

// Add takes in a round of answers and gives one sample for each pod that
// answered, which reaches back for length. Pods that are not among the answers are forgotten; one that failed
// to answer keeps what is known of it for the next round.
func (w *Window) Add(answers []Answer, length time.Duration) []Sample {
	kept := make(map[string][]report.Report, len(answers))
	var samples []Sample
	for _, a := range answers {
		seen := w.pods[a.Pod]
		if a.Report != nil {
			seen = append(recent(seen, a.Report, length), *a.Report)
			samples = append(samples, sample(seen))
		}
		if len(seen) > 0 {
			kept[a.Pod] = seen
		}
	}
	w.pods = kept
	return samples
}

// recent leaves out what is older than the window, except for the youngest
// such report: pods may be asked less often than the window is long. After a
// restart of the pod nothing is left.
func recent(seen []report.Report, newest *report.Report, length time.Duration) []report.Report {
	if len(seen) > 0 && anew(&seen[len(seen)-1], newest) {
		return nil
	}
	start := newest.Time.Add(-length)
	for len(seen) > 1 && !seen[1].Time.After(start) {
		seen = seen[1:]
	}
	// Rounds may come much faster than is needed while something moves; a window
	// in twenty pieces is enough to remember, however long it is.
	if n := len(seen); n > 1 && newest.Time.Sub(seen[n-2].Time) < length/20 {
		seen = seen[:n-1]
	}
	return seen
}

func sample(seen []report.Report) Sample {
	s := Sample{Newer: seen[len(seen)-1]}
	if len(seen) > 1 {
		s.Older = &seen[0]
	}
	return s
}
