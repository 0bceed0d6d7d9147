package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// TestTokensAreMergedOnTheirWayAndNeverInTheLog: live batches, replays and
// polls join them, a cursor in the middle gets the rest, a page shows each.
func TestTokensAreMergedOnTheirWayAndNeverInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, func(tun *engine.Tuning) { tun.Coalesce = true })
		open := func(position wire.Position) *client {
			stream, err := r.Open(engine.Request{Subs: subs(t, "chat"), Position: position})
			if err != nil {
				t.Fatal(err)
			}
			c := &client{stream: stream}
			stream.Start(c)
			synctest.Wait()
			return c
		}
		live := open(wire.Position{})
		for i := range 5 {
			r.append(wire.Event{Channel: "chat", Coalesce: wire.Concat, Key: "m1", Data: fmt.Appendf(nil, `"%d"`, i)})
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		r.Evict() // the blocks of the live batches: the replay makes its own
		expect := func(what string, c *client, want string) {
			t.Helper()
			var data []string
			for _, f := range c.got() {
				if f.event == "" && f.data != "" {
					_, flags, _ := strings.Cut(f.sg, "0 ")
					data = append(data, f.id+" "+flags+" "+f.data)
				}
			}
			if got := strings.Join(data, "; "); got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		expect("live", live, `k3f9x2.1  "0"; k3f9x2.5 c=4 "1234"`)
		expect("replay", open(at(0)), `k3f9x2.5 c=5 "01234"`)
		expect("from the middle", open(at(3)), `k3f9x2.5 c=2 "34"`)
		a, err := r.Poll(t.Context(), engine.Request{Subs: subs(t, "chat"), Position: at(1)}, engine.Poll{MaxEvents: 500, MaxBytes: 1 << 20})
		if err != nil || len(a.Events) != 1 || string(a.Events[0].Data) != `"1234"` || a.Cursor.Seq != 5 {
			t.Errorf("poll: %+v, %v", a, err)
		}
		if p := r.History("chat", wire.Position{Where: wire.Earliest}, 500, 1<<20); len(p.Events) != 5 {
			t.Errorf("history has %d parts", len(p.Events))
		}
		if s := r.Stats(); s.Events.Delivered != 5+5+2 {
			t.Errorf("%d events delivered; parts are counted, not pieces", s.Events.Delivered)
		}
		if s := r.Stats(); s.Batches.Merged != 3+4+1 {
			t.Errorf("%d parts merged into others", s.Batches.Merged)
		}
		tun := tuning()
		r.Tune(tun)
		expect("with the flag off", open(at(3)), `k3f9x2.4  "3"; k3f9x2.5  "4"`)
	})
}
