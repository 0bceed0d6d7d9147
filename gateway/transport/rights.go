package transport

import (
	"net/http"
	"slices"
	"strings"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// reasonNotAllowed is why a channel is in sg.open's denied.
const reasonNotAllowed = "not-allowed"

// readerOf says who wants to read.
func readerOf(a Authenticator, r *http.Request) (*auth.Principal, *refusal) {
	who, err := a.Authenticate(r)
	if err != nil {
		return nil, refusalOf(err)
	}
	return who, nil
}

// split parts what may be read from what may not; names are patterns already,
// as the client wrote them.
func split(who *auth.Principal, names []string) (allowed []string, denied []wire.Denied) {
	for _, name := range names {
		if p, err := wire.ParsePattern(name); err == nil && who.MayRead(p.In(who.Tenant)) {
			allowed = append(allowed, name)
		} else {
			denied = append(denied, wire.Denied{Channel: name, Reason: reasonNotAllowed})
		}
	}
	return allowed, denied
}

// narrow takes out of a request what its sender may not read, and makes the
// rest channels of the sender's tenant. A stream tells it
// in sg.open; a poll, which has no such place, is refused.
func (ask *streamRequest) narrow() *refusal {
	allowed, denied := split(ask.who, ask.Subs.All())
	if len(denied) > 0 && (len(allowed) == 0 || ask.poll) {
		return notAllowed(denied)
	}
	for _, d := range denied {
		delete(ask.From, d.Channel)
	}
	subs, err := wire.QualifiedSubSet(qualifyAll(ask.who.Tenant, allowed))
	if err != nil {
		return streamRefusal(http.StatusBadRequest, KindInvalidChannel, err.Error(), Parameter("channels"))
	}
	ask.Subs, ask.Denied, ask.From = subs, denied, qualifyKeys(ask.who.Tenant, ask.From)
	return nil
}

// qualifyAll gives names, which must have been checked, the tenant that they
// are of.
func qualifyAll(tenant string, names []string) []string {
	qualified := make([]string, len(names))
	for i, name := range names {
		qualified[i] = wire.Qualify(tenant, name)
	}
	return qualified
}

func qualifyKeys[V any](tenant string, byName map[string]V) map[string]V {
	if tenant == "" || len(byName) == 0 {
		return byName
	}
	qualified := make(map[string]V, len(byName))
	for name, value := range byName {
		qualified[wire.Qualify(tenant, name)] = value
	}
	return qualified
}

func notAllowed(denied []wire.Denied) *refusal {
	names := make([]string, len(denied))
	for i, d := range denied {
		names[i] = d.Channel
	}
	return streamRefusal(http.StatusForbidden, KindChannelDenied, "not allowed to read "+strings.Join(names, ", "), Channels(names...))
}

// owner is whose a stream is: who else may not change or close it.
func owner(who *auth.Principal) engine.Owner {
	return engine.Owner{Subject: who.Subject, Tenant: who.Tenant}
}

// notPublishable lists the channels of events that may not be published to,
// each once and as the publisher wrote it.
func notPublishable(who *auth.Principal, events []wire.Event) (denied []string) {
	for i := range events {
		plain := wire.Unqualified(events[i].Channel)
		if !who.MayPublish(events[i].Channel) && !slices.Contains(denied, plain) {
			denied = append(denied, plain)
		}
	}
	return denied
}
