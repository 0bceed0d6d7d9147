package engine_test

import (
	"context"
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

// told is what a client was told, by stream or by polls: elements, and the
// subscriptions that were reset.
type told struct {
	elements []string
	resets   []string
	floors   []wire.ResetChannel // a client that reloads drops what is not after
	resumeAt []uint64
}

func (d *told) event(raw string) {
	var e struct {
		Seq     uint64
		Channel string
	}
	if err := json.Unmarshal([]byte(raw), &e); err != nil {
		panic(err)
	}
	for i, f := range d.floors {
		if p, err := wire.ParsePattern(f.Channel); err == nil && p.Match(e.Channel) && e.Seq <= d.resumeAt[i] {
			return
		}
	}
	d.elements = append(d.elements, raw)
}

// reset notes a reset. In mid-replay a poll is told again what a stream is
// told once.
func (d *told) reset(r *wire.Reset) {
	at, err := wire.ParseCursor(r.ResumeAt)
	if err != nil {
		panic(err)
	}
	names := []string{}
	for _, c := range r.Channels {
		names = append(names, c.Channel+c.EvictedUpto)
		d.floors, d.resumeAt = append(d.floors, c), append(d.resumeAt, at.Seq)
	}
	if text := fmt.Sprint(r.Reason, names, r.All, r.ResumeAt); !slices.Contains(d.resets, text) {
		d.resets = append(d.resets, text)
	}
}

func (d *told) frames(frames []frame) {
	for _, f := range frames {
		switch f.event {
		case "sg.reset":
			var r wire.Reset
			if err := json.Unmarshal([]byte(f.data), &r); err != nil {
				panic(err)
			}
			d.reset(&r)
		case "":
			if f.data == "" {
				continue
			}
			var all []json.RawMessage
			if err := json.Unmarshal([]byte(f.data), &all); err != nil {
				panic(err)
			}
			for _, raw := range all {
				d.event(string(raw))
			}
		}
	}
}

// poll asks until there is nothing more and gives where to go on.
func (d *told) poll(rt *rapid.T, r *rig, q engine.Request, p engine.Poll) wire.Position {
	for more := true; more; {
		a, err := r.Poll(context.Background(), q, p)
		if err != nil {
			rt.Fatal(err)
		}
		if len(a.Events) > p.MaxEvents {
			rt.Fatalf("%d events of at most %d", len(a.Events), p.MaxEvents)
		}
		for _, c := range a.Controls {
			d.reset(c.Payload.(*wire.Reset))
		}
		for i := range a.Events {
			d.event(string(a.Events[i].JSON))
		}
		q.Position = wire.Position{Where: wire.At, Cursor: a.Cursor}
		more = a.More
	}
	return q.Position
}

// TestPollsTellWhatAStreamTells is the law of long-poll: the events of all
// answers are the elements of an array stream from the same start, in the same
// order, with the same resets.
func TestPollsTellWhatAStreamTells(t *testing.T) {
	rapid.Check(t, inBubble(t, func(rt *rapid.T) {
		w := &world{rig: makeRig(2, func(tun *engine.Tuning) { tun.Replay.TTL = 10 * time.Second })}
		defer w.rig.Close()
		for range rapid.IntRange(0, 6).Draw(rt, "before") {
			w.publish(rt)
			if rapid.Bool().Draw(rt, "age") {
				time.Sleep(4 * time.Second)
				w.rig.Evict()
			}
		}
		names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c.x", "c.>", "*.y", "never"}), 1, 4, rapid.ID).Draw(rt, "channels")
		set, err := wire.NewSubSet(names)
		if err != nil {
			rt.Fatal(err)
		}
		q := engine.Request{Subs: set, Format: wire.Array, Position: drawPosition(rt, uint64(len(w.log)))}
		p := engine.Poll{MaxEvents: rapid.SampledFrom([]int{1, 7, 500}).Draw(rt, "limit"), MaxBytes: rapid.SampledFrom([]int{100, 1 << 20}).Draw(rt, "bytes")}
		stream, err := w.rig.Open(q)
		if err != nil {
			rt.Fatal(err)
		}
		var c client
		c.stream = stream
		stream.Start(&c)
		var byStream, byPolls told
		q.Position = byPolls.poll(rt, w.rig, q, p)
		for range rapid.IntRange(0, 5).Draw(rt, "after") {
			synctest.Wait()
			w.publish(rt)
			q.Position = byPolls.poll(rt, w.rig, q, p)
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		byStream.frames(c.got())
		if a, b := strings.Join(byStream.elements, "\n"), strings.Join(byPolls.elements, "\n"); a != b {
			rt.Fatalf("%d by stream, %d by polls", len(byStream.elements), len(byPolls.elements))
		}
		if a, b := fmt.Sprint(byStream.resets), fmt.Sprint(byPolls.resets); a != b {
			rt.Fatalf("stream: %s\npolls: %s", a, b)
		}
	}))
}

func drawPosition(rt *rapid.T, head uint64) wire.Position {
	switch rapid.SampledFrom([]string{"now", "earliest", "malformed", "epoch", "at"}).Draw(rt, "position") {
	case "earliest":
		return wire.Position{Where: wire.Earliest}
	case "malformed":
		return wire.Position{Where: wire.Malformed}
	case "epoch":
		return wire.Position{Where: wire.At, Cursor: wire.Cursor{Epoch: "zzzz", Seq: 1}}
	case "at":
		return at(rapid.Uint64Range(0, head+2).Draw(rt, "seq"))
	}
	return wire.Position{}
}

// pollLater polls on a goroutine of its own and tells after how long it was
// answered.
func pollLater(ctx context.Context, r *rig, q engine.Request, wait time.Duration) (result func() (a *engine.Answer, took time.Duration, err error)) {
	type answer struct {
		a    *engine.Answer
		took time.Duration
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		start := time.Now()
		a, err := r.Poll(ctx, q, engine.Poll{Wait: wait, MaxEvents: 500, MaxBytes: 1 << 20})
		done <- answer{a, time.Since(start), err}
	}()
	synctest.Wait()
	return func() (*engine.Answer, time.Duration, error) {
		got := <-done
		return got.a, got.took, got.err
	}
}

func TestAPollIsAnsweredByTheFirstEventOrAtTheEndOfItsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		q := engine.Request{Subs: subs(t, "a", "b.>"), Position: at(0)}
		result := pollLater(t.Context(), r, q, 25*time.Second)
		if s := r.Stats(); s.Connections.Active != 1 || s.Connections.Polls != 1 || s.Subscriptions.Groups != 1 || s.Subscriptions.Active != 2 {
			t.Errorf("while it waits: %+v %+v", s.Connections, s.Subscriptions)
		}
		time.Sleep(3 * time.Second)
		r.publish("other", "0")
		time.Sleep(3 * time.Second)
		r.publish("b.c", "1", "2")
		if a, took, err := result(); err != nil || took != 6*time.Second || len(a.Events) != 2 || a.Cursor.Seq != 3 {
			t.Errorf("%+v after %v, %v", a, took, err)
		}
		q.Position = at(3)
		result = pollLater(t.Context(), r, q, 25*time.Second)
		r.publish("other", "0")
		if a, took, err := result(); err != nil || took != 25*time.Second || len(a.Events) != 0 || a.Cursor.Seq != 4 || a.More {
			t.Errorf("%+v after %v, %v", a, took, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		result = pollLater(ctx, r, q, 25*time.Second)
		cancel()
		if _, _, err := result(); !errors.Is(err, context.Canceled) {
			t.Errorf("a client that left: %v", err)
		}
		if s := r.Stats(); s.Connections.Active != 0 || s.Connections.Polls != 0 || s.Subscriptions.Groups != 0 || s.Subscriptions.Active != 0 {
			t.Errorf("after all: %+v %+v", s.Connections, s.Subscriptions)
		}
	})
}

func TestAPollWithoutAPositionIsAnsweredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.publish("a", "1", "2", "3")
		q := engine.Request{Subs: subs(t, "a"), Last: 2}
		a, took, err := pollLater(t.Context(), r, q, 25*time.Second)()
		if err != nil || took != 0 || len(a.Events) != 2 || a.Events[0].Seq != 2 || a.Cursor.Seq != 3 {
			t.Errorf("%+v after %v, %v", a, took, err)
		}
	})
}

