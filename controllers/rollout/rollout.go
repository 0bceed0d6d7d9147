// Package rollout decides which revision the pods of a gateway shall run, and
// what becomes of one that is new.
//
// It decides and does nothing: no client, no clock of its own, nothing
// remembered. All that it goes by is in the Observation; what it gives is a
// Decision that controllers/streamgateway, its only caller, carries out. So a
// leader that dies is replaced by one that decides the same.
package rollout

import (
	"fmt"
	"time"
)

// Verdict is what became of a revision.
type Verdict string

// Verdicts.
const (
	Pending    Verdict = "Pending"
	Healthy    Verdict = "Healthy"
	Failed     Verdict = "Failed"
	Superseded Verdict = "Superseded" // another one was asked for before it had a verdict
)

// State is where a change stands.
type State string

// States.
const (
	Idle        State = "Idle"        // the wanted revision is healthy
	Preparing   State = "Preparing"   // its pods start
	Pushing     State = "Pushing"     // not all pods have its config
	Guarding    State = "Guarding"    // all run it, and it is still judged
	Holding     State = "Holding"     // only a person can go on
	RollingBack State = "RollingBack" // it failed, and not all pods have left it
	RolledBack  State = "RolledBack"  // all pods run the stable one in its place
)

// Reasons that are no metric's.
const (
	ReasonConfigRejected   = "ConfigRejected"
	ReasonDeadlineExceeded = "ProgressDeadlineExceeded"
	ReasonGuardPassed      = "GuardPassed"
	ReasonTooQuiet         = "TooQuiet" // the guard period passed with too little traffic to judge by
)

// Revision is one revision as far as decisions go.
type Revision struct {
	Name    string
	Verdict Verdict
	// GuardStart is when all pods had it; zero: not yet.
	GuardStart time.Time
	// UnhealthyBefore is the reason why the gateway was not healthy when the
	// revision was asked for: it is not to blame for that. Empty: none.
	UnhealthyBefore string
}

// Settings are those of spec.
type Settings struct {
	Automatic           bool // false: a person takes bad revisions back
	GuardPeriod         time.Duration
	ConsecutiveBreaches int
}

// Observation is all that a decision goes by.
type Observation struct {
	Settings
	Now       time.Time
	Desired   string     // what spec asks for; among Revisions
	Revisions []Revision // oldest first

	// Of the wanted revision, while it runs:
	TemplateReady bool // its pods serve
	AllAcked      bool // every ready pod runs its config
	Nack          string
	PodReason     string // why its pods do not come up, as a reason; empty: they do, or may
	PodMessage    string
	Deadline      bool // no progress for too long
	Breach        *Breach
	Breaches      int // looks in a row that found it
	TooQuiet      bool

	// LeftBehind tells whether every ready pod runs what Decision.Run said
	// before: only then a rollback is over.
	LeftBehind bool
}

// Failure is why a revision failed.
type Failure struct {
	Reason, Message             string
	Metric, Observed, Threshold string // empty for what is no metric
}

// Decision is what to do now.
type Decision struct {
	Run    string // the revision that pods shall run
	Stable string // the newest healthy one, empty: none
	State  State
	// Failure is set when the wanted revision has just failed: the verdict is
	// to be stored before anything moves.
	Failure *Failure
	// Promote is set when the wanted revision is healthy from now on, with the
	// reason.
	Promote string
	// StartGuard is set when all pods run the wanted revision from now on.
	StartGuard bool
	// Bad is why a person has to take the revision back, in state Holding.
	Bad *Failure
	// Supersede are revisions that never got a verdict.
	Supersede []string
}

// Step decides.
func Step(o *Observation) Decision {
	var d Decision
	var desired Revision
	for _, r := range o.Revisions {
		switch {
		case r.Name == o.Desired:
			desired = r
		case r.Verdict == Pending:
			d.Supersede = append(d.Supersede, r.Name)
		}
		if r.Verdict == Healthy {
			d.Stable = r.Name
		}
	}
	d.Run = o.Desired
	switch desired.Verdict {
	case Failed:
		d.back(o)
	case Healthy:
		d.State = o.moving(Idle)
	default:
		d.judge(o, &desired)
	}
	return d
}

// back is what runs instead of a failed revision.
func (d *Decision) back(o *Observation) {
	if d.Stable == "" {
		d.State = Holding
		return
	}
	d.Run, d.State = d.Stable, RollingBack
	if o.LeftBehind {
		d.State = RolledBack
	}
}

func (o *Observation) moving(otherwise State) State {
	switch {
	case !o.TemplateReady:
		return Preparing
	case !o.AllAcked:
		return Pushing
	}
	return otherwise
}

// judge looks at a revision that has no verdict yet.
func (d *Decision) judge(o *Observation, r *Revision) {
	d.State = o.moving(Guarding)
	if f := o.failure(r); f != nil {
		switch {
		case d.Stable == "": // nowhere to go back to
		case !o.Automatic:
			d.State, d.Bad = Holding, f
			return
		default:
			d.Failure = f
			d.back(o)
			d.State = RollingBack
			return
		}
	}
	switch {
	case d.State == Guarding && r.GuardStart.IsZero():
		d.StartGuard = true
		if o.GuardPeriod > 0 {
			return
		}
		fallthrough
	case d.State == Guarding && o.Breach == nil && o.Now.Sub(r.GuardStart) >= o.GuardPeriod:
		d.Promote, d.State, d.Stable = ReasonGuardPassed, Idle, r.Name
		if o.TooQuiet {
			d.Promote = ReasonTooQuiet
		}
	}
}

// failure is why the revision has to go, nil if it has not.
func (o *Observation) failure(r *Revision) *Failure {
	switch b := o.Breach; {
	case o.Nack != "":
		return &Failure{Reason: ReasonConfigRejected, Message: o.Nack}
	case o.PodReason != "":
		return &Failure{Reason: o.PodReason, Message: o.PodMessage}
	case o.Deadline:
		return &Failure{Reason: ReasonDeadlineExceeded, Message: o.PodMessage}
	case b != nil && o.Breaches >= o.ConsecutiveBreaches && b.Metric != "" && b.Reason != r.UnhealthyBefore && o.TemplateReady:
		return &Failure{
			Reason: b.Reason, Metric: b.Metric, Observed: b.Observed, Threshold: b.Threshold,
			Message: fmt.Sprintf("%s %s over %s, %d looks in a row", b.Metric, b.Observed, b.Threshold, o.Breaches),
		}
	}
	return nil
}
