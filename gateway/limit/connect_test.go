package limit

import (
	"testing"
	"testing/synctest"
	"time"
)

func open(s *Streams, n int) (let int) {
	for range n {
		if s.Acquire(a) == nil {
			let++
		}
	}
	return let
}

func TestNewStreamsComeInABurstAndThenAtTheirRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewStreams(Most{PerPod: 1_000_000, PerAddress: 0})
		s.TuneConnect(Connect{PerSecond: 100, Burst: 500})
		if let := open(s, 600); let != 500 {
			t.Errorf("let in %d of the burst", let)
		}
		if r := s.Acquire(a); r == nil || *r != (Refusal{NameRate, ScopePod, 100}) {
			t.Errorf("over the rate: %v", r)
		}
		let := 0
		for range 100 { // ten seconds
			time.Sleep(100 * time.Millisecond)
			let += open(s, 50)
		}
		if let != 1000 {
			t.Errorf("let in %d in ten seconds", let)
		}
		time.Sleep(time.Hour)
		if let := open(s, 600); let != 500 {
			t.Errorf("let in %d after a quiet hour", let)
		}
		if r := s.Refused(); r.Streams != 0 || r.Memory != 0 || r.Rate != 100+1+100*40+100 {
			t.Errorf("refused %+v", r)
		}
	})
}

func TestAChangeOfTheRateDoesNotFillTheBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewStreams(Most{PerPod: 1_000_000, PerAddress: 0})
		s.TuneConnect(Connect{PerSecond: 10, Burst: 100})
		open(s, 100)
		s.TuneConnect(Connect{PerSecond: 1000, Burst: 1000})
		if let := open(s, 1); let != 0 {
			t.Error("a change let streams in at once")
		}
		time.Sleep(time.Second)
		s.TuneConnect(Connect{PerSecond: 1, Burst: 3})
		if let := open(s, 10); let != 3 {
			t.Errorf("let in %d of a smaller bucket", let)
		}
	})
}

func TestWhatOtherLimitsRefuseTakesNothingFromTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewStreams(Most{PerPod: 1, PerAddress: 0})
		s.TuneConnect(Connect{PerSecond: 1, Burst: 3})
		open(s, 50) // one is let in
		s.Tune(Most{PerPod: 100, PerAddress: 0})
		if let := open(s, 50); let != 2 {
			t.Errorf("let in %d", let)
		}
	})
}

func TestPollsAreCountedButNotPaced(t *testing.T) {
	s := NewStreams(Most{PerPod: 2, PerAddress: 0})
	s.TuneConnect(Connect{PerSecond: 1, Burst: 1})
	for range 2 {
		if r := s.AcquirePoll(a); r != nil {
			t.Fatal(r)
		}
	}
	if r := s.AcquirePoll(a); r == nil || r.Name != NameStreams {
		t.Errorf("over the pod's limit: %v", r)
	}
	s.Release(a)
	if r := s.Acquire(a); r != nil {
		t.Errorf("polls took from the rate: %v", r)
	}
}

func TestAFullPodLetsNobodyInUntilThereIsMemory(t *testing.T) {
	s := NewStreams(Most{PerPod: 10, PerAddress: 0})
	s.Full(480)
	if r := s.Acquire(a); r == nil || *r != (Refusal{NameMemory, ScopePod, 480}) {
		t.Errorf("got %v", r)
	}
	s.Full(0)
	if r := s.Acquire(a); r != nil {
		t.Errorf("afterwards: %v", r)
	}
	if r := s.Refused(); r != (Refused{Memory: 1}) {
		t.Errorf("refused %+v", r)
	}
}
