package audit

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/streamgateway/streamgateway/gateway/noloss"
)

// ledger knows which events are owed to the reader.
type ledger struct {
	mu    sync.Mutex
	owed  map[uint64]noloss.Cursor // acknowledged, and not read yet, by number
	doubt map[uint64]bool          // published without an answer: may come, at any time, or never
	last  uint64                   // newest number read
	epoch string                   // of the log that was read last
	named noloss.Cursor            // up to where the gateway has named everything as lost
	state State
}

// maxDoubt is how many numbers without an answer are remembered.
const maxDoubt = 100

func newLedger() ledger {
	return ledger{owed: map[uint64]noloss.Cursor{}, doubt: map[uint64]bool{}}
}

func (l *ledger) now() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// acked notes that the gateway has promised an event.
func (l *ledger) acked(n uint64, at noloss.Cursor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n > l.last && !l.isNamed(at) { // the reader may have heard of it before its publisher
		l.owed[n] = at
	}
}

// unanswered notes that nobody knows whether an event was taken.
func (l *ledger) unanswered(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.doubt) == maxDoubt {
		delete(l.doubt, slices.Min(slices.Collect(maps.Keys(l.doubt))))
	}
	l.doubt[n] = true
}

// got notes that an event was read, and gives what is wrong with that, if
// anything. Whatever was promised before it and has not come never will.
func (l *ledger) got(n uint64, at noloss.Cursor) (broken string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.doubt[n]:
		delete(l.doubt, n) // its publisher gave it up, so its place is no promise
		l.last = max(l.last, n)
		return ""
	case n <= l.last:
		return l.breach(1, "event %d at %s came twice or late, after event %d", n, at, l.last)
	case l.epoch != "" && at.Epoch != l.epoch:
		broken = l.breach(1, "event %d at %s is of another log than those before, without sg.reset", n, at)
	}
	l.epoch = at.Epoch
	missing := l.settle(func(k uint64, _ noloss.Cursor) bool { return k < n })
	if len(missing) > 0 {
		broken = l.breach(len(missing), "events %v were acknowledged and never came; the next one is %d at %s", missing, n, at)
	}
	delete(l.owed, n)
	l.last = n
	l.state.Checked++
	l.state.LastProof = time.Now()
	return broken
}

// announced forgets what the gateway has named as lost: all of another log, and
// of this one everything up to a position.
func (l *ledger) announced(upto noloss.Cursor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if upto.Epoch != l.named.Epoch || upto.Seq > l.named.Seq {
		l.named = upto
	}
	l.settle(func(_ uint64, at noloss.Cursor) bool { return at.Epoch != upto.Epoch || l.isNamed(at) })
	l.epoch = upto.Epoch
}

func (l *ledger) isNamed(at noloss.Cursor) bool {
	return at.Epoch == l.named.Epoch && at.Seq <= l.named.Seq
}

// settle takes debts out and gives their numbers.
func (l *ledger) settle(which func(uint64, noloss.Cursor) bool) (numbers []uint64) {
	for k, at := range l.owed {
		if which(k, at) {
			numbers = append(numbers, k)
			delete(l.owed, k)
		}
	}
	slices.Sort(numbers)
	return numbers
}

func (l *ledger) breach(events int, format string, args ...any) string {
	l.state.Lost += uint64(events)
	l.state.LastLoss = time.Now()
	l.state.Message = fmt.Sprintf(format, args...)
	return l.state.Message
}
