package fanout

import (
	"slices"
	"sync/atomic"
	"time"
)

const (
	// maxWatches bounds how many events are watched at once; one more takes the
	// place of the oldest.
	maxWatches = 64
	// watchFor is how long an event is watched that nobody reads.
	watchFor = 10 * time.Second
)

// watch is an event whose first write somebody wants to know of.
type watch struct {
	seq     uint64
	channel string
	until   int64
	written func()
	done    atomic.Bool
}

// Watch calls written, once and inside a loop, when the first stream's socket
// has taken an event. It is forgotten when no stream did within watchFor.
// written must not block. Without watches a write costs one atomic load.
func (f *Fanout) Watch(seq uint64, channel string, written func()) {
	f.watchMu.Lock()
	defer f.watchMu.Unlock()
	list := f.watchesLeft()
	if len(list) >= maxWatches {
		list = list[len(list)-maxWatches+1:]
	}
	list = append(list, &watch{seq: seq, channel: channel, until: f.now() + int64(watchFor), written: written})
	f.watches.Store(&list)
}

// watchesLeft copies those that are still of use. The caller holds watchMu.
func (f *Fanout) watchesLeft() []*watch {
	var list []*watch
	if old := f.watches.Load(); old != nil {
		list = slices.Clone(*old)
	}
	return slices.DeleteFunc(list, func(w *watch) bool { return w.done.Load() || w.until < f.now() })
}

// forgetWatches drops what is done or too old, so that writes cost nothing
// again.
func (f *Fanout) forgetWatches() {
	f.watchMu.Lock()
	defer f.watchMu.Unlock()
	if f.watches.Load() == nil {
		return
	}
	if list := f.watchesLeft(); len(list) > 0 {
		f.watches.Store(&list)
	} else {
		f.watches.Store(nil)
	}
}

// written tells the watches that a stream has all up to its cursor.
func (f *Fanout) written(s *Stream, watches []*watch) {
	for _, w := range watches {
		if w.seq <= s.cursor && w.seq > s.from && !w.done.Load() && s.group.subs.Match(w.channel) && w.done.CompareAndSwap(false, true) {
			w.written()
		}
	}
}
