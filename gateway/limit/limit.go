// Package limit counts what must not grow without bound: streams of a pod, of a
// tenant, of a subject and of one client address, how fast new ones come, and
// how many are being opened at once.
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
	ScopeTenant  = "tenant"
	ScopeSubject = "subject"
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
	Scope string // one of the Scope constants
	Value int    // in the unit of Name
}

// Connect is a token bucket for new streams.
type Connect struct {
	PerSecond int // streams, on the long run
	Burst     int // streams at once
}

// Most is how many streams there may be at once on this pod; 0 = not limited,
// except for PerPod.
type Most struct{ PerPod, PerTenant, PerSubject, PerAddress int }

// Client is who opens a stream.
type Client struct {
	Address netip.Addr
	Tenant  string
	Subject string // of the tenant; "" = nobody in particular, who has no limit of a subject
	// Own is the subject's own limit, where it is below PerSubject; 0 = none.
	Own int
}

// Refused counts refusals since the start, by the limit that was reached.
type Refused struct{ Streams, Rate, Memory uint64 }

// Streams counts open streams. Make one with NewStreams.
type Streams struct {
	mu           sync.Mutex
	most         Most
	active, peak int
	byAddress    map[netip.Prefix]int
	byTenant     map[string]int
	bySubject    map[subject]int
	refused      Refused

	connect Connect
	tokens  float64   // new streams that may come at once
	filled  time.Time // when tokens was computed

	// fullMegabytes is the memory that the pod has used up; 0 = it has not.
	fullMegabytes int
}

// subject is one of a tenant.
type subject struct{ tenant, name string }

// NewStreams makes a counter with these limits. New streams may come at any
// rate until TuneConnect.
func NewStreams(m Most) *Streams {
	return &Streams{most: m, byAddress: map[netip.Prefix]int{}, byTenant: map[string]int{}, bySubject: map[subject]int{}}
}

// Tune takes over new limits for streams that come from now on; lowering one
// closes nothing.
func (s *Streams) Tune(m Most) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = m
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
// success needs one Release with the same client. What is refused takes
// nothing from the rate.
func (s *Streams) Acquire(c Client) *Refusal { return s.acquire(c, true) }

// AcquirePoll is Acquire for one answer of a long-poll. A client that polls
// comes back after every answer, which says nothing about a storm, so polls
// are counted but not paced.
func (s *Streams) AcquirePoll(c Client) *Refusal { return s.acquire(c, false) }

func (s *Streams) acquire(c Client, paced bool) *Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if over := s.over(c); over != nil {
		return over
	}
	if paced && s.connect.PerSecond > 0 {
		if s.fill(); s.tokens < 1 {
			s.refused.Rate++
			return &Refusal{NameRate, ScopePod, s.connect.PerSecond}
		}
		s.tokens--
	}
	s.count(c, 1)
	s.peak = max(s.peak, s.active)
	return nil
}

// over tells the first limit that is reached, the widest one first: it is for
// the client alone to do something about a narrow one. The caller holds mu.
func (s *Streams) over(c Client) *Refusal {
	reached := func(most, now int) bool { return most > 0 && now >= most }
	own := s.most.PerSubject
	if c.Own > 0 && (own == 0 || c.Own < own) {
		own = c.Own
	}
	var no Refusal
	switch {
	case s.active >= s.most.PerPod:
		no = Refusal{NameStreams, ScopePod, s.most.PerPod}
	case s.fullMegabytes > 0:
		s.refused.Memory++
		return &Refusal{NameMemory, ScopePod, s.fullMegabytes}
	case reached(s.most.PerTenant, s.byTenant[c.Tenant]):
		no = Refusal{NameStreams, ScopeTenant, s.most.PerTenant}
	case c.Subject != "" && reached(own, s.bySubject[subject{c.Tenant, c.Subject}]):
		no = Refusal{NameStreams, ScopeSubject, own}
	case reached(s.most.PerAddress, s.byAddress[Owner(c.Address)]):
		no = Refusal{NameStreams, ScopeAddress, s.most.PerAddress}
	default:
		return nil
	}
	s.refused.Streams++
	return &no
}

// Release ends the count of a stream that Acquire let in.
func (s *Streams) Release(c Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(c, -1)
}

// count adds n streams of a client, and forgets who has none. The caller holds
// mu.
func (s *Streams) count(c Client, n int) {
	s.active += n
	add(s.byAddress, Owner(c.Address), n)
	add(s.byTenant, c.Tenant, n)
	if c.Subject != "" {
		add(s.bySubject, subject{c.Tenant, c.Subject}, n)
	}
}

func add[K comparable](counts map[K]int, k K, n int) {
	if counts[k] += n; counts[k] <= 0 {
		delete(counts, k)
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

// Owner is what one client can be told apart by: an IPv4 address, or the /64
// that an IPv6 client may pick its addresses from.
func Owner(client netip.Addr) netip.Prefix {
	client = client.Unmap().WithZone("")
	bits := client.BitLen()
	if client.Is6() {
		bits = 64
	}
	p, _ := client.Prefix(bits) // of the zero Addr: the zero Prefix, shared by all without an address
	return p
}
