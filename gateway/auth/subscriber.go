package auth

import (
	"net/http"
	"sync/atomic"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Subscribers says who may read what, in the shape of the hot config's group.
type Subscribers struct {
	AnonymousChannels []string // patterns that everybody may read; none = everything
}

// everything is the pattern of all channels that clients may name.
const everything = ">"

// Subscriber authenticates requests that read. It is safe for concurrent use.
type Subscriber struct{ anonymous atomic.Pointer[Principal] }

// NewSubscriber makes a Subscriber.
func NewSubscriber(s Subscribers) *Subscriber {
	a := &Subscriber{}
	a.Tune(s)
	return a
}

// Tune takes over new rules from the next request on. What is not a pattern
// gives no right, so a list of nothing else opens nothing.
func (a *Subscriber) Tune(s Subscribers) {
	names := s.AnonymousChannels
	if len(names) == 0 {
		names = []string{everything}
	}
	who := &Principal{}
	for _, name := range names {
		if p, err := wire.ParsePattern(name); err == nil {
			who.Sub = append(who.Sub, p)
		}
	}
	a.anonymous.Store(who)
}

// Authenticate says who wants to read: everybody is nobody in particular. The
// error is always nil.
func (a *Subscriber) Authenticate(*http.Request) (Principal, error) { return *a.anonymous.Load(), nil }

// MayRead tells whether everybody may read all of a set.
func (a *Subscriber) MayRead(subs *wire.SubSet) bool {
	who := a.anonymous.Load()
	for _, name := range subs.All() {
		if p, err := wire.ParsePattern(name); err != nil || !who.MayRead(p) {
			return false
		}
	}
	return true
}
