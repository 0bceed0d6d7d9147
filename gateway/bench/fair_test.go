//go:build linux

package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/bench/contest"
	"github.com/streamgateway/streamgateway/gateway/bench/load"
)

// turnOf is a turn in which every event took so many microseconds.
func turnOf(microseconds ...int64) Turn {
	h := load.NewHistogram()
	for _, v := range microseconds {
		for range 100 {
			_ = h.RecordValue(v) // in range
		}
	}
	return Turn{Seconds: 3, CPU: 0.3, latency: h, Noise: Heard{Seconds: 2, Requests: 2000, Refused: 1900}}
}

func TestTheRatioOfANoisyTenantIsOfAllRoundsTogetherAndItsRangeOfSomeOfThem(t *testing.T) {
	f := &Fair{Rounds: 4, Quota: 500, Streams: 200, Turn: time.Second, Beside: []Beside{
		{Times: 0, Rounds: []Turn{turnOf(100), turnOf(100), turnOf(100), turnOf(100)}},
		{Times: 20, Rounds: []Turn{turnOf(110), turnOf(110), turnOf(110), turnOf(400)}}, // a loud round
	}}
	all, low, high := f.ratio(1)
	if all < 3.9 || all > 4.1 || low < 1.05 || low > 1.15 || high < 3.9 {
		t.Errorf("%.2f, from %.2f to %.2f", all, low, high)
	}
	if one, _, _ := f.ratio(0); one != 1 {
		t.Errorf("alone it is %.2f", one)
	}
	table := f.Table()
	for _, want := range []string{"| alone | 0.10 | 0.10 | 1.00 | 1.00 to 1.00 | 400 | 10 % |", "| beside 20 × its quota | 0.11 | 0.40 | 4.0", "| 1000 | 950 |"} {
		if !strings.Contains(table, want) {
			t.Errorf("%q is not in\n%s", want, table)
		}
	}
}

func TestWhatGuardsCostIsComparedWithinRounds(t *testing.T) {
	guarded := func(round int, cpu float64) *Result { return result(contest.GuardedName, round, cpu, 100) }
	failed := guarded(4, 1)
	failed.Error = "refused"
	g := &Guards{Rounds: 4, Scenarios: []Scenario{{Name: "s", Title: "a scenario"}, {Name: "other", Title: "another"}}, Results: []*Result{
		result(contest.Ours, 1, 1, 100), guarded(1, 1.2),
		guarded(2, 11), result(contest.Ours, 2, 10, 100), // a loud round, for both
		result(contest.Ours, 3, 1, 100), guarded(3, 1.3),
		result(contest.Ours, 4, 1, 100), failed,
	}}
	table := g.Table()
	if !strings.Contains(table, "| 1.20 | 1.10 to 1.30 |") || !strings.Contains(table, "| another | nothing was delivered |") {
		t.Error(table)
	}
}
