package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// TestAPatchChangesTheSetAtOnePlaceOfTheLog holds streams whose subscriptions
// change, while they stall and catch up, to the exact events of each set: those
// between the place where it began and the one where the next began.
func TestAPatchChangesTheSetAtOnePlaceOfTheLog(t *testing.T) {
	rapid.Check(t, inBubble(t, func(rt *rapid.T) {
		r := makeRig(rapid.IntRange(1, 2).Draw(rt, "loops"))
		defer r.Close()
		names := []string{"a", "b", "c.x", "c.y", "c.>", "*"}
		channels := []string{"a", "b", "c.x", "c.y", "z"}
		subsets := rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 3, rapid.ID)
		var log []string
		publish := func() {
			for range rapid.IntRange(0, 30).Draw(rt, "n") {
				log = append(log, rapid.SampledFrom(channels).Draw(rt, "channel"))
				r.publish(log[len(log)-1], fmt.Sprint(len(log)))
			}
		}
		publish()
		set := subs(t, "a", "c.>")
		stream, err := r.Open(engine.Request{Subs: set, Format: wire.Array, Position: at(rapid.Uint64Range(0, uint64(len(log))).Draw(rt, "from")), Identity: engine.Identity{SID: "s"}})
		if err != nil {
			rt.Fatal(err)
		}
		c := client{stream: stream}
		stream.Start(&c)
		place, rev := stream.Cursor().Seq, 1
		var want, got []uint64
		until := func(to uint64) {
			for ; place < to; place++ {
				if set.Match(log[place]) {
					want = append(want, place+1)
				}
			}
		}
		for range rapid.IntRange(0, 8).Draw(rt, "patches") {
			switch rapid.IntRange(0, 3).Draw(rt, "mood") {
			case 0:
				c.block()
			case 1:
				c.unblock()
			case 2:
				time.Sleep(60 * time.Millisecond)
			}
			publish()
			p := engine.Patch{Add: subsets.Draw(rt, "add"), Remove: subsets.Draw(rt, "remove")}
			patched, err := r.Patch("s", engine.Owner{}, p)
			if errors.Is(err, engine.ErrNothingLeft) {
				continue
			}
			if rev++; err != nil || patched.Revision != rev {
				rt.Fatalf("%+v, %v", patched, err)
			}
			until(patched.Effective.Seq)
			set = subs(t, patched.Channels...)
		}
		publish()
		c.unblock()
		time.Sleep(time.Second)
		synctest.Wait()
		until(uint64(len(log)))
		revisions := 0
		for _, f := range c.got() {
			if f.event == "sg.open" {
				revisions++
			}
			var elements []struct{ Seq uint64 }
			if f.event == "" && f.data != "" {
				if err := json.Unmarshal([]byte(f.data), &elements); err != nil {
					rt.Fatal(err)
				}
			}
			for _, e := range elements {
				got = append(got, e.Seq)
			}
		}
		if !slices.Equal(got, want) || revisions != rev {
			rt.Fatalf("got %v of %d revisions\nwant %v of %d", got, revisions, want, rev)
		}
		if s := r.Stats(); s.Connections.Active != 1 || s.Subscriptions.Groups != 1 || s.Subscriptions.Active != set.Len() {
			rt.Fatalf("%+v %+v", s.Connections, s.Subscriptions)
		}
	}))
}

