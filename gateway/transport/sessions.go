package transport

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/limit"
)

// Sessions is the handler of /sessions/{sid}: PATCH changes what a running
// stream reads, DELETE closes it. It takes a session's 128 random bits, and a
// credential of the subject that opened it.
type Sessions struct {
	engine  *engine.Engine
	readers Readers
	results tally
	rates   *limit.Buckets // of changes, by session
}

// NewSessions makes the handler. readers says who may read what.
func NewSessions(e *engine.Engine, readers Readers) *Sessions {
	return &Sessions{engine: e, readers: readers, rates: limit.NewBuckets()}
}

// Readers authenticates those who read, by a request or by a token alone.
type Readers interface {
	Authenticator
	Judge(ctx context.Context, token string) (*auth.Principal, error)
}

// patchRate is how often one stream may be changed, the same at once: each
// change is worked on by the loop that serves others, too.
func patchRate() limit.Rate { return limit.Rate{PerSecond: 5, Burst: 5} }

// RateLimited counts changes that came too fast, since the start.
func (s *Sessions) RateLimited() uint64 { return s.rates.Refused() }

// Sweep forgets sessions that were not changed lately. It is called once a
// second.
func (s *Sessions) Sweep() { s.rates.Sweep() }

// PatchDone is the result of a change that was made, in Patched.
const PatchDone = "ok"

// Patched counts changes by result, since the start: "ok", or the kind of the
// problem.
func (s *Sessions) Patched() map[string]uint64 { return s.results.all() }

// sessionAnswer is the answer to a PATCH.
type sessionAnswer struct {
	SID       string                 `json:"sid"`
	Revision  int                    `json:"rev"`
	Channels  wire.List[string]      `json:"channels"`
	Denied    wire.List[wire.Denied] `json:"denied"`
	Effective string                 `json:"effective"`
	ExpiresAt int64                  `json:"expiresAt,omitempty"` // milliseconds since 1970
}

// Patch is PATCH /sessions/{sid}.
func (s *Sessions) Patch(w http.ResponseWriter, r *http.Request) {
	sid := r.PathValue("sid")
	if wait := s.rates.Take(sid, 1, patchRate()); wait > 0 {
		s.results.add(KindRateLimited)
		Problem(w, r, http.StatusTooManyRequests, KindRateLimited, RetryAfter(wait), Limit("patch-rate", int64(patchRate().PerSecond), "session"),
			Detail("this stream is changed too often; send several changes as one"))
		return
	}
	body, no := readSmallJSON(w, r)
	if no == nil {
		var answer *sessionAnswer
		if answer, no = s.change(r, sid, body); no == nil {
			s.results.add(PatchDone)
			writeBody(w, wire.AppendPayload(nil, answer))
			return
		}
	}
	s.results.add(no.kind)
	Problem(w, r, no.status, no.kind, no.options...)
}

// change does what a PATCH asks for. A token in its body is the request's
// credential, and takes the place of the stream's.
func (s *Sessions) change(r *http.Request, sid string, body []byte) (*sessionAnswer, *refusal) {
	p, token, no := parsePatch(body)
	if no != nil {
		return nil, no
	}
	who, err := s.sender(r, token)
	if err != nil {
		return nil, refusalOf(err)
	}
	denied, no := narrowPatch(who, &p)
	if no != nil {
		return nil, no
	}
	if token != "" {
		p.Renewal = &engine.Renewal{Grant: who, Expires: who.Expires}
	}
	patched, err := s.engine.Patch(sid, owner(who), p)
	if err != nil {
		return nil, sessionRefusal(err)
	}
	answer := &sessionAnswer{SID: sid, Revision: patched.Revision, Channels: patched.Channels, Denied: denied, Effective: patched.Effective.String()}
	if !patched.Expires.IsZero() {
		answer.ExpiresAt = patched.Expires.UnixMilli()
	}
	return answer, nil
}

func (s *Sessions) sender(r *http.Request, token string) (*auth.Principal, error) {
	if token != "" {
		return s.readers.Judge(r.Context(), token)
	}
	return s.readers.Authenticate(r)
}

// narrowPatch takes out of a change what its sender may not read, and makes the
// rest channels of the sender's tenant.
func narrowPatch(who *auth.Principal, p *engine.Patch) ([]wire.Denied, *refusal) {
	allowed, denied := split(who, p.Add)
	if len(denied) > 0 && len(allowed) == 0 {
		return nil, notAllowed(denied)
	}
	for _, d := range denied {
		delete(p.From, d.Channel)
	}
	p.Add, p.Remove, p.From = qualifyAll(who.Tenant, allowed), qualifyAll(who.Tenant, p.Remove), qualifyKeys(who.Tenant, p.From)
	return denied, nil
}

// Delete is DELETE /sessions/{sid}, which a page sends as its last act.
func (s *Sessions) Delete(w http.ResponseWriter, r *http.Request) {
	who, no := readerOf(s.readers, r)
	if no == nil {
		if err := s.engine.Leave(r.PathValue("sid"), owner(who)); err != nil {
			no = sessionRefusal(err)
		}
	}
	if no != nil {
		Problem(w, r, no.status, no.kind, no.options...)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func sessionGone() *refusal {
	return streamRefusal(http.StatusNotFound, KindSessionGone, "this replica serves no such stream; open a new one with all channels")
}

func sessionRefusal(err error) *refusal {
	if over, ok := errors.AsType[*engine.TooManyError](err); ok {
		return streamRefusal(http.StatusUnprocessableEntity, KindTooManySubscriptions, over.Error(), Limit(over.What, int64(over.Max), "request"))
	}
	switch {
	case errors.Is(err, engine.ErrSessionBusy):
		return streamRefusal(http.StatusConflict, KindSessionBusy, "an earlier change of this stream is still being replayed", RetryAfter(publishRetryAfter))
	case errors.Is(err, engine.ErrNotOwner):
		return streamRefusal(http.StatusForbidden, KindChannelDenied, "this stream was opened by somebody else")
	case errors.Is(err, engine.ErrNarrower):
		return streamRefusal(http.StatusForbidden, KindChannelDenied, "the new token does not allow all that the stream reads; remove that in the same request")
	case errors.Is(err, engine.ErrNothingLeft):
		return badParameter("remove", errors.New("would leave nothing to read; DELETE closes a stream"))
	}
	return sessionGone()
}

// parsePatch reads a change. Keys that are not known are passed over.
func parsePatch(body []byte) (p engine.Patch, token string, no *refusal) {
	var members struct {
		Add    []string          `json:"add"`
		Remove []string          `json:"remove"`
		From   map[string]string `json:"from"`
		Token  string            `json:"token"`
	}
	if no := unmarshal(body, &members); no != nil {
		return p, "", no
	}
	p = engine.Patch{Add: members.Add, Remove: members.Remove}
	if len(p.Add)+len(p.Remove) == 0 && members.Token == "" {
		return p, "", badParameter("add", errors.New("a change must add or remove at least one channel or pattern, or bring a token"))
	}
	for _, list := range []struct {
		name  string
		names []string
	}{{"add", p.Add}, {"remove", p.Remove}} {
		for i, name := range list.names {
			if _, err := wire.ParsePattern(name); err != nil {
				return p, "", streamRefusal(http.StatusBadRequest, KindInvalidChannel, err.Error(), Parameter(list.name), Index(i))
			}
		}
	}
	from, no := parseFrom(members.From)
	for name := range from {
		if !slices.Contains(p.Add, name) {
			no = badParameter("from", errors.New(name+" is not one of the channels to add"))
		}
	}
	p.From = from
	return p, members.Token, no
}
