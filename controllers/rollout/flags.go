package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/streamgateway/streamgateway/controllers/fleet"
)

// Blame gives the flag, of those that a change has turned on or raised, whose
// pages report late events while those without it do not; nil: no flag is to
// blame. Of several it is the worst.
func Blame(s *fleet.Summary, changed []string, t Thresholds) *Breach {
	var worst *fleet.Flag
	for i := range s.Flags {
		f := &s.Flags[i]
		late := f.OnReports >= fewReports && f.OnP95 > t.MaxBrowserP95
		fine := f.OffReports >= fewReports && f.OffP95 <= t.MaxBrowserP95
		if t.MaxBrowserP95 > 0 && late && fine && slices.Contains(changed, f.Name) && (worst == nil || f.OnP95 > worst.OnP95) {
			worst = f
		}
	}
	if worst == nil {
		return nil
	}
	return &Breach{
		Reason: ReasonBrowserLatencyHigh, Flag: worst.Name, Metric: "browserP95", Observed: worst.OnP95.Round(time.Millisecond).String(), Threshold: t.MaxBrowserP95.String(),
		Message: fmt.Sprintf("pages with the flag %s report late events, and those without it do not", worst.Name),
	}
}

// flagAlone is the flag that is to go so that the rest of the change can stay,
// nil if there is none. Whatever else is wrong with the revision is not the
// flag's.
func (o *Observation) flagAlone(f *Failure) *Failure {
	b := o.FlagBreach
	if b == nil || o.FlagBreaches < o.ConsecutiveBreaches || f != nil && f.Reason != b.Reason {
		return nil
	}
	return &Failure{
		Reason: b.Reason, Flag: b.Flag, Metric: b.Metric, Observed: b.Observed, Threshold: b.Threshold,
		Message: fmt.Sprintf("flag %s: %s %s over %s among the pages that have it, and not among the others", b.Flag, b.Metric, b.Observed, b.Threshold),
	}
}

// spared tells that a failure may be a flag's, which another look will show.
func (o *Observation) spared(f *Failure) bool {
	return f != nil && o.FlagBreach != nil && f.Reason == o.FlagBreach.Reason
}

// switchOff has a flag switched off by the operator, or by a person where
// nothing is automatic.
func (d *Decision) switchOff(o *Observation, f *Failure) {
	if !o.Automatic {
		d.State, d.Bad = Holding, f
		return
	}
	d.SwitchOff = f
}

// Exposed is a percentage of pages that have a flag on, by name; those that are
// not named have it on for nobody.
type Exposed map[string]int

// Raised are the names whose exposure is higher now than before, sorted.
func (now Exposed) Raised(before Exposed) (names []string) {
	for name, percent := range now {
		if percent > before[name] {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, cmp.Compare[string])
	return names
}