func TestAPatchReplaysWhatItAddsWithoutAnIDAndMarksThePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.publish("b", "1", "2")
		stream, err := r.Open(engine.Request{Subs: subs(t, "a"), Format: wire.Envelope, Identity: engine.Identity{SID: "s"}})
		if err != nil {
			t.Fatal(err)
		}
		c := client{stream: stream}
		stream.Start(&c)
		synctest.Wait()
		c.got()
		if _, err := r.Patch("t", engine.Owner{}, engine.Patch{Add: []string{"b"}}); !errors.Is(err, engine.ErrSessionGone) {
			t.Error(err)
		}
		if _, err := r.Patch("s", engine.Owner{}, engine.Patch{Remove: []string{"a"}}); !errors.Is(err, engine.ErrNothingLeft) {
			t.Error(err)
		}
		many := make([]string, 100)
		for i := range many {
			many[i] = fmt.Sprintf("m%d", i)
		}
		var tooMany *engine.TooManyError
		if _, err := r.Patch("s", engine.Owner{}, engine.Patch{Add: many}); !errors.As(err, &tooMany) || tooMany.Have != 101 {
			t.Error(err)
		}
		c.block()
		p := engine.Patch{Add: []string{"b", "old"}, From: map[string]wire.Cursor{"b": {Epoch: epoch, Seq: 1}, "old": {Epoch: "zzzz"}}}
		patched, err := r.Patch("s", engine.Owner{}, p)
		if err != nil || patched.Revision != 2 || patched.Effective.Seq != 2 || fmt.Sprint(patched.Channels) != "[a b old]" {
			t.Fatalf("%+v, %v", patched, err)
		}
		if _, err := r.Patch("s", engine.Owner{}, engine.Patch{Add: []string{"x"}}); !errors.Is(err, engine.ErrSessionBusy) {
			t.Error(err)
		}
		r.publish("b", "3")
		c.unblock()
		synctest.Wait()
		lines := strings.Split(strings.TrimSpace(show(c.got())), "\n")
		for i, want := range []string{
			`event=sg.open data={"v":2,"sid":"s","rev":2,"cursor":"k3f9x2.2","resume":"partial","channels":["a","b","old"]`,
			`event=sg.reset data={"reason":"epoch","channels":[{"channel":"old"}],"resumeAt":"k3f9x2.2"}`,
			`data={"seq":2,`,
			`event=sg.caught-up data={"cursor":"k3f9x2.2","replayed":1,"channels":["b"]}`,
			`id=k3f9x2.3 data={"seq":3,`,
			`id=k3f9x2.3 event=sg.caught-up`,
		} {
			if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
				t.Fatalf("line %d is not %s:\n%s", i, want, strings.Join(lines, "\n"))
			}
		}
		if r.Leave("s", engine.Owner{}) != nil || !errors.Is(r.Leave("s", engine.Owner{}), engine.ErrSessionGone) {
			t.Error("a stream must be left once")
		}
		if c.closedAt().IsZero() {
			t.Error("the stream is still open")
		}
	})
}

func TestWhatAPatchAddsBeginsWhereTheStreamIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		stream, err := r.Open(engine.Request{Subs: subs(t, "a"), Format: wire.Envelope, Identity: engine.Identity{SID: "s"}})
		if err != nil {
			t.Fatal(err)
		}
		c := client{stream: stream}
		stream.Start(&c)
		r.publish("b", "1", "2", "3") // before it is added
		patched, err := r.Patch("s", engine.Owner{}, engine.Patch{Add: []string{"b"}})
		if err != nil || patched.Effective.Seq != 3 {
			t.Fatalf("%+v, %v", patched, err)
		}
		synctest.Wait()
		if text := show(c.got()); strings.Contains(text, `"channel":"b"`) {
			t.Errorf("events from before the change:\n%s", text)
		}
	})
}

func TestAPatchInMidReplayKeepsWhatWasReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.publish("a", "1")
		time.Sleep(6 * time.Minute)
		r.Evict()
		r.publish("b", "2")
		r.publish("a", "3") // not after what the reset names
		r.publish("b", "4")
		stream, err := r.Open(engine.Request{Subs: subs(t, "a", "b"), Format: wire.Envelope, Position: at(0), Identity: engine.Identity{SID: "s"}})
		if err != nil {
			t.Fatal(err)
		}
		c := client{stream: stream}
		c.block()
		stream.Start(&c)
		if _, err := r.Patch("s", engine.Owner{}, engine.Patch{Add: []string{"c"}}); err != nil {
			t.Fatal(err)
		}
		c.unblock()
		synctest.Wait()
		var seqs []string
		resets := 0
		for _, f := range c.got() {
			if f.event == "sg.reset" {
				resets++
			}
			if f.event == "" && f.data != "" {
				seqs = append(seqs, f.id)
			}
		}
		if got := strings.Join(seqs, " "); got != "k3f9x2.2 k3f9x2.4" || resets != 1 {
			t.Errorf("got %s, %d resets", got, resets)
		}
	})
}