func TestPollsLeaveAtADrainAndWhenAFlagIsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		q := engine.Request{Subs: subs(t, "a"), Position: at(0)}
		result := pollLater(t.Context(), r, q, 25*time.Second)
		off := false
		r.Flags(engine.Flags{Revision: 1, Of: func(who engine.Identity) (map[string]bool, *wire.End) {
			if who.Poll && !off {
				return nil, nil
			}
			return nil, &wire.End{Reason: wire.EndFlagOff, Status: 503}
		}})
		synctest.Wait()
		if s := r.Stats(); s.Connections.Polls != 1 {
			t.Error("the flag of streams ended a poll")
		}
		off = true
		r.Flags(engine.Flags{Revision: 2, Of: func(engine.Identity) (map[string]bool, *wire.End) {
			return nil, &wire.End{Reason: wire.EndFlagOff, Status: 503}
		}})
		var refused *engine.RefusedError
		if _, took, err := result(); took != 0 || !errors.As(err, &refused) {
			t.Errorf("after %v: %v", took, err)
		}
		r.Flags(engine.Flags{Revision: 3, Of: func(engine.Identity) (map[string]bool, *wire.End) { return nil, nil }})
		result = pollLater(t.Context(), r, q, 25*time.Second)
		if err := r.Drain(t.Context(), engine.Drain{Reason: wire.DrainRollout, Timeout: time.Minute}); err != nil {
			t.Error(err)
		}
		if a, took, err := result(); err != nil || took != 0 || a.Retry < 200*time.Millisecond {
			t.Errorf("%+v after %v, %v", a, took, err)
		}
		if _, _, err := pollLater(t.Context(), r, q, 0)(); !errors.Is(err, engine.ErrDraining) {
			t.Errorf("after the drain: %v", err)
		}
	})
}

