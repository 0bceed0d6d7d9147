package transport

import (
	"net/http"
	"time"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/limit"
)

// PublishLimits bounds how fast events come. Those of publishers without a name
// are not counted: a gateway that lets them in is run alone. Hot: it acts on the next request.
type PublishLimits struct {
	PerPublisherEventsPerSecond int // events of one publisher; 0 = not limited
	Burst                       int // events of one publisher at once
	PerTenantEventsPerSecond    int // events of all publishers of a tenant on this pod; 0 = not limited
}

// publisher is what one publisher may use.
func (l *PublishLimits) publisher() limit.Rate {
	return limit.Rate{PerSecond: l.PerPublisherEventsPerSecond, Burst: l.Burst}
}

// tenant is what all publishers of a tenant may use: at once as much as in a
// second, or as one of them.
func (l *PublishLimits) tenant() limit.Rate {
	return limit.Rate{PerSecond: l.PerTenantEventsPerSecond, Burst: max(l.PerTenantEventsPerSecond, l.Burst)}
}

// Keys of publishRates begin with whom they count.
const (
	ofPublisher = "publisher "
	ofTenant    = "tenant "
)

// pace answers the request itself when its events come too fast. Then none of
// them is counted.
func (p *Publish) pace(w http.ResponseWriter, r *http.Request, who *auth.Principal, events int) bool {
	if who.Subject == "" {
		return true
	}
	l := p.limits.Load()
	publisher, tenant := rateKeys(who)
	if wait := p.rates.Take(publisher, events, l.publisher()); wait > 0 {
		p.tooFast(w, r, wait, int64(l.PerPublisherEventsPerSecond), "publisher")
		return false
	}
	if wait := p.rates.Take(tenant, events, l.tenant()); wait > 0 {
		p.rates.Give(publisher, events)
		p.tooFast(w, r, wait, int64(l.PerTenantEventsPerSecond), "tenant")
		return false
	}
	return true
}

// mayBegin refuses a request of whom no event may come now, before its body is
// read: a publisher far above its rate costs little more than its answers.
func (p *Publish) mayBegin(w http.ResponseWriter, r *http.Request, who *auth.Principal) bool {
	ok := p.pace(w, r, who, 1)
	if ok {
		publisher, tenant := rateKeys(who)
		p.rates.Give(publisher, 1)
		p.rates.Give(tenant, 1)
	}
	return ok
}

// rateKeys are those of a publisher and of its tenant.
func rateKeys(who *auth.Principal) (publisher, tenant string) {
	return ofPublisher + who.Tenant + "\x00" + who.Subject, ofTenant + who.Tenant
}

// flushRate is how often one publisher may close batching windows: each time
// costs all readers of the channel a write of their own.
func flushRate() limit.Rate { return limit.Rate{PerSecond: 50, Burst: 50} }

// mayFlush leaves the wish to be written at once to events whose publisher has
// the right to it, as often as that may be used. The others wait for their
// window, which is no reason to refuse them.
func (p *Publish) mayFlush(who *auth.Principal, events []wire.Event) {
	for i := range events {
		e := &events[i]
		e.Flush = e.Flush && who.Flush && (who.Subject == "" || p.flushes.Take(who.Tenant+"\x00"+who.Subject, 1, flushRate()) == 0)
	}
}

func (p *Publish) tooFast(w http.ResponseWriter, r *http.Request, wait time.Duration, value int64, scope string) {
	p.refuse(w, r, http.StatusTooManyRequests, KindRateLimited, RetryAfter(wait), Limit("publish-rate", value, scope),
		Detail("events come too fast; nothing was appended: send the same request again later"))
}

// RateLimited counts requests that came too fast, since the start.
func (p *Publish) RateLimited() uint64 { return p.rates.Refused() }

// Sweep forgets publishers that sent nothing lately. It is called once a second.
func (p *Publish) Sweep() {
	p.rates.Sweep()
	p.flushes.Sweep()
}
