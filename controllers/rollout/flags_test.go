package rollout_test

import (
	"slices"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/controllers/fleet"
	"github.com/streamgateway/streamgateway/controllers/rollout"
)

func TestFlagIsToBlameWhenItsPagesAreLateAndTheOthersAreNot(t *testing.T) {
	thresholds := rollout.DefaultThresholds()
	thresholds.MaxBrowserP95 = time.Second
	flag := func(name string, on, off time.Duration, reports float64) fleet.Flag {
		return fleet.Flag{Name: name, OnP95: on, OffP95: off, OnReports: reports, OffReports: reports}
	}
	const late, fine = 3 * time.Second, 50 * time.Millisecond
	for name, c := range map[string]struct {
		flags   []fleet.Flag
		changed []string
		want    string
	}{
		"its pages are late, and the others are not":   {[]fleet.Flag{flag("a", late, fine, 20)}, []string{"a"}, "a"},
		"all pages are late":                           {[]fleet.Flag{flag("a", late, late, 20)}, []string{"a"}, ""},
		"no page is late":                              {[]fleet.Flag{flag("a", fine, fine, 20)}, []string{"a"}, ""},
		"the change has nothing to do with the flag":   {[]fleet.Flag{flag("a", late, fine, 20)}, []string{"b"}, ""},
		"too few pages have reported":                  {[]fleet.Flag{flag("a", late, fine, 19)}, []string{"a"}, ""},
		"another flag shares pages with the bad one":   {[]fleet.Flag{flag("a", late, late, 20), flag("b", late, fine, 20)}, []string{"a", "b"}, "b"},
		"of two that are bad the worse one goes first": {[]fleet.Flag{flag("a", late, fine, 20), flag("b", 2*late, fine, 20)}, []string{"a", "b"}, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			b := rollout.Blame(&fleet.Summary{Flags: c.flags}, c.changed, thresholds)
			if got := flagOf(b); got != c.want {
				t.Errorf("%q is to blame, want %q", got, c.want)
			}
			thresholds := thresholds
			thresholds.MaxBrowserP95 = 0
			if b := rollout.Blame(&fleet.Summary{Flags: c.flags}, c.changed, thresholds); b != nil {
				t.Errorf("pages are not judged, and %+v is", b)
			}
		})
	}
}

func flagOf(b *rollout.Breach) string {
	if b == nil {
		return ""
	}
	return b.Flag
}

func TestFlagsAreRaisedThatMorePagesHave(t *testing.T) {
	before := rollout.Exposed{"a": 10, "b": 50, "sse": 100}
	now := rollout.Exposed{"a": 20, "b": 50, "c": 1, "d": 0, "sse": 50}
	if got := now.Raised(before); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("raised are %v", got)
	}
}

func TestOneFlagGoesAndTheRestStays(t *testing.T) {
	bad := &rollout.Breach{Reason: rollout.ReasonBrowserLatencyHigh, Flag: "a", Metric: "browserP95", Observed: "3s", Threshold: "1s"}
	all := &rollout.Breach{Reason: rollout.ReasonBrowserLatencyHigh, Metric: "browserP95", Observed: "3s", Threshold: "1s"}
	for name, c := range map[string]struct {
		change          func(*rollout.Observation)
		off             string
		state           rollout.State
		failed, healthy bool
	}{
		"a flag that is found twice":                       {func(*rollout.Observation) {}, "a", rollout.Guarding, false, false},
		"once is an accident":                              {func(o *rollout.Observation) { o.FlagBreaches = 1 }, "", rollout.Guarding, false, false},
		"the flag goes though all pages together are late": {func(o *rollout.Observation) { o.Breach, o.Breaches = all, 2 }, "a", rollout.Guarding, false, false},
		"and is waited for":                                {func(o *rollout.Observation) { o.Breach, o.Breaches, o.FlagBreaches = all, 2, 1 }, "", rollout.Guarding, false, false},
		"what else is wrong is the revision's":             {func(o *rollout.Observation) { o.Breach, o.Breaches = &drops, 2 }, "", rollout.RollingBack, true, false},
		"so is a refusal":                                  {func(o *rollout.Observation) { o.Nack = "no" }, "", rollout.RollingBack, true, false},
		"a person decides in mode Manual":                  {func(o *rollout.Observation) { o.Automatic = false }, "", rollout.Holding, false, false},
		"no guard period ends within it":                   {func(o *rollout.Observation) { o.FlagBreaches, o.Now = 1, start.Add(time.Hour) }, "", rollout.Guarding, false, false},
		"nor while pages tell of the time before": {
			func(o *rollout.Observation) {
				o.FlagBreach, o.FlagBreaches, o.Settles, o.Now = nil, 0, true, start.Add(time.Hour)
			}, "", rollout.Guarding, false, false},
		"then the rest is healthy": {
			func(o *rollout.Observation) { o.FlagBreach, o.FlagBreaches, o.Now = nil, 0, start.Add(time.Hour) }, "", rollout.Idle, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			o := running()
			o.FlagBreach, o.FlagBreaches = bad, 2
			c.change(o)
			d := rollout.Step(o)
			off := ""
			if d.SwitchOff != nil {
				off = d.SwitchOff.Flag
			}
			if off != c.off || d.State != c.state || (d.Failure != nil) != c.failed || (d.Promote != "") != c.healthy {
				t.Errorf("%+v", d)
			}
			if c.state == rollout.Holding && (d.Bad == nil || d.Bad.Flag != "a") {
				t.Errorf("a person is told %+v", d.Bad)
			}
		})
	}
}
