package auth

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Subscribers says who may read what.
type Subscribers struct {
	Mode              string        // one of the Mode constants
	AnonymousChannels []string      // patterns that everybody may read, with ModeAnonymous; none = everything
	AccessTokenQuery  bool          // take ?access_token=
	Audiences         []string      // that Kubernetes tokens must be made for
	CacheTTL          time.Duration // how long a positive review is reused
	JWT               JWT           // with ModeJWT
}

// Subscriber authenticates requests that read. It is safe for concurrent use.
type Subscriber struct {
	desk
	tickets *Tickets // nil = none are taken
	rules   atomic.Pointer[subscriberRules]
	changed atomic.Pointer[func()]
}

type subscriberRules struct {
	Subscribers
	anonymous *Principal
}

// NewSubscriber makes a Subscriber. A nil reviewer makes every Kubernetes token
// uncheckable.
func NewSubscriber(reviewer Reviewer, s Subscribers) *Subscriber {
	a := &Subscriber{desk: desk{reviews: newReviews(reviewer, RightSubscribe)}}
	a.tokens.init(a.tell)
	a.tokens.standing = func(t *token) standing { return &verified{a, t} }
	a.Tune(s)
	return a
}

// Accept lets those in who show a ticket, unless everybody is let in. It is
// called before any Authenticate.
func (a *Subscriber) Accept(t *Tickets) { a.tickets = t }

// Changed has f called when Principals may have lost rights without a Tune:
// keys were withdrawn, or a review turned out otherwise. f must be quick.
func (a *Subscriber) Changed(f func()) { a.changed.Store(&f) }

func (a *Subscriber) tell() {
	if f := a.changed.Load(); f != nil {
		(*f)()
	}
}

// Tune takes over new rules from the next request on. What is not a pattern
// gives no right, so a list of nothing else opens nothing. The caller has all
// streams judged anew.
func (a *Subscriber) Tune(s Subscribers) {
	who := &Principal{Sub: patterns(s.AnonymousChannels), Presence: true, standing: anonymous{a}}
	if len(s.AnonymousChannels) == 0 {
		who.Sub = everything()
	}
	a.tokens.tune(s.JWT, s.Mode == ModeJWT)
	a.rules.Store(&subscriberRules{s, who})
}

// Authenticate says who wants to read. The error is one of ErrUnauthenticated,
// ErrDenied and ErrUnavailable, with the reason.
func (a *Subscriber) Authenticate(r *http.Request) (*Principal, error) {
	rules := a.rules.Load()
	if rules.Mode == ModeAnonymous {
		return rules.anonymous, nil
	}
	if a.tickets != nil && len(r.Header.Values("Authorization")) == 0 {
		if who, present, err := a.tickets.fromTicket(r, rules.Mode); present {
			a.ticket.count(err)
			return who, err
		}
	}
	token, err := tokenOf(r, rules.AccessTokenQuery)
	if err != nil {
		if rules.Mode == ModeJWT {
			a.jwt.count(err)
		} else {
			a.kubernetes.count(err)
		}
		return nil, err
	}
	return a.Judge(r.Context(), token)
}

// AuthenticateBearer is Authenticate of a request that shows a token in its
// header, and of no other. mode is that of the rules.
func (a *Subscriber) AuthenticateBearer(r *http.Request) (who *Principal, mode string, err error) {
	mode = a.rules.Load().Mode
	token, err := tokenOf(r, false)
	if err == nil {
		who, err = a.Judge(r.Context(), token)
	}
	return who, mode, err
}

// Judge says whose token this is, as Authenticate does of one that a request
// shows.
func (a *Subscriber) Judge(ctx context.Context, token string) (*Principal, error) {
	rules := a.rules.Load()
	switch rules.Mode {
	case ModeAnonymous:
		return nil, fmt.Errorf("%w: this gateway takes no tokens of those who read", ErrUnauthenticated)
	case ModeJWT:
		return a.verify(ctx, token)
	}
	review, err := a.review(ctx, token, rules.Audiences, rules.CacheTTL)
	if err != nil {
		return nil, err
	}
	return &Principal{
		Subject: review.Subject, Sub: everything(), Presence: true, Expires: review.Expires,
		standing: &reviewed{subscriber: a, token: token},
	}, nil
}

// everybodyMayRead is the right that is left to a stream whose credential is of
// no use any more.
func (r *subscriberRules) everybodyMayRead(subs *wire.SubSet) bool {
	return r.Mode == ModeAnonymous && r.anonymous.mayReadAll(subs)
}
