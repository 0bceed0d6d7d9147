package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestActivityListsTheBusiestChannelsOfTheSpanOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := makeRig(1)
		defer r.Close()
		if got, span := r.Activity(time.Minute, 2); len(got) != 0 || span != time.Minute {
			t.Errorf("of an empty log: %v in %s", got, span)
		}
		r.publish("old", "1", "1", "1", "1")
		time.Sleep(2 * time.Minute)
		r.publish("b", "1")
		r.publish("a", "1")
		r.publish("c", "1", "1", "1")
		time.Sleep(time.Second)
		got, span := r.Activity(time.Minute, 2)
		if span != time.Minute || len(got) != 2 || got[0].Channel != "c" || got[0].Events != 3 || got[1].Channel != "a" || time.Since(got[1].Newest) != time.Second {
			t.Errorf("got %+v in %s", got, span)
		}
	})
}

func TestActivityOfABusyLogTellsHowShortATimeItWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := makeRig(1)
		defer r.Close()
		r.publish("before", "1")
		for range 11 {
			time.Sleep(time.Second)
			for i := range 1000 {
				r.publish(fmt.Sprintf("c%d", i%2), "1")
			}
		}
		got, span := r.Activity(time.Minute, 5)
		if len(got) != 2 || got[0].Events != 5000 || got[1].Events != 5000 || span != 9*time.Second {
			t.Errorf("got %+v in %s", got, span)
		}
	})
}
