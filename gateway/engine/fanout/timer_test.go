package fanout

import (
	"testing"

	"pgregory.net/rapid"
)

// TestTimersFireInOrderWhateverIsMoved holds the heap against a plain list.
func TestTimersFireInOrderWhateverIsMoved(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var heap timers
		all := make([]timer, 20)
		model := map[*timer]int64{}
		now := int64(0)
		rt.Repeat(map[string]func(*rapid.T){
			"set": func(rt *rapid.T) {
				tm := &all[rapid.IntRange(0, len(all)-1).Draw(rt, "timer")]
				model[tm] = now + rapid.Int64Range(0, 50).Draw(rt, "in")
				heap.set(tm, model[tm])
			},
			"sooner": func(rt *rapid.T) {
				tm := &all[rapid.IntRange(0, len(all)-1).Draw(rt, "timer")]
				at := now + rapid.Int64Range(0, 50).Draw(rt, "in")
				heap.sooner(tm, at)
				if old, ok := model[tm]; !ok || at < old {
					model[tm] = at
				}
			},
			"clear": func(rt *rapid.T) {
				tm := &all[rapid.IntRange(0, len(all)-1).Draw(rt, "timer")]
				heap.clear(tm)
				delete(model, tm)
			},
			"fire": func(rt *rapid.T) {
				now += rapid.Int64Range(0, 20).Draw(rt, "passes")
				last := int64(-1)
				for tm := heap.due(now); tm != nil; tm = heap.due(now) {
					if model[tm] != tm.at || tm.at < last {
						rt.Fatalf("fired at %d, set for %d, after %d", tm.at, model[tm], last)
					}
					last = tm.at
					delete(model, tm)
				}
				for _, at := range model {
					if at <= now {
						rt.Fatalf("a timer for %d did not fire by %d", at, now)
					}
				}
			},
		})
	})
}

func TestMarksAreExactOrEarlyByTheirDistance(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var m marks
		const span = maxMarks * 8 // so that marks are 16 apart
		arrived := map[uint64]int64{}
		now, seq := int64(1), uint64(0)
		for range rapid.IntRange(1, 200).Draw(rt, "appends") {
			now += rapid.Int64Range(0, 40).Draw(rt, "pause")
			a := arrival{first: seq + 1, last: seq + rapid.Uint64Range(1, 5).Draw(rt, "events"), at: now}
			for seq < a.last {
				seq++
				arrived[seq] = now
			}
			m.add(a, span)
		}
		for s, at := range arrived {
			if got := m.at(s); got > at || got < at-16 {
				rt.Fatalf("record %d arrived at %d, marks say %d", s, at, got)
			}
		}
	})
}

// TestAStreamThatEndsWaitsForItsDeadlineOnly pins that deadlines in the past
// which no longer concern a stream do not make its timer spin.
func TestAStreamThatEndsWaitsForItsDeadlineOnly(t *testing.T) {
	l := &loop{tuning: &Tuning{Connections: Connections{MaxAge: 1000}}, now: 500}
	s := &Stream{state: ending, nextBeat: 400, behindSince: 1, leaving: &leaving{at: 900}, group: &group{}}
	l.setTimer(s)
	if s.timer.at != 900 {
		t.Errorf("timer set to %d, the stream ends at 900", s.timer.at)
	}
	s.state, s.leaving, s.nextBeat = running, nil, 800
	l.setTimer(s)
	if s.timer.at != 800 {
		t.Errorf("timer set to %d for a client over its limit, its next heartbeat is at 800", s.timer.at)
	}
}