func TestChannelsWithTheirOwnPositionComeFirstAndWithoutAnID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.publish("a", "1", "2")
		r.publish("b", "3")
		r.publish("a", "4")
		r.publish("b", "5")
		q := engine.Request{Subs: subs(t, "a", "b", "c", "d"), Position: at(3), Format: wire.Envelope, From: map[string]wire.Cursor{
			"a": {Epoch: epoch, Seq: 1}, "c": {Epoch: "zzzz", Seq: 1}, "d": {Epoch: epoch, Seq: 99}}}
		stream, err := r.Open(q)
		if err != nil {
			t.Fatal(err)
		}
		c := client{stream: stream}
		stream.Start(&c)
		synctest.Wait()
		lines := strings.Split(strings.TrimSpace(show(c.got())), "\n")[2:]
		for i, want := range []string{
			`event=sg.reset data={"reason":"epoch","channels":[{"channel":"c"}],"resumeAt":"k3f9x2.5"}`,
			`event=sg.reset data={"reason":"future","channels":[{"channel":"d"}],"resumeAt":"k3f9x2.5"}`,
			`data={"seq":2,`,
			`event=sg.caught-up data={"cursor":"k3f9x2.3","replayed":1,"channels":["a"]}`,
			`id=k3f9x2.4 data={"seq":4,`,
			`id=k3f9x2.5 data={"seq":5,`,
			`id=k3f9x2.5 event=sg.caught-up data={"cursor":"k3f9x2.5","replayed":3}`,
		} {
			if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
				t.Fatalf("line %d is not %s:\n%s", i, want, strings.Join(lines, "\n"))
			}
		}
		a, err := r.Poll(t.Context(), q, engine.Poll{MaxEvents: 500, MaxBytes: 1 << 20})
		if err != nil || len(a.Events) != 3 || a.Events[0].Seq != 2 || len(a.Controls) != 3 || a.Cursor.Seq != 5 {
			t.Errorf("a poll: %+v, %v", a, err)
		}
	})
}
