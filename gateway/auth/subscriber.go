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
	who := &Principal{Sub: patterns(s.AnonymousChannels), Presence: true}
	if len(s.AnonymousChannels) == 0 {
		who.Sub = everything()
	}
	a.anonymous.Store(who)
}

// Authenticate says who wants to read: everybody is nobody in particular. The
// error is always nil.
func (a *Subscriber) Authenticate(*http.Request) (*Principal, error) { return a.anonymous.Load(), nil }

// MayRead tells whether everybody may read all of a set.
func (a *Subscriber) MayRead(subs *wire.SubSet) bool { return a.anonymous.Load().MayReadAll(subs) }
