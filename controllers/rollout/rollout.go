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
	Pushing     State = "Pushing"     // not all pods that shall have its config have it
	Stepping    State = "Stepping"    // a share of the pods runs it, and is judged
	Holding     State = "Holding"     // only a person can go on
	Promoting   State = "Promoting"   // all pods shall run it, and not all do
	Guarding    State = "Guarding"    // all run it, and it is still judged
	RollingBack State = "RollingBack" // it failed, and not all pods have left it
	RolledBack  State = "RolledBack"  // all pods run the stable one in its place
)

// Reasons that are no metric's.
const (
	ReasonConfigRejected   = "ConfigRejected"
	ReasonDeadlineExceeded = "ProgressDeadlineExceeded"
	ReasonGuardPassed      = "GuardPassed"
	ReasonTooQuiet         = "TooQuiet" // the guard period passed with too little traffic to judge by
	ReasonInconclusive     = "AnalysisInconclusive"
)

// Revision is one revision as far as decisions go.
type Revision struct {
	Name    string
	Verdict Verdict
	// Step is the step that it is at, from 1 on, and StepStart when as many
	// pods as that step asks for ran it; zero: they do not yet.
	Step      int
	StepStart time.Time
	// GuardStart is when all pods had it; zero: not yet.
	GuardStart time.Time
	// UnhealthyBefore is the reason why the gateway was not healthy when the
	// revision was asked for: it is not to blame for that. Empty: none.
	UnhealthyBefore string
}

// OnInconclusive is what becomes of a step that ends without enough to judge
// by.
type OnInconclusive string

// Values of OnInconclusive.
const (
	InconclusivePromote  OnInconclusive = "Promote" // go on; also what an empty one means
	InconclusiveHold     OnInconclusive = "Hold"
	InconclusiveRollback OnInconclusive = "Rollback"
)

// Stage is one step of a rollout.
type Stage struct {
	Percent int           // of the pods
	Hold    time.Duration // before the next step; of no effect in the last
}

// Settings are those of spec.
type Settings struct {
	Automatic           bool // false: a person takes bad revisions back
	GuardPeriod         time.Duration
	WarmPeriod          time.Duration // how long the pods of before stand by after a restart change
	ConsecutiveBreaches int
	// Stages are the steps of a canary, the last one at 100 percent. None: all
	// pods at once.
	Stages         []Stage
	OnInconclusive OnInconclusive
}

// Observation is all that a decision goes by.
type Observation struct {
	Settings
	Now       time.Time
	Desired   string     // what spec asks for; among Revisions
	Revisions []Revision // oldest first

	// Of the wanted revision, while it runs:
	TemplateReady bool // as many of its pods as the step asks for serve
	AllAcked      bool // every ready pod runs what it shall
	Moved         bool // the pods that its own replace stand by
	Nack          string
	PodReason     string // why its pods do not come up, as a reason; empty: they do, or may
	PodMessage    string
	Deadline      bool    // no progress for too long
	Breach        *Breach // of the pods that run it
	Breaches      int     // looks in a row that found it
	// Common tells that the pods of the stable revision cross the same
	// threshold: no fault of this one.
	Common   bool
	TooQuiet bool
	// FlagBreach is a flag of the change that is bad by itself, and FlagBreaches
	// the looks in a row that found it. While it Settles, what pages report is
	// still of the time before a flag was switched off: it is not judged, and the
	// revision waits.
	FlagBreach   *Breach
	FlagBreaches int
	Settles      bool

	// LeftBehind tells whether every ready pod runs what Decision.Run said
	// before: only then a rollback is over.
	LeftBehind bool
}

// Failure is why a revision failed.
type Failure struct {
	Reason, Message             string
	Flag                        string // that is to blame alone; empty: the whole revision
	Metric, Observed, Threshold string // empty for what is no metric
}

