package engine_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// TestAClientThatMissedLittleComesBackWithOneWrite is what a drain of thousands
// of clients costs least with. What is longer than a few kilobytes follows in
// writes of its own, so that nobody waits for it.
func TestAClientThatMissedLittleComesBackWithOneWrite(t *testing.T) {
	for name, c := range map[string]struct {
		data   string
		gzip   bool
		writes int
	}{
		"plain":               {"1", false, 1},
		"gzip":                {"1", true, 1},
		"large events":        {`"` + strings.Repeat("x", 10<<10) + `"`, false, 3},
		"large events, gzip":  {`"` + strings.Repeat("xy", 10<<10) + `"`, true, 3},
		"more than one slice": {`"` + strings.Repeat("x", 50<<10) + `"`, false, 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1)
				r.publish("a", c.data, c.data, c.data)
				s, err := r.Open(engine.Request{Subs: subs(t, "a"), Position: at(0), Gzip: c.gzip})
				if err != nil {
					t.Fatal(err)
				}
				back := &client{stream: s}
				s.Start(back)
				synctest.Wait()
				got := ""
				for _, f := range back.got() {
					got += f.event + " "
				}
				if want := " sg.open    sg.caught-up "; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				if len(back.writes) != c.writes {
					t.Errorf("in %d writes, want %d", len(back.writes), c.writes)
				}
				r.publish("a", "2")
				synctest.Wait()
				if frames := back.got(); len(frames) != 1 || frames[0].data != "2" || back.last != (wire.Cursor{Epoch: epoch, Seq: 4}) {
					t.Errorf("then it got %s", show(frames))
				}
			})
		})
	}
}
