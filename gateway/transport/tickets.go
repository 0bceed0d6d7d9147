package transport

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/limit"
)

// Bearers says who reads by the token of the header Authorization alone: with a
// ticket or a cookie nobody gets another one, so a narrow one stays narrow.
type Bearers interface {
	// AuthenticateBearer fails as Authenticator does. mode is that of the rules
	// that the token was judged by.
	AuthenticateBearer(r *http.Request) (who *auth.Principal, mode string, err error)
}

// Tickets is the handler of POST /tickets: it gives a page a credential for what
// can send no header.
type Tickets struct {
	bearers Bearers
	maker   *auth.Tickets
	rates   *limit.Buckets // by subject
	results tally
}

// NewTickets makes the handler.
func NewTickets(b Bearers, maker *auth.Tickets) *Tickets {
	return &Tickets{bearers: b, maker: maker, rates: limit.NewBuckets()}
}

const (
	defaultTicketSeconds = 300
	maxTicketSeconds     = 3600
)

// ticketRate is of one subject: a page with some tabs begins with one for each.
func ticketRate() limit.Rate { return limit.Rate{PerSecond: 1, Burst: 5} }

// RateLimited counts requests that came too fast, since the start.
func (t *Tickets) RateLimited() uint64 { return t.rates.Refused() }

// Sweep forgets subjects that asked for nothing lately. It is called once a
// second.
func (t *Tickets) Sweep() { t.rates.Sweep() }

// Made counts by result, since the start: the kind of ticket, or of the problem.
func (t *Tickets) Made() map[string]uint64 { return t.results.all() }

// ticketRequest is the body of a request.
type ticketRequest struct {
	Channels   []string        `json:"channels"` // none = all that the token lets one read
	TTLSeconds int             `json:"ttlSeconds"`
	As         auth.TicketKind `json:"as"`
}

// ServeHTTP makes a ticket.
func (t *Tickets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ask, grant, no := t.understand(w, r)
	if no == nil {
		var text string
		if text, no = t.make(ask.As, grant); no == nil {
			t.results.add(string(ask.As))
			answerTicket(w, ask.As, text, grant.Expires)
			return
		}
	}
	t.results.add(no.kind)
	Problem(w, r, no.status, no.kind, no.options...)
}

func (t *Tickets) make(kind auth.TicketKind, g auth.Grant) (string, *refusal) {
	text, err := t.maker.Make(kind, g)
	switch {
	case err == nil:
		return text, nil
	case errors.Is(err, auth.ErrTicketSize):
		return "", badParameter("channels", errors.New("a ticket has no room for so many; name those that the page needs"))
	}
	return "", refusalOf(err)
}

func answerTicket(w http.ResponseWriter, kind auth.TicketKind, text string, expires time.Time) {
	answer := struct {
		Ticket    string `json:"ticket,omitempty"`
		ExpiresAt int64  `json:"expiresAt"` // milliseconds since 1970
	}{text, expires.UnixMilli()}
	if kind == auth.TicketCookie {
		answer.Ticket = ""
		http.SetCookie(w, &http.Cookie{
			Name: auth.CookieName, Value: text, Path: "/", MaxAge: max(int(time.Until(expires).Seconds()), 1),
			Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		})
	}
	writeStatus(w, http.StatusCreated, answer)
}

// understand says who asks and what for, and leaves of it what they may have.
func (t *Tickets) understand(w http.ResponseWriter, r *http.Request) (ask ticketRequest, g auth.Grant, no *refusal) {
	who, mode, err := t.bearers.AuthenticateBearer(r)
	if err != nil {
		return ask, g, refusalOf(err)
	}
	if wait := t.rates.Take(who.Tenant+"\x00"+who.Subject, 1, ticketRate()); wait > 0 {
		return ask, g, streamRefusal(http.StatusTooManyRequests, KindRateLimited, "tickets are asked for too often", RetryAfter(wait),
			Limit("ticket-rate", int64(ticketRate().PerSecond), limit.ScopeSubject))
	}
	body, no := readSmallJSON(w, r)
	if no == nil {
		ask, no = parseTicket(body)
	}
	if no != nil {
		return ask, g, no
	}
	origin := r.Header.Get("Origin")
	if ask.As == auth.TicketCookie && !auth.SentByItsPage(r, origin) {
		return ask, g, refusalOf(auth.ErrCSRF)
	}
	g = auth.Grant{Who: who, Sub: who.Sub, Origin: origin, Mode: mode, Expires: time.Now().Add(time.Duration(ask.TTLSeconds) * time.Second).Truncate(time.Second)}
	if !who.Expires.IsZero() && who.Expires.Before(g.Expires) {
		g.Expires = who.Expires.Truncate(time.Second)
	}
	if len(ask.Channels) > 0 {
		g.Sub, no = narrowTo(who, ask.Channels)
	}
	return ask, g, no
}

// narrowTo reads the patterns of a ticket, all of which its owner has to have.
func narrowTo(who *auth.Principal, names []string) (sub []wire.Pattern, no *refusal) {
	var denied []wire.Denied
	for i, name := range names {
		p, err := wire.ParsePattern(name)
		if err != nil {
			return nil, streamRefusal(http.StatusBadRequest, KindInvalidChannel, err.Error(), Parameter("channels"), Index(i))
		}
		p = p.In(who.Tenant)
		if !who.MayRead(p) {
			denied = append(denied, wire.Denied{Channel: name, Reason: reasonNotAllowed})
		}
		sub = append(sub, p)
	}
	if len(denied) > 0 {
		return nil, notAllowed(denied)
	}
	return sub, nil
}

// parseTicket reads what is asked for. Keys that are not known are passed over.
func parseTicket(body []byte) (ask ticketRequest, no *refusal) {
	ask = ticketRequest{TTLSeconds: defaultTicketSeconds, As: auth.TicketQuery}
	if no = unmarshal(body, &ask); no != nil {
		return ask, no
	}
	if ask.TTLSeconds < 1 || ask.TTLSeconds > maxTicketSeconds {
		return ask, badParameter("ttlSeconds", fmt.Errorf("must be a number from 1 to %d", maxTicketSeconds))
	}
	if ask.As != auth.TicketQuery && ask.As != auth.TicketCookie {
		return ask, badParameter("as", fmt.Errorf("must be %s or %s", auth.TicketQuery, auth.TicketCookie))
	}
	return ask, nil
}