// Decision is what to do now.
type Decision struct {
	Run    string // the revision that pods shall run
	Stable string // the newest healthy one, empty: none
	// Base is what the other pods run while Run is on trial, and what is gone
	// back to; empty: nothing is on trial.
	Base string
	// Step of Steps is where the trial stands, Percent the share of pods that
	// shall run Run: 100 outside of a trial.
	Step, Steps, Percent int
	// KeepBase tells that the pods of Base's template are needed: they serve,
	// or stand by for a way back.
	KeepBase bool
	State    State
	// Failure is set when the wanted revision has just failed: the verdict is
	// to be stored before anything moves.
	Failure *Failure
	// SwitchOff is set when one flag is to be switched off and the rest of the
	// revision goes on. It is to be stored before anything moves.
	SwitchOff *Failure
	// Promote is set when the wanted revision is healthy from now on, with the
	// reason.
	Promote string
	// StartHold is set when the pods of the step run the revision from now on,
	// StartGuard when all pods do.
	StartHold, StartGuard bool
	// NextStep is the step to go to, 0: stay. It is to be stored before anything
	// moves.
	NextStep int
	// NextStepTime is when the step will have been held for long enough; zero:
	// not known.
	NextStepTime time.Time
	// Bad is why a person has to take the revision back, or let it go on, in
	// state Holding.
	Bad *Failure
	// NoWayBack is what is wrong with a revision while no other was ever healthy.
	NoWayBack *Failure
	// Supersede are revisions that never got a verdict.
	Supersede []string
}

// Step decides.
func Step(o *Observation) Decision {
	d := Decision{Percent: 100}
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
		d.try(o, &desired)
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
	*d = Decision{Run: d.Stable, Stable: d.Stable, Percent: 100, State: RollingBack, Supersede: d.Supersede}
	if o.LeftBehind {
		d.State = RolledBack
	}
}

// try says how much of the pods a revision without a verdict is tried on.
// Without a stable one there is nothing to compare it with, and nothing else
// to run.
func (d *Decision) try(o *Observation, r *Revision) {
	if d.Stable == "" {
		return
	}
	d.Base, d.Step, d.Steps = d.Stable, 1, max(len(o.Stages), 1)
	d.KeepBase = r.GuardStart.IsZero() || o.Now.Sub(r.GuardStart) < o.WarmPeriod
	if len(o.Stages) > 0 {
		d.Step = min(max(r.Step, 1), d.Steps)
		d.Percent = o.Stages[d.Step-1].Percent
	}
}

func (o *Observation) moving(otherwise State) State {
	switch {
	case !o.TemplateReady:
		return Preparing
	case !o.AllAcked:
		return Pushing
	case !o.Moved:
		return Promoting
	}
	return otherwise
}

// judge looks at a revision that has no verdict yet.
func (d *Decision) judge(o *Observation, r *Revision) {
	d.State = d.progress(o, r)
	f := o.failure(r)
	if flag := o.flagAlone(f); flag != nil {
		d.switchOff(o, flag)
		return
	}
	if f != nil && !o.spared(f) && d.fail(o, f) {
		return
	}
	if d.Step < d.Steps {
		d.hold(o, r)
		return
	}
	switch {
	case d.State == Guarding && r.GuardStart.IsZero():
		d.StartGuard = true
		if o.GuardPeriod > 0 {
			return
		}
		fallthrough
	case d.State == Guarding && o.Breach == nil && o.FlagBreach == nil && !o.Settles && o.Now.Sub(r.GuardStart) >= o.GuardPeriod:
		*d = Decision{
			Run: r.Name, Stable: r.Name, Percent: 100, State: Idle,
			Promote: ReasonGuardPassed, StartGuard: d.StartGuard, Supersede: d.Supersede,
		}
		if o.TooQuiet {
			d.Promote = ReasonTooQuiet
		}
	}
}

// progress is the state of a trial that nothing is wrong with.
func (d *Decision) progress(o *Observation, r *Revision) State {
	switch {
	case d.Step == d.Steps && d.Steps > 1 && r.GuardStart.IsZero() && o.moving(Guarding) != Guarding:
		return Promoting
	case d.Step < d.Steps && (d.Step > 1 || !r.StepStart.IsZero()):
		return Stepping
	case d.Step < d.Steps:
		if s := o.moving(Stepping); s != Promoting {
			return s
		}
		return Stepping
	}
	return o.moving(Guarding)
}

// fail decides what becomes of a revision that is bad, and tells whether that
// is anything.
func (d *Decision) fail(o *Observation, f *Failure) bool {
	switch {
	case d.Stable == "":
		d.NoWayBack = f
		return false
	case !o.Automatic:
		d.State, d.Bad = Holding, f
	default:
		d.back(o)
		d.State, d.Failure = RollingBack, f
	}
	return true
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
	case b != nil && o.Breaches >= o.ConsecutiveBreaches && b.Metric != "" && b.Reason != r.UnhealthyBefore && !o.Common:
		return &Failure{
			Reason: b.Reason, Metric: b.Metric, Observed: b.Observed, Threshold: b.Threshold,
			Message: fmt.Sprintf("%s %s over %s, %d looks in a row", b.Metric, b.Observed, b.Threshold, o.Breaches),
		}
	}
	return nil
}
