package server

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

const (
	// usablePercent of the container's limit is the budget: it is what the
	// operator sets GOMEMLIMIT to, and sockets count besides.
	usablePercent = 80
	// keyBytes is what one key of the log's memory for repeats takes.
	keyBytes = 90
	// collectEvery is how often memory that may be free is looked for while
	// streams are refused.
	collectEvery = 10 * time.Second
	// crowdStreams coming or leaving leave enough behind to look for it.
	crowdStreams = 1000
)

// usage is the memory of this process by what it is for, in bytes.
type usage struct {
	ring     int64 // events
	segments int64 // events as written to streams that are behind
	dedup    int64 // keys for repeats
	sockets  int64 // kernel's, for connections
	rest     int64 // all other live memory: streams, groups, requests, stacks
}

func (u usage) total() int64 { return u.ring + u.segments + u.dedup + u.sockets + u.rest }

// account compares what is used with what there is, once a second.
type account struct {
	group     cgroup
	budget    int64 // bytes; 0 = not limited
	last      atomic.Pointer[usage]
	now       atomic.Int32 // stage
	collected time.Time
	crowd     crowd
}

// newAccount reads the limits: the container's, and GOMEMLIMIT where that is
// less than it is meant to be.
func newAccount(group cgroup) *account {
	a := &account{group: group, budget: group.limitBytes() / 100 * usablePercent}
	if soft := debug.SetMemoryLimit(-1); soft < math.MaxInt64 && (a.budget == 0 || soft < a.budget) {
		a.budget = soft
	}
	a.last.Store(&usage{})
	return a
}

// take notes what is used now and tells how short memory is.
func (a *account) take(ring, segments, keys int64) stage {
	u := usage{ring: ring, segments: segments, dedup: keys * keyBytes, sockets: a.group.socketBytes()}
	u.rest = max(0, liveBytes()-u.ring-u.segments-u.dedup)
	a.last.Store(&u)
	return a.judge(u.total())
}

// judge moves between stages. While streams are refused it looks for memory that
// has come free since the last collection, which the runtime need not do of
// itself for minutes.
func (a *account) judge(total int64) stage {
	now := stageCalm // without a limit
	if a.budget > 0 {
		now = a.stage().after(total, a.budget)
	}
	a.now.Store(int32(now))
	if now >= stageRefuse && time.Since(a.collected) >= collectEvery {
		a.collected = time.Now()
		runtime.GC()
	}
	return now
}

// stage is where the last judgement left it; any goroutine may ask.
func (a *account) stage() stage { return stage(a.now.Load()) }

// crowd notices when many streams have come or gone. Their handshakes, or they
// themselves, are garbage then, of a kilobyte for each and more, which the
// runtime would keep for up to two minutes when little happens.
type crowd struct{ collected, before int }

// over tells, given the number of open streams once a second, that a crowd has
// come or gone and that it is calm again.
func (c *crowd) over(streams int) bool {
	calm := streams == c.before
	c.before = streams
	if !calm || max(streams-c.collected, c.collected-streams) < crowdStreams {
		return false
	}
	c.collected = streams
	return true
}

// liveBytes is what the last collection found in use, and all stacks.
func liveBytes() int64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	sum := uint64(0)
	for _, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			sum += s.Value.Uint64()
		}
	}
	return int64(min(sum, math.MaxInt64))
}
