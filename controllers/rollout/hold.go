package rollout

import "fmt"

// hold decides whether a step that is not the last one has been held for long
// enough, and what it has shown.
func (d *Decision) hold(o *Observation, r *Revision) {
	there := o.TemplateReady && o.AllAcked && o.Moved
	if r.StepStart.IsZero() {
		d.StartHold = there
		return
	}
	d.NextStepTime = r.StepStart.Add(o.Stages[d.Step-1].Hold)
	blamed := o.Breach != nil && !o.Common && o.Breach.Reason != r.UnhealthyBefore
	switch {
	case !there, blamed, o.FlagBreach != nil, o.Settles, o.Now.Before(d.NextStepTime):
		// Pods of a lost node are waited for, and one breach for a second look.
	case !o.inconclusive() || o.OnInconclusive == InconclusivePromote || o.OnInconclusive == "":
		d.NextStep = d.Step + 1
	default:
		f := &Failure{Reason: ReasonInconclusive, Message: fmt.Sprintf(
			"step %d of %d ended with too few events to judge by", d.Step, d.Steps)}
		if o.Breach != nil {
			f.Message = fmt.Sprintf("step %d of %d ended while pods of the stable revision crossed the same threshold: %s", d.Step, d.Steps, o.Breach.Reason)
		}
		if o.OnInconclusive == InconclusiveRollback {
			d.fail(o, f)
			return
		}
		d.State, d.Bad = Holding, f
	}
}

// inconclusive tells that the numbers say nothing about the revision.
func (o *Observation) inconclusive() bool { return o.TooQuiet || o.Breach != nil }
