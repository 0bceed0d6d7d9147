package streamgateway

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
	"github.com/streamgateway/streamgateway/controllers/rollout"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// flagOff is a flag of a revision that was switched off alone, so that the rest
// of the revision could stay. It belongs to the revision: the next one has it
// as its spec says.
type flagOff struct {
	Name      string    `json:"name"`
	Metric    string    `json:"metric"`
	Observed  string    `json:"observed"`
	Threshold string    `json:"threshold"`
	Time      time.Time `json:"time"`
}

// flagsOff are the flags of a revision that were switched off.
func (s *scope) flagsOff(revision string) []flagOff {
	if v := s.revision(revision); v != nil {
		return v.detail.Flags
	}
	return nil
}

// withoutFlags are the settings of a revision without the flags that were
// switched off.
func (s *scope) withoutFlags(revision string, hot config.Hot) config.Hot {
	var names []v1alpha1.FeatureName
	for _, f := range s.flagsOff(revision) {
		names = append(names, v1alpha1.FeatureName(f.Name))
	}
	if len(names) == 0 {
		return hot
	}
	return resources.Disable(hot, names)
}

// raisedFlags are those that the change on trial gives to more pages.
func (s *scope) raisedFlags() []string {
	if s.base == nil {
		return nil
	}
	now := exposed(s.fit(s.withoutFlags(s.plan.Revision, s.plan.Hot), nil))
	return now.Raised(exposed(s.fit(s.withoutFlags(s.base.plan.Revision, s.base.plan.Hot), nil)))
}

// exposed is how many percent of pages have each flag on.
func exposed(hot config.Hot) rollout.Exposed {
	all := rollout.Exposed{}
	for _, name := range []string{"sse", "unifiedStream", "batching", "compression", "sharedConnection", "replay", "coalesce", "beacon"} {
		all[name] = 100 // on unless they are switched off
	}
	for _, f := range hot.Features {
		switch f.Mode {
		case config.Percent:
			all[f.Name] = f.Percent
		case config.Enabled:
			all[f.Name] = 100
		default:
			all[f.Name] = 0
		}
	}
	return all
}

// pagesRemember is how long what pages report tells of a time before: pods keep
// reports for a minute, and the next one of a page, which comes within a
// little more than an interval, is about events of before.
func (s *scope) pagesRemember() time.Duration {
	return time.Minute + s.plan.Hot.Observability.BeaconInterval*12/10
}

// settles tells whether pages still report of the time before a flag was
// switched off.
func (s *scope) settles() bool {
	off := s.flagsOff(s.desired)
	return len(off) > 0 && s.now.Sub(off[len(off)-1].Time) < s.pagesRemember()
}

// switchOff has one flag of a revision switched off: that is stored first, and
// then pushed.
func (r *Reconciler) switchOff(ctx context.Context, s *scope, v *revision) error {
	f := s.decision.SwitchOff
	v.detail.Flags = append(v.detail.Flags, flagOff{Name: f.Flag, Metric: f.Metric, Observed: f.Observed, Threshold: f.Threshold, Time: s.now})
	if err := r.writeRevision(ctx, s, v); err != nil {
		return err
	}
	r.normal(s, about(v), "FeatureDisabled", actionRollback, "%s; it is switched off on every pod, the rest of revision %s stays", f.Message, v.name)
	if err := r.config(ctx, s); err != nil {
		return err
	}
	return r.observe(ctx, s)
}

// flagsNote says what was switched off of a revision, empty: nothing.
func (s *scope) flagsNote(revision string) string {
	var all []string
	for _, f := range s.flagsOff(revision) {
		all = append(all, fmt.Sprintf("%s (%s %s over %s)", f.Name, f.Metric, f.Observed, f.Threshold))
	}
	if len(all) == 0 {
		return ""
	}
	return "; without " + strings.Join(all, ", ")
}
