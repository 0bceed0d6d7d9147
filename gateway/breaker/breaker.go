// Package breaker keeps a gateway from waiting for a log that fails: after some
// failures calls are refused at once, and a few probes find out when the log
// takes events again.
//
// It counts and decides; it calls nothing, logs nothing and knows neither logs
// nor HTTP. It is called by gateway/server around each append.
package breaker

import (
	"fmt"
	"sync"
	"time"
)

// Disabled as the mode of Settings lets everything through.
const Disabled = "Disabled"

// Settings is what a breaker runs by.
type Settings struct {
	Mode             string        // Enabled or Disabled
	FailureThreshold int           // failures in a row that open it
	OpenDuration     time.Duration // how long it stays open the first time
	HalfOpenProbes   int           // successes that close it
}

// State is where a breaker stands.
type State uint8

// The states.
const (
	Closed   State = iota // calls go through
	HalfOpen              // some calls go through as probes
	Open                  // none does
)

// String gives the word of the protocol.
func (s State) String() string {
	switch s {
	case Open:
		return "open"
	case HalfOpen:
		return "half-open"
	}
	return "closed"
}

const (
	windowSeconds = 10 // of the share of failures
	minCalls      = 20 // in the window, before the share means anything
	// maxOpen bounds how long a breaker stays open while probes fail, unless
	// OpenDuration itself is longer.
	maxOpen = 30 * time.Second
	// spread is drawn to either side of each open time, so that pods that lost
	// the same log do not probe it in one moment.
	spread = 0.2
	// probePatience is when probes without an answer count as failed.
	probePatience = 10 * time.Second
	// busyRetry is what callers are told while all probes are under way.
	busyRetry = time.Second
)

// OpenError tells that a call was refused.
type OpenError struct{ RetryAfter time.Duration }

// Error says how long the log is left alone.
func (e *OpenError) Error() string {
	return fmt.Sprintf("the log fails; it is tried again in %s", e.RetryAfter)
}

// Result is what became of a call.
type Result uint8

// The results.
const (
	Succeeded Result = iota // the log answered, be it with a refusal
	Failed
	Unknown // the caller left before the log answered
)

// Breaker is one circuit. Make it with New.
type Breaker struct {
	random func() float64

	mu       sync.Mutex
	settings Settings
	state    State // never HalfOpen before somebody asks after openUntil
	// turn counts changes of state, so that the answer to a call that began
	// before the last one changes nothing.
	turn       uint64
	row        int // failures in a row
	window     [windowSeconds]second
	openUntil  time.Time
	reopened   int // times that probes have failed since it was closed
	probes     int // under way
	lastProbe  time.Time
	successes  int // of probes
	opened     uint64
	lastOpened time.Time
}

// second holds the calls that ended in one second.
type second struct {
	unix          int64
	calls, failed int
}

// New makes a closed breaker. random draws from [0, 1).
func New(s Settings, random func() float64) *Breaker {
	return &Breaker{settings: s, random: random}
}

// Tune takes over settings. An open breaker keeps the time it was opened for,
// unless it is disabled.
func (b *Breaker) Tune(s Settings) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settings = s
	if s.Mode == Disabled && b.state != Closed {
		b.closeNow()
	}
}

// Pass is a call that was let through. Leave must be called once.
type Pass struct {
	breaker *Breaker
	turn    uint64
}

// Enter lets a call through, or says with *OpenError when to try again.
func (b *Breaker) Enter() (Pass, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.settings.Mode == Disabled {
		return Pass{b, b.turn}, nil
	}
	now := time.Now()
	b.advance(now)
	switch b.state {
	case Open:
		return Pass{}, &OpenError{b.openUntil.Sub(now)}
	case HalfOpen:
		if b.probes+b.successes >= b.settings.HalfOpenProbes {
			return Pass{}, &OpenError{busyRetry}
		}
		b.probes++
		b.lastProbe = now
	}
	return Pass{b, b.turn}, nil
}

// advance makes the changes that time alone brings. The caller holds mu.
func (b *Breaker) advance(now time.Time) {
	switch {
	case b.state == Open && !now.Before(b.openUntil):
		b.change(HalfOpen)
	case b.state == HalfOpen && b.probes > 0 && now.Sub(b.lastProbe) >= probePatience:
		b.reopened++
		b.open(now)
	}
}

// Leave says what became of the call.
func (p Pass) Leave(r Result) {
	b := p.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.turn != b.turn || b.settings.Mode == Disabled {
		return
	}
	now := time.Now()
	if b.state == HalfOpen {
		b.probed(r, now)
		return
	}
	switch r {
	case Succeeded:
		b.row = 0
		b.count(now, 0)
	case Failed:
		b.row++
		b.count(now, 1)
		if b.row >= b.settings.FailureThreshold || b.mostFailed(now) {
			b.opened++
			b.lastOpened = now
			b.open(now)
		}
	}
}

// probed takes the answer to a probe.
func (b *Breaker) probed(r Result, now time.Time) {
	b.probes--
	switch r {
	case Failed:
		b.reopened++
		b.open(now)
	case Succeeded:
		if b.successes++; b.successes >= b.settings.HalfOpenProbes {
			b.closeNow()
		}
	}
}

// open refuses calls for a time that doubles while probes fail.
func (b *Breaker) open(now time.Time) {
	b.change(Open)
	most := max(maxOpen, b.settings.OpenDuration)
	length := b.settings.OpenDuration
	for i := 0; i < b.reopened && length < most; i++ {
		length *= 2
	}
	length = min(length, most)
	b.openUntil = now.Add(time.Duration(float64(length) * (1 - spread + 2*spread*b.random())))
}

func (b *Breaker) closeNow() {
	b.change(Closed)
	b.reopened, b.row, b.window = 0, 0, [windowSeconds]second{}
}

func (b *Breaker) change(to State) {
	b.state, b.probes, b.successes = to, 0, 0
	b.turn++
}

func (b *Breaker) count(now time.Time, failed int) {
	s := &b.window[now.Unix()%windowSeconds]
	if s.unix != now.Unix() {
		*s = second{unix: now.Unix()}
	}
	s.calls++
	s.failed += failed
}

// mostFailed tells whether more than half of enough calls failed lately.
func (b *Breaker) mostFailed(now time.Time) bool {
	calls, failed := 0, 0
	for _, s := range b.window {
		if now.Unix()-s.unix < windowSeconds {
			calls += s.calls
			failed += s.failed
		}
	}
	return calls >= minCalls && 2*failed > calls
}

// Stats is what a breaker tells of itself.
type Stats struct {
	State      State
	Opened     uint64    // times that it left Closed
	LastOpened time.Time // zero = never
}

// Stats reads them at one moment.
func (b *Breaker) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(time.Now())
	return Stats{b.state, b.opened, b.lastOpened}
}
