package server

import (
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/fanout"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Flags that this gateway or the browser client act on, and
// fanout.FlagCompression; all are on unless they are switched off. Other names
// are handed to browsers untouched.
const (
	flagSSE           = "sse"           // off: streams end, clients go on by long-poll
	flagUnifiedStream = "unifiedStream" // off: streams end, pages use their own fallback
	flagBatching      = "batching"      // off: every event is written at once
	flagReplay        = "replay"        // off: nobody resumes
	flagCoalesce      = "coalesce"      // off: parts are delivered one by one
	flagBeacon        = "beacon"        // off: pages do not report how they feel

	flagSharedConnection = "sharedConnection" // off: every tab of a browser has a stream of its own
)

// flagSet is the features of one document, ready for quick answers.
type flagSet struct {
	revision int64
	features []config.Feature
	all      map[string]bool // of every stream, without the percent features
	percent  []config.Feature
	// beaconInterval is how often a page reports; streams are told it with the
	// flags.
	beaconInterval time.Duration
}

// newFlagSet keeps the revision of the set before when nothing changed, so that
// running streams are told of changes only. serial numbers a changed set, but a
// person may have kept it.
func newFlagSet(before *flagSet, serial int64, features []config.Feature, beaconInterval time.Duration) *flagSet {
	if before != nil && slices.Equal(before.features, features) && before.beaconInterval == beaconInterval {
		return before
	}
	revision := serial
	if before != nil {
		revision = max(serial, before.revision+1)
	}
	s := &flagSet{revision: revision, features: slices.Clone(features), all: map[string]bool{}, beaconInterval: beaconInterval}
	for _, name := range []string{flagSSE, flagUnifiedStream, flagBatching, flagReplay, flagCoalesce, flagBeacon, flagSharedConnection, fanout.FlagCompression} {
		s.all[name] = true
	}
	for _, f := range features {
		if f.Mode == config.Percent {
			s.percent = append(s.percent, f)
			continue
		}
		s.all[f.Name] = f.Mode == config.Enabled
	}
	return s
}

// off tells whether a flag is off for everybody. batching and replay act on
// whole groups of streams, so they follow only this.
func (s *flagSet) off(name string) bool {
	for _, f := range s.percent {
		if f.Name == name {
			return f.Percent == 0
		}
	}
	return !s.all[name]
}

// values are the flags as far as they are the same for everybody; a percent
// feature is on here when it is on for all.
func (s *flagSet) values() map[string]bool {
	all := maps.Clone(s.all)
	for _, f := range s.percent {
		all[f.Name] = f.Percent == 100
	}
	return all
}

// of gives the flags of one stream. Without percent features all streams share
// one map, which nobody changes.
func (s *flagSet) of(who engine.Identity) (map[string]bool, *wire.End) {
	flags := s.all
	if who.Tenant == wire.OwnTenant {
		return flags, nil // what is switched off for clients is audited on
	}
	if len(s.percent) > 0 {
		flags = maps.Clone(s.all)
		for _, f := range s.percent {
			flags[f.Name] = chosen(f, who)
		}
	}
	if !flags[flagUnifiedStream] {
		return flags, &wire.End{Reason: wire.EndFlagOff, Status: 503}
	}
	if !flags[flagSSE] && !who.Poll {
		retryMs := sseOffRetry + sseOffRetry*int64(share("retry", who.SID))/100
		return flags, &wire.End{Reason: wire.EndFlagOff, Status: 503, RetryMs: &retryMs}
	}
	return flags, nil
}

// sides are the flags of one stream that not all streams have on.
func (s *flagSet) sides(who engine.Identity) map[string]bool {
	if len(s.percent) == 0 {
		return nil
	}
	sides := make(map[string]bool, len(s.percent))
	for _, f := range s.percent {
		sides[f.Name] = chosen(f, who)
	}
	return sides
}

// sseOffRetry, and up to twice that, is after how many milliseconds plain
// clients try a stream again that have no other way to read.
const sseOffRetry = 30000

// stickyKey is what a stream's side of a percent feature hangs on: the client,
// so that a user stays on one side, or the session.
func stickyKey(f config.Feature, who engine.Identity) string {
	switch {
	case f.StickyBy == config.Session:
		return who.SID
	case who.Subject != "":
		return who.Subject
	case who.Client != "":
		return who.Client
	}
	return who.SID
}

// chosen tells whether a stream is among those that have a percent feature on.
func chosen(f config.Feature, who engine.Identity) bool {
	return share(f.Name, stickyKey(f, who)) < f.Percent
}

// share places a key on 0..99, differently for every feature. FNV alone leaves
// keys that differ in their last byte close together; its upper half does not.
func share(feature, key string) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(feature)) // a hash never fails
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(key))
	sum := h.Sum64()
	sum ^= sum >> 32
	sum *= 0x9e3779b97f4a7c15
	return int((sum >> 32) * 100 >> 32)
}
