package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// CookieName is the cookie of TicketCookie. Browsers take the prefix only from
// the host itself, over TLS, for all paths.
const CookieName = "__Host-sg"

// ErrCSRF is a ticket or a cookie that another page than its own sends along:
// 403, and no better credential is looked for.
var ErrCSRF = errors.New("another page's credential")

// shown finds the ticket or the cookie of a request; kind is "" when there is
// neither.
func shown(r *http.Request) (kind TicketKind, text string, err error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if values := query["ticket"]; len(values) > 0 {
		if err != nil || len(values) > 1 {
			return TicketQuery, "", fmt.Errorf("%w: there is more than one ticket", ErrUnauthenticated)
		}
		return TicketQuery, values[0], nil
	}
	switch cookies := r.CookiesNamed(CookieName); {
	case len(cookies) > 1:
		return TicketCookie, "", fmt.Errorf("%w: there is more than one cookie %s", ErrUnauthenticated, CookieName)
	case len(cookies) == 1:
		return TicketCookie, cookies[0].Value, nil
	}
	return "", "", nil
}

// SentByItsPage tells whether a request without a header of its own choice comes
// from a page of this origin, or from no page at all. Browsers leave the origin
// out where a page reads from its own host; what they say of the site then, no
// page can forge.
func SentByItsPage(r *http.Request, origin string) bool {
	if sent := r.Header.Get("Origin"); sent != "" {
		return sent == origin
	}
	return !FromAnotherSite(r)
}

// FromAnotherSite tells a request that a browser says it sends for a page of
// another origin. No page can make a browser lie about that; programs, and
// browsers over plain HTTP, say nothing.
func FromAnotherSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	return true
}

// fromTicket says who shows a ticket or a cookie; present is false when nobody
// does.
func (t *Tickets) fromTicket(r *http.Request, mode string) (who *Principal, present bool, err error) {
	kind, text, err := shown(r)
	if kind == "" || err != nil {
		return nil, kind != "", err
	}
	who, origin, err := t.read(kind, text, mode)
	if err != nil {
		return nil, true, err
	}
	if !SentByItsPage(r, origin) || kind == TicketCookie && changes(r) && r.Header.Get("Origin") == "" {
		return nil, true, fmt.Errorf("%w: this %s was made for a page of another origin", ErrCSRF, kind)
	}
	return who, true, nil
}

// changes tells a request that does more than read.
func changes(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }

// ticketed may read what its ticket says, as long as tickets are made with the
// same secret.
type ticketed struct {
	who  *Principal
	from *Tickets
	key  *ticketKey
}

func (t *ticketed) mayReadAll(subs *wire.SubSet) bool {
	return t.from.key.Load() == t.key && t.who.mayReadAll(subs)
}
