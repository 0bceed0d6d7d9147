package engine_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// holeReset is what live streams are told of a hole at 3.
const holeReset = `{"reason":"log-hole","channels":[],"all":true,"resumeAt":"` + epoch + `.3"}`

// story gives the data of a client's events, and "reset" where a hole is told.
func story(t *testing.T, c *client) string {
	t.Helper()
	var words []string
	for _, f := range c.got() {
		switch {
		case f.event == wire.ControlReset && !strings.Contains(f.data, `"reason":"log-hole"`):
			t.Errorf("another reset: %s", f.data)
		case f.event == wire.ControlReset:
			words = append(words, "reset")
		case f.data != "" && !strings.HasPrefix(f.event, "sg.") && strings.HasPrefix(f.data, "["):
			for _, seq := range seqs(t, f) {
				words = append(words, string(rune('0'+seq)))
			}
		case f.data != "" && !strings.HasPrefix(f.event, "sg."):
			words = append(words, f.data)
		}
	}
	return strings.Join(words, " ")
}

// TestLiveStreamsAreToldOfAHoleAtItsPlace has every kind of reader of events 1, 2
// and 4, with a hole at 3: each is told between 2 and 4, also one that reads a
// channel that nobody has published to.
func TestLiveStreamsAreToldOfAHoleAtItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		readers := map[string]*client{}
		for name, q := range map[string]engine.Request{
			"plain":    {Subs: subs(t, "a")},
			"gzip":     {Subs: subs(t, "a"), Gzip: true},
			"pattern":  {Subs: subs(t, "*")},
			"envelope": {Subs: subs(t, "a", "never"), Format: wire.Envelope},
			"stuck":    {Subs: subs(t, "a", "b")},
			"never":    {Subs: subs(t, "never")},
		} {
			readers[name] = r.listen(t, q)
		}
		readers["stuck"].block()
		synctest.Wait()
		r.publish("a", "1")
		r.publish("a", "2") // waits for its window when the hole comes
		r.append(holeEvent)
		synctest.Wait()
		if got := readers["plain"].last; got.Seq != 3 {
			t.Errorf("a client in step is at %v, and would be told again when it comes back", got)
		}
		r.publish("a", "4")
		synctest.Wait()
		readers["stuck"].unblock()
		time.Sleep(time.Second)
		for name, want := range map[string]string{
			"plain": "1 2 reset 4", "gzip": "1 2 reset 4", "pattern": "1 2 reset 4", "stuck": "1 2 reset 4", "never": "reset",
		} {
			if got := story(t, readers[name]); got != want {
				t.Errorf("%s got %q, want %q", name, got, want)
			}
		}
		told := false
		for _, f := range readers["envelope"].got() {
			told = told || f.event == wire.ControlReset && f.data == holeReset
		}
		if resets := r.Stats().Resumes.Resets[wire.ResetLogHole]; !told || resets != 6 {
			t.Errorf("told: %t, %d resets are counted", told, resets)
		}
	})
}

func TestResumeIsToldOfAHoleUnlessItIsBehindIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.publish("a", "1", "2")
		r.append(holeEvent)
		r.publish("a", "4")
		r.publish("late.x", "5")
		for name, c := range map[string]struct {
			subs string
			from uint64
			want string
		}{
			"before":                  {"a", 1, "reset"},
			"right before":            {"a", 2, "reset"},
			"at it":                   {"a", 3, "4"},
			"behind it":               {"a", 4, ""},
			"a pattern":               {"late.*", 2, "reset"},
			"a pattern at it":         {"late.*", 3, "5"},
			"a channel seen later":    {"late.x", 2, "reset"},
			"a channel never seen":    {"never", 2, "reset"},
			"one never seen, from it": {"never", 3, ""},
		} {
			got := r.listen(t, engine.Request{Subs: subs(t, c.subs), Position: at(c.from)})
			synctest.Wait()
			if seen := story(t, got); seen != c.want {
				t.Errorf("%s: got %q, want %q", name, seen, c.want)
			}
		}
		earliest := r.listen(t, engine.Request{Subs: subs(t, "a"), Position: wire.Position{Where: wire.Earliest}})
		fresh := r.listen(t, engine.Request{Subs: subs(t, "a")})
		synctest.Wait()
		if a, b := story(t, earliest), story(t, fresh); a != "4" || b != "" {
			t.Errorf("earliest got %q, a fresh start %q", a, b)
		}
		own := engine.Request{Subs: subs(t, "a", "late.x"), Position: at(4), From: map[string]wire.Cursor{"a": {Epoch: epoch, Seq: 1}}}
		aside := r.listen(t, own)
		synctest.Wait()
		if got := story(t, aside); got != "reset 5" {
			t.Errorf("with a channel before the hole: %q", got)
		}
	})
}

func TestPollsAndHistoryTellOfAHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.publish("a", "1", "2")
		polled := make(chan *engine.Answer, 1)
		go func() {
			a, err := r.Poll(context.Background(), engine.Request{Subs: subs(t, "a"), Position: at(2)}, engine.Poll{Wait: time.Hour, MaxEvents: 10, MaxBytes: 1 << 20})
			if err != nil {
				t.Error(err)
			}
			polled <- a
		}()
		synctest.Wait()
		r.append(holeEvent)
		synctest.Wait()
		select {
		case a := <-polled:
			if len(a.Controls) != 1 || a.Controls[0].Name != wire.ControlReset || a.Cursor.Seq != 3 {
				t.Errorf("the poll that waited got %+v", a)
			}
		default:
			t.Fatal("the poll waits on")
		}
		r.publish("a", "4")
		for from, resets := range map[uint64]int{1: 1, 3: 0} {
			a, err := r.Poll(context.Background(), engine.Request{Subs: subs(t, "a"), Position: at(from)}, engine.Poll{MaxEvents: 10, MaxBytes: 1 << 20})
			if err != nil || len(a.Controls) != resets || len(a.Events) != 1-resets {
				t.Errorf("a poll from %d got %+v, %v", from, a, err)
			}
		}
		if p := r.History("a", at(1), 10, 1<<20); p.Complete || len(p.Events) != 1 || p.EvictedUpto.Seq != 3 {
			t.Errorf("history from before it: %+v", p)
		}
		if p := r.History("a", at(3), 10, 1<<20); !p.Complete || len(p.Events) != 1 {
			t.Errorf("history from it: %+v", p)
		}
		if p := r.Last("a", 2); p.Complete || len(p.Events) != 2 {
			t.Errorf("the last across it: %+v", p)
		}
		if p := r.Last("a", 1); !p.Complete || len(p.Events) != 1 {
			t.Errorf("the last behind it: %+v", p)
		}
	})
}
