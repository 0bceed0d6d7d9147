package limit

import (
	"net/netip"
	"sync"
	"testing"
)

var (
	a = Client{Address: netip.MustParseAddr("192.0.2.1")}
	b = Client{Address: netip.MustParseAddr("192.0.2.2")}
)

func TestThePodsLimitIsNamedBeforeTheAddress(t *testing.T) {
	s := NewStreams(Most{PerPod: 2, PerAddress: 1})
	if r := s.Acquire(a); r != nil {
		t.Fatal(r)
	}
	if r := s.Acquire(a); r == nil || *r != (Refusal{NameStreams, ScopeAddress, 1}) {
		t.Errorf("second of one address: %v", r)
	}
	if r := s.Acquire(b); r != nil {
		t.Errorf("first of another address: %v", r)
	}
	if r := s.Acquire(a); r == nil || *r != (Refusal{NameStreams, ScopePod, 2}) {
		t.Errorf("third in the pod: %v", r)
	}
	s.Release(a)
	if r := s.Acquire(a); r != nil {
		t.Errorf("after a release: %v", r)
	}
	if active, peak, rejected := s.Counts(); active != 2 || peak != 2 || rejected != 2 {
		t.Errorf("active %d, peak %d, rejected %d", active, peak, rejected)
	}
}

func TestLoweringALimitClosesNothingAndRefusesUntilThereIsRoom(t *testing.T) {
	s := NewStreams(Most{PerPod: 10, PerAddress: 0})
	for range 3 {
		if r := s.Acquire(a); r != nil {
			t.Fatal(r)
		}
	}
	s.Tune(Most{PerPod: 1, PerAddress: 1})
	if active, _, _ := s.Counts(); active != 3 {
		t.Errorf("%d streams left", active)
	}
	for range 2 {
		s.Release(a)
		if r := s.Acquire(b); r == nil {
			t.Fatal("let in over the limit")
		}
	}
	s.Release(a)
	if r := s.Acquire(b); r != nil {
		t.Error(r)
	}
}

func TestAddressesCountedBeforeALimitWasSetStillCount(t *testing.T) {
	s := NewStreams(Most{PerPod: 10, PerAddress: 0})
	_ = s.Acquire(a)
	s.Tune(Most{PerPod: 10, PerAddress: 1})
	if r := s.Acquire(a); r == nil {
		t.Error("the stream from before does not count")
	}
}

func TestAnIPv6ClientIsItsSubnetAndAMappedOneItsIPv4Address(t *testing.T) {
	s := NewStreams(Most{PerPod: 10, PerAddress: 1})
	_ = s.Acquire(Client{Address: netip.MustParseAddr("2001:db8::1")})
	if r := s.Acquire(Client{Address: netip.MustParseAddr("2001:db8::2")}); r == nil {
		t.Error("a neighbour in the /64 counts apart")
	}
	if r := s.Acquire(Client{Address: netip.MustParseAddr("2001:db8:0:1::1")}); r != nil {
		t.Errorf("another /64: %v", r)
	}
	_ = s.Acquire(a)
	if r := s.Acquire(Client{Address: netip.MustParseAddr("::ffff:192.0.2.1")}); r == nil {
		t.Error("the mapped form counts apart")
	}
}

func TestMemoryIsBoundedByOpenStreams(t *testing.T) {
	s := NewStreams(Most{PerPod: 1000, PerAddress: 0})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				client := Client{Address: netip.AddrFrom4([4]byte{10, byte(g), byte(i >> 8), byte(i)}), Tenant: string(rune(g)), Subject: string(rune(i))}
				if s.Acquire(client) == nil {
					s.Release(client)
				}
			}
		})
	}
	wg.Wait()
	if active, _, _ := s.Counts(); active != 0 || len(s.byAddress)+len(s.byTenant)+len(s.bySubject) != 0 {
		t.Errorf("%d streams, %d addresses remembered", active, len(s.byAddress))
	}
}
