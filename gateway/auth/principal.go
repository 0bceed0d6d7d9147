package auth

import (
	"slices"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Principal is who made a request, and what they may do. It is never changed,
// so that all requests with one credential share one.
type Principal struct {
	Subject string // "" = nobody in particular
	Tenant  string // whose channels all names mean; "" = the default tenant
	// Sub and Pub are the channels that may be read and published to, all of
	// them the tenant's.
	Sub, Pub []wire.Pattern
	Expires  time.Time // of the credential; zero = it does not
	Limits   Limits
	Presence bool // may ask who reads a channel
	Metrics  bool // may read the JSON metrics
	Flush    bool // may close batching windows (sgflush)
	// standing is what a stream's rights rest on; nil = on this alone.
	standing standing
}

// Limits are a principal's own, where they are below those of the
// configuration.
type Limits struct {
	Connections int // streams at once; 0 = no limit of its own
}

// MayRead tells whether every channel that p selects may be read.
func (who *Principal) MayRead(p wire.Pattern) bool { return covers(who.Sub, p) }

// MayPublish tells whether a channel, given with its tenant, may be published
// to.
func (who *Principal) MayPublish(channel string) bool { return selects(who.Pub, channel) }

// mayReadAll tells whether all of a set may be read.
func (who *Principal) mayReadAll(subs *wire.SubSet) bool {
	for _, name := range subs.Exact() {
		if !selects(who.Sub, name) {
			return false
		}
	}
	for _, p := range subs.Patterns() {
		if !who.MayRead(p) {
			return false
		}
	}
	return true
}

func selects(rights []wire.Pattern, channel string) bool {
	return slices.ContainsFunc(rights, func(right wire.Pattern) bool { return right.Match(channel) })
}

func covers(rights []wire.Pattern, p wire.Pattern) bool {
	return slices.ContainsFunc(rights, func(right wire.Pattern) bool { return right.Covers(p) })
}

// patterns reads those of a list. What is not a pattern gives no right.
func patterns(names []string) (list []wire.Pattern) {
	for _, name := range names {
		if p, err := wire.ParsePattern(name); err == nil {
			list = append(list, p)
		}
	}
	return list
}

// everything is all channels that clients may name.
func everything() []wire.Pattern { return patterns([]string{">"}) }
