package rollout_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgateway/streamgateway/controllers/rollout"
)

var update = flag.Bool("update", false, "rewrite the table in docs/rollouts.md; read its diff")

// replicas of the gateway in the model.
const replicas = 4

// change is one kind of change, and what comes of it.
type change struct {
	name    string
	restart bool // its pods are others
	steps   bool
	flag    bool // one of its flags is bad, and the rest is not
	bad     bool // pods refuse it, or do not come up with it, from its second step on where there is one
}

// document is what the operator writes into the ConfigMap.
type document struct {
	stable, candidate string
	share             int  // pods of the stable template that try the candidate
	standBy           int  // pods of the other template
	off               bool // the bad flag, of the candidate
}

// cluster is all that outlives an operator: verdicts, the document, how many
// pods each template shall have. Pods start, and read documents, at once.
type cluster struct {
	change
	now       time.Time
	revisions []rollout.Revision
	document  document
	size      map[string]int // of Deployments, by template
	states    []rollout.State
	fewest    int  // ready pods
	flagOff   bool // stored with the new revision
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
	o.fewest = min(o.fewest, o.ready("old")+o.ready("new"))
}

func (c *cluster) revision(name string) *rollout.Revision {
	for i := range c.revisions {
		if c.revisions[i].Name == name {
			return &c.revisions[i]
		}
	}
	return nil
}

func (c *cluster) template(revision string) string {
	if c.restart && revision == "new" {
		return "new"
	}
	return "old"
}

// broken tells whether the change has met what is bad about it.
func (c *cluster) broken() bool {
	v := c.revision("new")
	return c.bad && v != nil && (!c.steps || v.Step >= 2)
}

// ready is how many pods of a template take clients.
func (c *cluster) ready(template string) int {
	n := c.size[template]
	if template == "new" && c.broken() && n > 1 {
		n = 1 // that of the first step
	}
	if template == "new" && c.broken() && !c.steps {
		n = 0
	}
	if c.other() == template {
		n = max(n-c.document.standBy, 0)
	}
	return n
}

// other is the template that the document has pods stand by of.
func (c *cluster) other() string {
	switch {
	case !c.restart:
		return ""
	case c.document.candidate == "new":
		return "old"
	}
	return "new"
}

func (c *cluster) settings() rollout.Settings {
	s := rollout.Settings{Automatic: true, GuardPeriod: 5 * time.Second, WarmPeriod: 2 * time.Second, ConsecutiveBreaches: 2}
	if c.steps {
		s.Stages = []rollout.Stage{{Percent: 25, Hold: time.Second}, {Percent: 50, Hold: time.Second}, {Percent: 100}}
	}
	return s
}

func (c *cluster) observe(d *rollout.Decision) *rollout.Observation {
	o := &rollout.Observation{Settings: c.settings(), Now: c.now, Desired: "new", Revisions: c.revisions, TemplateReady: true, Moved: true}
	ran := c.document == c.wanted(d)
	if d.Run != "new" {
		o.LeftBehind = ran && c.ready("old") == replicas && (!c.restart || c.ready("new") == 0)
		return o
	}
	o.AllAcked = ran
	if c.flag && ran && !c.document.off {
		o.FlagBreach, o.FlagBreaches = &rollout.Breach{Reason: rollout.ReasonBrowserLatencyHigh, Flag: "a"}, 2
	}
	switch {
	case c.restart:
		o.TemplateReady = c.size["new"] >= c.want(d) && c.ready("new") >= c.want(d)
		o.Moved = c.ready("old") <= replicas-c.want(d)
		if c.broken() && c.size["new"] > 0 {
			o.PodReason = "PodsCrashing"
		}
	case c.broken() && ran:
		o.Nack, o.AllAcked = "refused", false
	}
	return o
}

// want is how many pods the wanted template shall have.
func (c *cluster) want(d *rollout.Decision) int {
	if d.Base == "" || c.template(d.Base) == c.template(d.Run) || c.size[c.template(d.Base)] == 0 {
		return replicas
	}
	return min(max(rollout.Share(d.Percent, replicas), c.size[c.template(d.Run)]), replicas)
}

func (c *cluster) wanted(d *rollout.Decision) document {
	off := c.flagOff && d.Run == "new"
	if d.Base == "" {
		next := document{stable: d.Run, off: off}
		if c.restart && d.Run == "old" && c.size["new"] > 0 && c.ready("old") >= replicas {
			next.standBy = c.size["new"] // the failed ones
		}
		return next
	}
	next := document{stable: d.Base, candidate: d.Run, off: off}
	if !c.restart {
		next.share = rollout.Share(d.Percent, replicas)
		return next
	}
	ready := c.size["new"]
	if c.broken() {
		ready = c.ready("new")
	}
	if c.steps || ready >= replicas {
		next.standBy = rollout.StandBy(replicas, ready, c.size["old"])
	}
	return next
}

