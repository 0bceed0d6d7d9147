package limit

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestAHandshakeWaitsForItsTurnTwoSecondsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(2)
		for range 2 {
			if no := g.Enter(t.Context()); no != nil {
				t.Fatal(no)
			}
		}
		begun := time.Now()
		if no := g.Enter(t.Context()); no == nil || *no != (Refusal{NameHandshakes, ScopePod, 2}) || time.Since(begun) != 2*time.Second {
			t.Errorf("%v after %v", no, time.Since(begun))
		}
		begun = time.Now()
		time.AfterFunc(time.Second, g.Leave)
		if no := g.Enter(t.Context()); no != nil || time.Since(begun) != time.Second {
			t.Errorf("%v after %v", no, time.Since(begun))
		}
		ctx, leave := context.WithTimeout(t.Context(), time.Millisecond)
		defer leave()
		if no := g.Enter(ctx); no == nil {
			t.Error("a client that is gone got a turn")
		}
		if g.Refused() != 2 {
			t.Errorf("refused %d", g.Refused())
		}
	})
}
