package rollout_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/controllers/rollout"
)

// cluster is all that outlives an operator: verdicts, the config that pods are
// told to run, and the pods.
type cluster struct {
	now       time.Time
	revisions []rollout.Revision
	told, ran string // in the ConfigMap, and by the pods
	bad       string // what pods refuse
	states    []rollout.State
}

// killed stands for an operator that is ended between two writes.
type killed struct{}

// operator carries decisions out in the order that package streamgateway does,
// and dies before its n-th write. Negative: never.
type operator struct {
	*cluster
	writes int
}

func (o *operator) write(do func()) {
	if o.writes == 0 {
		panic(killed{})
	}
	o.writes--
	do()
}

func (c *cluster) revision(name string) *rollout.Revision {
	for i := range c.revisions {
		if c.revisions[i].Name == name {
			return &c.revisions[i]
		}
	}
	return nil
}

func (c *cluster) observe(desired, wanted string) *rollout.Observation {
	o := &rollout.Observation{
		Settings: rollout.Settings{Automatic: true, GuardPeriod: 3 * time.Second, ConsecutiveBreaches: 2},
		Now:      c.now, Desired: desired, Revisions: c.revisions, TemplateReady: true, Moved: true,
	}
	runs := c.told == wanted && c.ran == wanted
	if wanted != desired {
		o.LeftBehind = runs
		return o
	}
	o.AllAcked = runs
	if wanted == c.bad && c.told == wanted {
		o.Nack = "refused"
	}
	return o
}

// pass is one reconcile.
func (o *operator) pass(desired string) {
	if o.revision(desired) == nil {
		o.write(func() { o.revisions = append(o.revisions, rollout.Revision{Name: desired, Verdict: rollout.Pending}) })
	}
	d := rollout.Step(&rollout.Observation{Now: o.now, Desired: desired, Revisions: o.revisions})
	for _, name := range d.Supersede {
		o.write(func() { o.revision(name).Verdict = rollout.Superseded })
	}
	o.push(d.Run)
	d = rollout.Step(o.observe(desired, d.Run))
	v := o.revision(desired)
	switch {
	case d.Failure != nil:
		o.write(func() { v.Verdict = rollout.Failed })
		o.push(d.Run)
		d = rollout.Step(o.observe(desired, d.Run))
	case d.Promote != "":
		o.write(func() { v.Verdict = rollout.Healthy })
	case d.StartGuard:
		o.write(func() { v.GuardStart = o.now })
	}
	o.states = append(o.states, d.State)
}

func (o *operator) push(revision string) {
	if o.told != revision {
		o.write(func() { o.told = revision })
	}
	if o.told != o.bad {
		o.ran = o.told
	}
}

// run makes a change and lets operators work on it for 20 passes, the first of
// which dies before its n-th write; the next one knows nothing of it.
func run(bad string, n int) (end string, deaths int, states []rollout.State) {
	c := &cluster{
		now: start, bad: bad, told: "old", ran: "old",
		revisions: []rollout.Revision{{Name: "old", Verdict: rollout.Healthy}, {Name: "overtaken", Verdict: rollout.Pending}},
	}
	o := &operator{cluster: c, writes: n}
	for range 20 {
		func() {
			defer func() {
				if died := recover(); died == (killed{}) {
					deaths++
					o = &operator{cluster: c, writes: -1}
				} else if died != nil {
					panic(died)
				}
			}()
			o.pass("new")
		}()
		c.now = c.now.Add(time.Second)
	}
	verdicts := ""
	for _, r := range c.revisions {
		verdicts += fmt.Sprintf(" %s=%s", r.Name, r.Verdict)
	}
	return fmt.Sprintf("told %s, ran %s, %s,%s", c.told, c.ran, c.states[len(c.states)-1], verdicts), deaths, c.states
}

func TestOperatorKilledBeforeAnyWriteEndsTheSameWay(t *testing.T) {
	for bad, want := range map[string]string{
		"":    "told new, ran new, Idle, old=Healthy overtaken=Superseded new=Healthy",
		"new": "told old, ran old, RolledBack, old=Healthy overtaken=Superseded new=Failed",
	} {
		writes := 0
		for ; ; writes++ {
			end, deaths, states := run(bad, writes)
			if end != want {
				t.Errorf("killed before write %d of a change (refused: %v): %s, want %s; states %v", writes, bad != "", end, want, states)
			}
			if deaths == 0 {
				break // there are no more writes
			}
		}
		if writes < 5 {
			t.Errorf("only %d writes to be killed before", writes)
		}
	}
}
