package fanout

import (
	"slices"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Rights tells whether a set of subscriptions may still be read. It is called
// by all loops at once and must be quick.
type Rights func(*wire.SubSet) bool

func (l *loop) mayNot(g *group) bool { return l.rights != nil && !l.rights(g.subs) }

// revoke ends the streams of groups that may not be read any more: members of a
// group read the same, so one look serves all of them.
func (l *loop) revoke() {
	var ended []*Stream
	for _, g := range l.groups {
		if l.mayNot(g) {
			ended = slices.Concat(ended, g.members)
		}
	}
	for _, s := range ended {
		l.endRevoked(s)
	}
}

// endRevoked ends a stream so that its client comes back, and is told then what
// it may read.
func (l *loop) endRevoked(s *Stream) {
	retryMs := l.retry()
	l.finish(s, &wire.End{Reason: wire.EndRevoked, Status: 403, RetryMs: &retryMs}, wire.EndRevoked)
}
