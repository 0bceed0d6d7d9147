package breaker

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func settings() Settings {
	return Settings{Mode: "Enabled", FailureThreshold: 5, OpenDuration: 5 * time.Second, HalfOpenProbes: 3}
}

// middle draws no spread.
func middle() float64 { return 0.5 }

// call goes through with this result, or tells how long to wait.
func call(t *testing.T, b *Breaker, r Result) (retry time.Duration) {
	t.Helper()
	p, err := b.Enter()
	if open, ok := errors.AsType[*OpenError](err); ok {
		return open.RetryAfter
	}
	if err != nil {
		t.Fatal(err)
	}
	p.Leave(r)
	return 0
}

func calls(t *testing.T, b *Breaker, n int, r Result) {
	t.Helper()
	for range n {
		if retry := call(t, b, r); retry != 0 {
			t.Fatalf("refused for %s", retry)
		}
	}
}

func is(t *testing.T, b *Breaker, want State) {
	t.Helper()
	if got := b.Stats().State; got != want {
		t.Fatalf("the breaker is %s, want %s", got, want)
	}
}

func TestFailuresInARowOpenIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(settings(), middle)
		calls(t, b, 4, Failed)
		calls(t, b, 1, Succeeded)
		calls(t, b, 4, Failed)
		calls(t, b, 1, Unknown)
		is(t, b, Closed)
		calls(t, b, 1, Failed)
		is(t, b, Open)
		time.Sleep(2 * time.Second)
		if retry := call(t, b, Succeeded); retry != 3*time.Second {
			t.Errorf("told to wait %s, want 3s", retry)
		}
		if s := b.Stats(); s.Opened != 1 || time.Since(s.LastOpened) != 2*time.Second {
			t.Errorf("got %+v", s)
		}
	})
}

func TestMoreThanHalfOfTwentyInTenSecondsOpenIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pairs := func(b *Breaker) {
			for range 9 {
				calls(t, b, 1, Succeeded)
				calls(t, b, 1, Failed)
			}
		}
		b := New(settings(), middle)
		pairs(b)
		calls(t, b, 1, Failed) // 10 of 19
		is(t, b, Closed)
		calls(t, b, 1, Failed) // 11 of 20
		is(t, b, Open)

		b = New(settings(), middle)
		pairs(b)
		time.Sleep(windowSeconds * time.Second)
		calls(t, b, 2, Failed)
		is(t, b, Closed)
	})
}

func TestAsManyProbesAsAskedForCloseIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(settings(), middle)
		calls(t, b, 5, Failed)
		time.Sleep(5 * time.Second)
		is(t, b, HalfOpen)
		var probes []Pass
		for range 3 {
			p, err := b.Enter()
			if err != nil {
				t.Fatal(err)
			}
			probes = append(probes, p)
		}
		if retry := call(t, b, Succeeded); retry != busyRetry {
			t.Errorf("a fourth probe was told to wait %s, want %s", retry, busyRetry)
		}
		probes[0].Leave(Unknown) // gives its place to another
		probes[1].Leave(Succeeded)
		probes[2].Leave(Succeeded)
		is(t, b, HalfOpen)
		calls(t, b, 1, Succeeded)
		is(t, b, Closed)
		calls(t, b, 4, Failed) // counted from the start again
		is(t, b, Closed)
	})
}

func TestItStaysOpenTwiceAsLongWhileProbesFailUpToHalfAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(settings(), middle)
		calls(t, b, 5, Failed)
		for _, want := range []time.Duration{5, 10, 20, 30, 30} {
			if retry := call(t, b, Failed); retry != want*time.Second {
				t.Fatalf("open for %s, want %ds", retry, want)
			}
			time.Sleep(want * time.Second)
			is(t, b, HalfOpen)
			calls(t, b, 1, Failed)
			is(t, b, Open)
		}
		if n := b.Stats().Opened; n != 1 {
			t.Errorf("one outage counts as %d", n)
		}
		time.Sleep(30 * time.Second)
		calls(t, b, 3, Succeeded)
		calls(t, b, 5, Failed)
		if retry := call(t, b, Failed); retry != 5*time.Second {
			t.Errorf("the next outage begins with %s, want 5s", retry)
		}
	})
}

func TestOpenTimesAreSpreadByAFifth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for draw, want := range map[float64]time.Duration{0: 4 * time.Second, 1: 6 * time.Second} {
			b := New(settings(), func() float64 { return draw })
			calls(t, b, 5, Failed)
			if retry := call(t, b, Failed); retry != want {
				t.Errorf("%v: open for %s, want %s", draw, retry, want)
			}
		}
	})
}

func TestProbesThatAreNeverAnsweredCountAsFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(settings(), middle)
		calls(t, b, 5, Failed)
		time.Sleep(5 * time.Second)
		stuck, err := b.Enter()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(probePatience)
		is(t, b, Open)
		stuck.Leave(Succeeded) // too late to mean anything
		is(t, b, Open)
		time.Sleep(10 * time.Second)
		calls(t, b, 3, Succeeded)
		is(t, b, Closed)
	})
}

func TestAnswersFromBeforeAChangeAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(settings(), middle)
		late, err := b.Enter()
		if err != nil {
			t.Fatal(err)
		}
		calls(t, b, 5, Failed)
		time.Sleep(5 * time.Second)
		is(t, b, HalfOpen)
		late.Leave(Failed)
		is(t, b, HalfOpen)
	})
}

func TestDisablingLetsEverythingThroughAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(settings(), middle)
		calls(t, b, 5, Failed)
		off := settings()
		off.Mode = Disabled
		b.Tune(off)
		calls(t, b, 100, Failed)
		is(t, b, Closed)
		b.Tune(settings())
		calls(t, b, 4, Failed)
		is(t, b, Closed)
	})
}

func TestTuningChangesTheNextDecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(settings(), middle)
		calls(t, b, 4, Failed)
		s := settings()
		s.FailureThreshold, s.OpenDuration, s.HalfOpenProbes = 2, time.Minute, 1
		b.Tune(s)
		calls(t, b, 1, Failed)
		if retry := call(t, b, Failed); retry != time.Minute {
			t.Errorf("open for %s, want 1m", retry)
		}
		time.Sleep(time.Minute)
		calls(t, b, 1, Succeeded)
		is(t, b, Closed)
	})
}
