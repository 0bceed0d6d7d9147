// Package limit counts what must not grow without bound: streams of a pod and
// of one client address, how fast new ones come, and how many are being opened
// at once.
//
// It decides and counts; it answers no request, keeps no history and closes
// nothing. Its memory is bounded by the number of open streams. It is called
// by gateway/transport through gateway/server.
package limit

import (
	"net/netip"
	"sync"
	"time"
)

// Scopes of a Refusal.
const (
	ScopePod     = "pod"
	ScopeAddress = "address"
)

// Names of limits in a Refusal.
const (
	NameStreams = "connections"      // open streams
	NameRate    = "connect-rate"     // new streams per second
	NameMemory  = "memory-megabytes" // what the pod may use
	// NameHandshakes is of streams that are being opened.
	NameHandshakes = "handshakes"
)

// Refusal says which limit was reached.
type Refusal struct {
	Name  string // one of the Name constants
	Scope string // ScopePod or ScopeAddress
	Value int    // in the unit of Name
}

// Connect is a token bucket for new streams.
type Connect struct {
	PerSecond int // streams, on the long run
	Burst     int // streams at once
}

// Refused counts refusals since the start, by the limit that was reached.
type Refused struct{ Streams, Rate, Memory uint64 }

// Streams counts open streams. Make one with NewStreams.
type Streams struct {
	mu            sync.Mutex
	maxPerPod     int
	maxPerAddress int
	active, peak  int
	byAddress     map[netip.Prefix]int
	refused       Refused

	connect Connect
	tokens  float64   // new streams that may come at once
	filled  time.Time // when tokens was computed

	// fullMegabytes is the memory that the pod has used up; 0 = it has not.
	fullMegabytes int
}

// NewStreams makes a counter with these limits in streams; an address limit of
// 0 does not limit. New streams may come at any rate until TuneConnect.
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

// TuneConnect takes over the rate of new streams. The bucket is full at first,
// and keeps what it holds, as far as it fits, when it is changed.
func (s *Streams) TuneConnect(c Connect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.filled.IsZero() {
		s.tokens = float64(c.Burst)
	} else {
		s.fill()
	}
	s.connect, s.filled = c, time.Now()
	s.tokens = min(s.tokens, float64(c.Burst))
}

// fill adds what has come since the last time. The caller holds mu.
func (s *Streams) fill() {
	now := time.Now()
	s.tokens += now.Sub(s.filled).Seconds() * float64(s.connect.PerSecond)
	s.tokens, s.filled = min(s.tokens, float64(s.connect.Burst)), now
}

// Full refuses all new streams from now on, because the pod has used up this
// memory, in MiB; 0 lets them in again.
func (s *Streams) Full(megabytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fullMegabytes = megabytes
}

// Acquire counts a stream of this client, or says why it may not open. Each
// success needs one Release with the same address. What is refused takes
// nothing from the rate.
func (s *Streams) Acquire(client netip.Addr) *Refusal { return s.acquire(client, true) }

// AcquirePoll is Acquire for one answer of a long-poll. A client that polls
// comes back after every answer, which says nothing about a storm, so polls
// are counted but not paced.
func (s *Streams) AcquirePoll(client netip.Addr) *Refusal { return s.acquire(client, false) }

func (s *Streams) acquire(client netip.Addr, paced bool) *Refusal {
	of := owner(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.active >= s.maxPerPod:
		s.refused.Streams++
		return &Refusal{NameStreams, ScopePod, s.maxPerPod}
	case s.fullMegabytes > 0:
		s.refused.Memory++
		return &Refusal{NameMemory, ScopePod, s.fullMegabytes}
	case s.maxPerAddress > 0 && s.byAddress[of] >= s.maxPerAddress:
		s.refused.Streams++
		return &Refusal{NameStreams, ScopeAddress, s.maxPerAddress}
	}
	if paced && s.connect.PerSecond > 0 {
		if s.fill(); s.tokens < 1 {
			s.refused.Rate++
			return &Refusal{NameRate, ScopePod, s.connect.PerSecond}
		}
		s.tokens--
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
// refusals of any kind, since the start.
func (s *Streams) Counts() (active, peak int, rejected uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active, s.peak, s.refused.Streams + s.refused.Rate + s.refused.Memory
}

// Refused counts refusals by their kind.
func (s *Streams) Refused() Refused {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
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
