package transport

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

const (
	maxPageEvents = 500
	maxPageBytes  = 1 << 20
)

// History answers questions about one channel: what it kept and who reads it.
type History struct {
	engine  *engine.Engine
	readers Authenticator
	tells   atomic.Pointer[string] // one of the Presence constants
}

// What History tells of a channel's readers.
const (
	PresenceDisabled = "Disabled"
	PresenceCount    = "Count"
	PresenceMembers  = "Members"
)

const maxMembers = 1000 // of one answer

// Tune takes over what is told of a channel's readers, for requests from now on.
func (h *History) Tune(presence string) { h.tells.Store(&presence) }

// NewHistory makes the handlers. readers says who may read what.
func NewHistory(e *engine.Engine, readers Authenticator) *History {
	h := &History{engine: e, readers: readers}
	h.Tune(PresenceCount)
	return h
}

// Page is GET /channels/{channel}/events: a page of what is kept.
func (h *History) Page(w http.ResponseWriter, r *http.Request) {
	about, no := h.parse(r)
	if no == nil {
		var p wire.Position
		limit := maxPageEvents
		p, no = parseHistoryCursor(about.query.Get("cursor"))
		if no == nil {
			limit, no = parseNumber(about.query, "limit", maxPageEvents, 1, maxPageEvents)
		}
		if no == nil {
			writePage(w, h.engine.History(about.channel, p, limit, maxPageBytes))
			return
		}
	}
	Problem(w, r, no.status, no.kind, no.options...)
}

// Last is GET /channels/{channel}/last: the newest events.
func (h *History) Last(w http.ResponseWriter, r *http.Request) {
	about, no := h.parse(r)
	if no == nil {
		var n int
		if n, no = parseNumber(about.query, "n", 1, 1, maxLast); no == nil {
			writePage(w, h.engine.Last(about.channel, n))
			return
		}
	}
	Problem(w, r, no.status, no.kind, no.options...)
}

// Presence is GET /channels/{channel}/presence: how many read a channel, and
// who they are.
func (h *History) Presence(w http.ResponseWriter, r *http.Request) {
	tells := *h.tells.Load()
	if tells == PresenceDisabled {
		Problem(w, r, http.StatusNotFound, KindNotFound, Detail("who reads a channel is not told here"))
		return
	}
	about, no := h.parse(r)
	if no == nil && !about.who.Presence {
		no = streamRefusal(http.StatusForbidden, KindChannelDenied, "not allowed to ask who reads a channel")
	}
	if no != nil {
		Problem(w, r, no.status, no.kind, no.options...)
		return
	}
	answer := presence{Channel: wire.Unqualified(about.channel), Count: h.engine.Readers(about.channel), AsOf: time.Now().UnixMilli()}
	if tells == PresenceMembers && about.who.Subject != "" {
		list, more := h.engine.Members(about.channel, maxMembers)
		members := make([]member, len(list))
		for i, m := range list {
			members[i] = member{m.Subject, m.Streams, time.Now().Add(-m.Since).UnixMilli()}
		}
		answer.Members, answer.More = &members, &more
	}
	writeJSON(w, answer)
}

type presence struct {
	Channel string `json:"channel"`
	Count   int    `json:"count"` // streams, and polls that wait
	AsOf    int64  `json:"asOf"`  // milliseconds since 1970
	// Members and More are absent where only the count is told.
	Members *[]member `json:"members,omitempty"`
	More    *bool     `json:"more,omitempty"`
}

// member is a subject that reads a channel.
type member struct {
	Subject string `json:"sub"`
	Streams int    `json:"tabs"`
	Since   int64  `json:"since"` // milliseconds since 1970
}

// question is about one channel, by somebody who may read it.
type question struct {
	channel string // with its tenant
	who     *auth.Principal
	query   url.Values
}

func (h *History) parse(r *http.Request) (about question, no *refusal) {
	channel := r.PathValue("channel")
	if err := wire.CheckChannel(channel); err != nil {
		return about, streamRefusal(http.StatusBadRequest, KindInvalidChannel, err.Error())
	}
	if about.who, no = readerOf(h.readers, r); no != nil {
		return about, no
	}
	if _, denied := split(about.who, []string{channel}); len(denied) > 0 {
		return about, notAllowed(denied)
	}
	var err error
	if about.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return about, streamRefusal(http.StatusBadRequest, KindInvalidParameter, "the query cannot be decoded")
	}
	about.channel = wire.Qualify(about.who.Tenant, channel)
	return about, nil
}

// parseHistoryCursor takes a cursor or the beginning: a page of what is still
// to come makes no sense.
func parseHistoryCursor(text string) (wire.Position, *refusal) {
	if text == "" {
		return wire.Position{Where: wire.Earliest}, nil
	}
	p, err := wire.ParsePosition("", text)
	if err == nil && p.Where == wire.Now {
		err = errors.New(`must be a cursor or "earliest"`)
	}
	if err != nil {
		return p, streamRefusal(http.StatusBadRequest, KindInvalidCursor, err.Error(), Parameter("cursor"))
	}
	return p, nil
}

// parseNumber reads a whole number within bounds; without is what stands for
// none.
func parseNumber(query url.Values, name string, without, least, most int) (int, *refusal) {
	text := query.Get(name)
	if text == "" {
		return without, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, badParameter(name, fmt.Errorf("must be a number from %d to %d", least, most))
	}
	return n, nil
}

// writePage answers with events as they stand in streams, byte for byte.
func writePage(w http.ResponseWriter, p engine.Page) {
	size := 256
	for i := range p.Events {
		size += len(p.Events[i].JSON) + 1
	}
	body := append(make([]byte, 0, size), `{"events":`...)
	body = wire.AppendElements(body, p.Events)
	body = fmt.Appendf(body, `,"cursor":"%s","complete":%t,"evictedUpto":"%s","more":%t}`,
		p.Cursor, p.Complete, p.EvictedUpto, p.More)
	writeBody(w, body)
}
