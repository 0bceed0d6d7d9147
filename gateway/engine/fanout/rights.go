package fanout

import (
	"math"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Grant is what the rights of a stream rest on. It is called by loops and must be
// quick and safe for concurrent use; equal ones give equal answers.
type Grant interface {
	// StillMayRead tells whether all of a set may be read as of now.
	StillMayRead(*wire.SubSet) bool
}

// judgeEvery is how often a stream's rights are looked at when nothing says that
// they have changed.
const judgeEvery = int64(time.Minute)

// may tells whether a stream may read a set. Without a grant it may.
func (s *Stream) may(subs *wire.SubSet) bool {
	return s.id.Grant == nil || s.id.Grant.StillMayRead(subs)
}

// revoke ends the streams that read what they may not any more. Members of a
// group read the same, so one look serves those that came one after another with
// one credential, as all anonymous ones did.
func (l *loop) revoke() {
	var ended []*Stream
	for _, g := range l.groups {
		var last *Stream // judged
		may := true
		for _, s := range g.members {
			if last == nil || last.id.Grant != s.id.Grant {
				last, may = s, s.may(g.subs)
			}
			if !may {
				ended = append(ended, s)
			}
		}
	}
	for _, s := range ended {
		l.endRevoked(s)
	}
}

// judgeAgain looks at one stream's rights when it is time to, and tells its
// client when its credential is about to expire, or has.
func (l *loop) judgeAgain(s *Stream) {
	switch {
	case s.expires != 0 && l.now >= s.expires:
		retryMs := l.retry()
		l.finish(s, &wire.End{Reason: wire.EndExpired, Status: 401, RetryMs: &retryMs}, wire.EndExpired)
	case s.expires != 0 && !s.warned && l.now >= s.expires-int64(expiryNotice):
		s.warned = true
		l.say(s, wire.AppendControl(s.out, wire.ControlAuth, wire.Cursor{}, &wire.Auth{
			ExpiresAt: time.Now().UnixMilli() + (s.expires-l.now)/int64(time.Millisecond), Renew: wire.RenewSession,
		}))
	}
	if s.state == running && s.id.Grant != nil && l.now-s.judged >= judgeEvery {
		s.judged = l.now
		if !s.may(s.group.subs) {
			l.endRevoked(s)
		}
	}
}

// expiryNotice is how long before its credential expires a stream is told so.
const expiryNotice = time.Minute

// nextJudgement of rights is when judgeAgain has something to do.
func (s *Stream) nextRights() int64 {
	next := int64(math.MaxInt64)
	if s.id.Grant != nil {
		next = s.judged + judgeEvery
	}
	if s.expires != 0 && s.warned {
		next = min(next, s.expires)
	} else if s.expires != 0 {
		next = min(next, s.expires-int64(expiryNotice))
	}
	return next
}

// credit takes over what the rights of a stream rest on, and until when.
func (l *loop) credit(s *Stream, grant Grant, expires time.Time) {
	s.id.Grant, s.judged, s.warned, s.expires = grant, l.now, false, 0
	if !expires.IsZero() {
		s.expires = l.now + max(int64(time.Until(expires)), 1)
	}
}

// endRevoked ends a stream so that its client comes back, and is told then what
// it may read.
func (l *loop) endRevoked(s *Stream) {
	retryMs := l.retry()
	l.finish(s, &wire.End{Reason: wire.EndRevoked, Status: 403, RetryMs: &retryMs}, wire.EndRevoked)
}
