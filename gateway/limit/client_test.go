package limit

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
)

func acquire(s *Streams, c Client, n int) (let int) {
	for range n {
		if s.Acquire(c) == nil {
			let++
		}
	}
	return let
}

func TestTheFirstLimitThatIsReachedIsNamed(t *testing.T) {
	s := NewStreams(Most{PerPod: 7, PerTenant: 5, PerSubject: 3, PerAddress: 2})
	at := func(address byte, tenant, subject string) Client {
		return Client{Address: netip.AddrFrom4([4]byte{192, 0, 2, address}), Tenant: tenant, Subject: subject}
	}
	for i, c := range []struct {
		of    Client
		let   int
		scope string
		value int
	}{
		{at(1, "acme", "u1"), 2, ScopeAddress, 2},
		{at(2, "acme", "u1"), 1, ScopeSubject, 3},
		{at(2, "acme", "u2"), 1, ScopeAddress, 2},
		{at(3, "acme", "u2"), 1, ScopeTenant, 5},
		{at(4, "other", "u1"), 2, ScopePod, 7}, // the same name in another tenant is somebody else
	} {
		if let := acquire(s, c.of, c.let); let != c.let {
			t.Errorf("%d: let in %d", i, let)
		}
		if r := s.Acquire(c.of); r == nil || *r != (Refusal{NameStreams, c.scope, c.value}) {
			t.Errorf("%d: %v", i, r)
		}
	}
	if r := s.Refused(); r != (Refused{Streams: 5}) {
		t.Errorf("refused %+v", r)
	}
}

func TestNobodyInParticularHasNoLimitOfASubject(t *testing.T) {
	s := NewStreams(Most{PerPod: 100, PerSubject: 1})
	if let := acquire(s, Client{}, 50); let != 50 {
		t.Errorf("let in %d", let)
	}
}

func TestASubjectsOwnLimitLowersTheConfiguredOneAndNeverRaisesIt(t *testing.T) {
	for _, c := range []struct{ configured, own, want int }{{10, 4, 4}, {3, 4, 3}, {0, 4, 4}, {3, 0, 3}} {
		s := NewStreams(Most{PerPod: 100, PerSubject: c.configured})
		if let := acquire(s, Client{Subject: "u", Own: c.own}, 20); let != c.want {
			t.Errorf("configured %d, own %d: let in %d", c.configured, c.own, let)
		}
	}
}

func TestALowerLimitOfASubjectWaitsUntilItHasRoom(t *testing.T) {
	s, u := NewStreams(Most{PerPod: 100, PerSubject: 5}), Client{Tenant: "t", Subject: "u"}
	acquire(s, u, 5)
	s.Tune(Most{PerPod: 100, PerSubject: 2, PerTenant: 3})
	if active, _, _ := s.Counts(); active != 5 {
		t.Errorf("%d streams left", active)
	}
	for range 3 {
		s.Release(u)
		if r := s.Acquire(u); r == nil {
			t.Fatal("let in over the limit")
		}
	}
	s.Release(u)
	if r := s.Acquire(u); r != nil {
		t.Error(r)
	}
}

// TestCountsOfManyClientsTakeLittleMemory holds a stream of each of 100,000
// addresses and as many subjects of 1,000 tenants.
func TestCountsOfManyClientsTakeLittleMemory(t *testing.T) {
	s := NewStreams(Most{PerPod: 200_000, PerTenant: 1000, PerSubject: 10, PerAddress: 10})
	clients := make([]Client, 100_000)
	for i := range clients {
		clients[i] = Client{Address: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
			Tenant: fmt.Sprintf("tenant-%d", i%1000), Subject: fmt.Sprintf("subject-%d", i)}
	}
	before := heap()
	for _, c := range clients {
		if r := s.Acquire(c); r != nil {
			t.Fatal(r)
		}
	}
	took := heap() - before
	t.Logf("%d addresses, %d subjects, %d tenants take %d KiB, %d bytes a stream", len(s.byAddress), len(s.bySubject), len(s.byTenant), took>>10, took/100_000)
	if len(s.byAddress) != 100_000 || len(s.bySubject) != 100_000 || len(s.byTenant) != 1000 || took > 32<<20 {
		t.Errorf("%d addresses, %d subjects, %d tenants take %d bytes", len(s.byAddress), len(s.bySubject), len(s.byTenant), took)
	}
	for _, c := range clients {
		s.Release(c)
	}
	if active, _, _ := s.Counts(); active != 0 || len(s.byAddress)+len(s.bySubject)+len(s.byTenant) != 0 {
		t.Errorf("%d streams, %d keys are kept", active, len(s.byAddress)+len(s.bySubject)+len(s.byTenant))
	}
	runtime.KeepAlive(clients)
}
