package auth

import (
	"context"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// standing is what a Principal's rights rest on. Requests are over in a moment;
// streams last for hours, in which rules change, keys are withdrawn and
// accounts lose their rights.
type standing interface {
	// mayReadAll tells whether, as of now, all of a set may be read. It must not
	// block.
	mayReadAll(*wire.SubSet) bool
}

// StillMayRead tells whether a Principal, however old, may read all of a set as
// of now. It blocks nobody: what has to be asked elsewhere is asked meanwhile.
func (who *Principal) StillMayRead(subs *wire.SubSet) bool {
	if who.standing != nil {
		return who.standing.mayReadAll(subs)
	}
	return who.mayReadAll(subs)
}

// anonymous may read what everybody may now.
type anonymous struct{ *Subscriber }

func (a anonymous) mayReadAll(subs *wire.SubSet) bool { return a.rules.Load().everybodyMayRead(subs) }

// verified may read what its claims say under today's rules, as long as its key
// is one of the issuer's.
type verified struct {
	subscriber *Subscriber
	token      *token
}

func (v *verified) mayReadAll(subs *wire.SubSet) bool {
	rules, tokens := v.subscriber.rules.Load(), &v.subscriber.tokens
	if rules.Mode != ModeJWT {
		return rules.everybodyMayRead(subs)
	}
	who, err := tokens.again(v.token)
	return err == nil && who.mayReadAll(subs)
}

// reviewed may read as long as the API server does not say otherwise.
type reviewed struct {
	subscriber *Subscriber
	token      string
}

// reviewEvery is how old a review may be that a stream rests on.
const reviewEvery = 50 * time.Second

func (r *reviewed) mayReadAll(subs *wire.SubSet) bool {
	rules, reviews := r.subscriber.rules.Load(), &r.subscriber.reviews
	if rules.Mode != ModeKubernetes {
		return rules.everybodyMayRead(subs)
	}
	k := keyOf(r.token, rules.Audiences)
	last, known := reviews.cache.get(k)
	if (!known || time.Since(last.at) >= reviewEvery) && !reviews.flights.has(k) {
		go r.ask(rules)
	}
	return !known || last.review.Allowed
}

// ask has the token reviewed again. While there is no answer, what was said last
// stands: an API server that is away ends no stream.
func (r *reviewed) ask(rules *subscriberRules) {
	review, err := r.subscriber.reviews.judge(context.Background(), r.token, rules.Audiences, reviewEvery)
	if err == nil && !review.Allowed {
		r.subscriber.tell()
	}
}
