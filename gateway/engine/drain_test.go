package engine_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// TestAStreamThatStartsInADrainIsMovedToo opens a stream before a drain, and
// starts it when the drain is under way, as a request does that was just let
// in.
func TestAStreamThatStartsInADrainIsMovedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		early, late := &client{}, &client{}
		for _, c := range []*client{early, late} {
			s, err := r.Open(engine.Request{Subs: subs(t, "a")})
			if err != nil {
				t.Fatal(err)
			}
			c.stream = s
		}
		early.stream.Start(early)
		start := time.Now()
		drained := make(chan time.Duration, 1)
		go func() {
			err := r.Drain(context.Background(), engine.Drain{Reason: wire.DrainRollout, Spread: 10 * time.Second, Timeout: 30 * time.Second})
			if err != nil {
				t.Error(err)
			}
			drained <- time.Since(start)
		}()
		synctest.Wait()
		late.stream.Start(late)
		took := <-drained
		if took > 10*time.Second {
			t.Errorf("drained after %v, the spread is 10 s", took)
		}
		last := ""
		for _, f := range late.got() {
			last += f.event + " "
		}
		if want := " sg.open sg.drain sg.caught-up  sg.end "; last != want {
			t.Errorf("the late client got %q, want %q", last, want)
		}
		if late.closedAt().Sub(start) > 10*time.Second {
			t.Errorf("the late client was closed after %v", late.closedAt().Sub(start))
		}
	})
}

func TestADrainThatIsNotWaitedForGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		c := &client{}
		var err error
		if c.stream, err = r.Open(engine.Request{Subs: subs(t, "a")}); err != nil {
			t.Fatal(err)
		}
		c.stream.Start(c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		d := engine.Drain{Reason: wire.DrainRollout, Spread: 10 * time.Second, Timeout: 30 * time.Second}
		if err := r.Drain(ctx, d); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := r.Drain(t.Context(), d); err != nil || c.closedAt().IsZero() {
			t.Errorf("a second call got %v, the client was closed at %v", err, c.closedAt())
		}
	})
}

// TestManyStreamsAreMovedOverLongerThanTheSpread drains 3,000 streams, for which
// a second is too short.
func TestManyStreamsAreMovedOverLongerThanTheSpread(t *testing.T) {
	for name, c := range map[string]struct{ spread, timeout, want time.Duration }{
		"a thousand a second":      {time.Second, 30 * time.Second, 3 * time.Second},
		"not beyond the timeout":   {time.Second, 2 * time.Second, 2 * time.Second},
		"a long spread":            {10 * time.Second, 30 * time.Second, 10 * time.Second},
		"without a spread at once": {0, 30 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { drainMany(t, c.spread, c.timeout, c.want) })
		})
	}
}

func drainMany(t *testing.T, spread, timeout, want time.Duration) {
	r := newRig(t, 2)
	clients := make([]client, 3000)
	for i := range clients {
		c := &clients[i]
		s, err := r.Open(engine.Request{Subs: subs(t, "a")})
		if err != nil {
			t.Fatal(err)
		}
		c.stream = s
		s.Start(c)
	}
	start := time.Now()
	if err := r.Drain(t.Context(), engine.Drain{Reason: wire.DrainRollout, Spread: spread, Timeout: timeout}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > want || took < want*9/10 {
		t.Errorf("drained after %v, want %v", took, want)
	}
	ended := make([]int, int(want.Seconds())+1)
	for i := range clients {
		ended[int(clients[i].closedAt().Sub(start).Seconds())]++
	}
	even := len(clients) / max(int(want.Seconds()), 1)
	for second, n := range ended {
		if n > even+even/10 {
			t.Errorf("%d streams were ended in second %d, evenly it is %d", n, second, even)
		}
	}
}