// pass is one reconcile.
func (o *operator) pass() {
	if o.revision("new") == nil {
		o.write(func() { o.revisions = append(o.revisions, rollout.Revision{Name: "new", Verdict: rollout.Pending}) })
	}
	d := rollout.Step(&rollout.Observation{Settings: o.settings(), Now: o.now, Desired: "new", Revisions: o.revisions})
	overtaken := d.Supersede
	o.push(&d)
	v := o.revision("new")
	switch d = rollout.Step(o.observe(&d)); {
	case d.Failure != nil:
		o.write(func() { v.Verdict = rollout.Failed })
		o.push(&d)
		d = rollout.Step(o.observe(&d))
	case d.SwitchOff != nil:
		o.write(func() { o.flagOff = true })
		o.push(&d)
	case d.Promote != "":
		o.write(func() { v.Verdict = rollout.Healthy })
	case d.StartGuard:
		o.write(func() { v.GuardStart = o.now })
	case d.StartHold:
		o.write(func() { v.StepStart = o.now })
	case d.NextStep > 0:
		o.write(func() { v.Step, v.StepStart = d.NextStep, time.Time{} })
	}
	for _, name := range overtaken {
		o.write(func() { o.revision(name).Verdict = rollout.Superseded })
	}
	o.workload(&d)
	o.states = append(o.states, d.State)
}

func (o *operator) push(d *rollout.Decision) {
	if next := o.wanted(d); o.document != next {
		o.write(func() { o.document = next })
	}
}

func (o *operator) workload(d *rollout.Decision) {
	own := o.template(d.Run)
	if n := o.want(d); o.size[own] != n {
		o.write(func() { o.size[own] = n })
	}
	for _, other := range []string{"old", "new"} {
		kept := d.Base != "" && d.KeepBase && o.template(d.Base) == other
		if other != own && o.size[other] > 0 && !kept && o.ready(own) >= replicas {
			o.write(func() { o.size[other] = 0 })
		}
	}
}

// run makes a change and lets operators work on it for 40 passes, the first of
// which dies before its n-th write; the next one knows nothing of it. It
// returns the end, and the state that the death came in, empty if none did.
func run(c change, n int) (end string, state rollout.State, fewest int, states []rollout.State) {
	w := &cluster{
		change: c, now: start, document: document{stable: "old"}, size: map[string]int{"old": replicas}, fewest: replicas,
		revisions: []rollout.Revision{{Name: "old", Verdict: rollout.Healthy}, {Name: "overtaken", Verdict: rollout.Pending}},
	}
	o := &operator{cluster: w, writes: n}
	for range 40 {
		func() {
			defer func() {
				if died := recover(); died == (killed{}) {
					state = rollout.Idle
					if len(w.states) > 0 {
						state = w.states[len(w.states)-1]
					}
					o = &operator{cluster: w, writes: -1}
				} else if died != nil {
					panic(died)
				}
			}()
			o.pass()
		}()
		w.now = w.now.Add(time.Second)
	}
	verdicts := ""
	for _, r := range w.revisions {
		verdicts += fmt.Sprintf(" %s=%s", r.Name, r.Verdict)
	}
	return fmt.Sprintf("%+v, old %d, new %d pods, %s,%s", w.document, w.size["old"], w.size["new"], w.states[len(w.states)-1], verdicts),
		state, w.fewest, w.states
}

func changes() (all []change) {
	for _, restart := range []bool{false, true} {
		for _, steps := range []bool{false, true} {
			name := map[bool]string{false: "hot", true: "restart"}[restart] + map[bool]string{false: ", all at once", true: ", by steps"}[steps]
			for _, bad := range []bool{false, true} {
				all = append(all, change{name: name + map[bool]string{false: "", true: ", bad"}[bad], restart: restart, steps: steps, bad: bad})
			}
			all = append(all, change{name: name + ", one bad flag", restart: restart, steps: steps, flag: true})
		}
	}
	return all
}

func TestOperatorKilledBeforeAnyWriteEndsTheSameWay(t *testing.T) {
	table := "| change | killed in state (before how many writes) | end |\n|---|---|---|\n"
	for _, c := range changes() {
		want, _, fewest, states := run(c, -1)
		last, verdict := rollout.Idle, "new=Healthy"
		if c.bad {
			last, verdict = rollout.RolledBack, "new=Failed"
		}
		if states[len(states)-1] != last || !strings.HasSuffix(want, verdict) || !strings.Contains(want, "overtaken=Superseded") || fewest < replicas || c.flag != strings.Contains(want, "off:true") {
			t.Errorf("%s: without a death it ends as %s, with %d pods ready at least; states %v", c.name, want, fewest, states)
		}
		deaths := map[rollout.State]int{}
		for n := 0; ; n++ {
			end, state, fewest, states := run(c, n)
			if end != want || fewest < replicas {
				t.Errorf("%s, killed before write %d: %s, with %d pods ready at least; want %s; states %v", c.name, n, end, fewest, want, states)
			}
			if state == "" {
				break // there are no more writes
			}
			deaths[state]++
		}
		var cells []string
		for _, state := range slices.Sorted(maps.Keys(deaths)) {
			cells = append(cells, fmt.Sprintf("`%s` (%d)", state, deaths[state]))
		}
		table += fmt.Sprintf("| %s | %s | `%s` |\n", c.name, strings.Join(cells, ", "), last)
	}
	compareTable(t, table)
}

// compareTable holds the table in the documentation to what the model says.
func compareTable(t *testing.T, table string) {
	t.Helper()
	const file, begin, end = "../../docs/rollouts.md", "<!-- killed: from controllers/rollout -->\n", "<!-- killed: end -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	now, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the table", file)
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table, now); diff != "" {
		t.Errorf("the table in %s (-model +file):\n%s", file, diff)
	}
}
