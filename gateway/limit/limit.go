// Package limit counts what must not grow without bound: streams of a pod and
// of one client address.
//
// It decides and counts; it answers no request, keeps no history and closes
// nothing. Its memory is bounded by the number of open streams. It is called
// by gateway/transport through gateway/server.
package limit

import (
	"net/netip"
	"sync"
)

// Scopes of a Refusal.
const (
	ScopePod     = "pod"
	ScopeAddress = "address"
)

// Refusal says which limit was reached.
type Refusal struct {
	Scope string // ScopePod or ScopeAddress
	Value int    // streams
}

// Streams counts open streams. Make one with NewStreams.
type Streams struct {
	mu            sync.Mutex
	maxPerPod     int
	maxPerAddress int
	active, peak  int
	rejected      uint64
	byAddress     map[netip.Prefix]int
}

// NewStreams makes a counter with these limits in streams; an address limit of
// 0 does not limit.
func NewStreams(maxPerPod, maxPerAddress int) *Streams {
	return &Streams{maxPerPod: maxPerPod, maxPerAddress: maxPerAddress, byAddress: map[netip.Prefix]int{}}
}

// Tune takes over new limits for streams that come from now on; lowering one
// closes nothing.
func (s *Streams) Tune(maxPerPod, maxPerAddress int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.maxPerPod, s.maxPerAddress = maxPerPod, maxPerAddress
}

// Acquire counts a stream of this client, or says why it may not open. Each
// success needs one Release with the same address.
func (s *Streams) Acquire(client netip.Addr) *Refusal {
	of := owner(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active >= s.maxPerPod {
		s.rejected++
		return &Refusal{ScopePod, s.maxPerPod}
	}
	if s.maxPerAddress > 0 && s.byAddress[of] >= s.maxPerAddress {
		s.rejected++
		return &Refusal{ScopeAddress, s.maxPerAddress}
	}
	s.active++
	s.peak = max(s.peak, s.active)
	s.byAddress[of]++
	return nil
}

// Release ends the count of a stream that Acquire let in.
func (s *Streams) Release(client netip.Addr) {
	of := owner(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	if s.byAddress[of]--; s.byAddress[of] <= 0 {
		delete(s.byAddress, of)
	}
}

// Counts are streams open now, the most there were at once, and the number of
// refusals, since the start.
func (s *Streams) Counts() (active, peak int, rejected uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active, s.peak, s.rejected
}

// owner is what one client can be told apart by: an IPv4 address, or the /64
// that an IPv6 client may pick its addresses from.
func owner(client netip.Addr) netip.Prefix {
	client = client.Unmap().WithZone("")
	bits := client.BitLen()
	if client.Is6() {
		bits = 64
	}
	p, _ := client.Prefix(bits) // of the zero Addr: the zero Prefix, shared by all without an address
	return p
}
