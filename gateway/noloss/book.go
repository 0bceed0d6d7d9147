package noloss

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// maxFaults is how many faults are kept in words; all are counted.
const maxFaults = 20

// entry is what is known of one published event.
type entry struct {
	channel string
	kind    kind
	sent    time.Time
	cursor  Cursor // of the acknowledgement, or of the first delivery
	acked   bool
	logged  bool // acknowledged or seen by somebody: it is in the log
}

// movedFrom tells whether the event has another position in the same log
// already. In the log of a new epoch it may be again: a publisher that lost its
// answer together with the old pod repeats.
func (x *entry) movedFrom(at Cursor) bool {
	return x.logged && x.cursor != at && x.cursor.Epoch == at.Epoch
}

// book is the shared memory of a run: what was published, and what went wrong.
type book struct {
	mu     sync.Mutex
	events [][]entry // by publisher and number
	epochs []string  // in the order in which anybody met them
	faults map[string]int
	words  []string
}

func newBook(publishers int) *book {
	return &book{events: make([][]entry, publishers), faults: map[string]int{}}
}

// send registers the next event of a publisher before it leaves.
func (b *book) send(publisher int, channel string, k kind) event {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := event{publisher, len(b.events[publisher])}
	b.events[publisher] = append(b.events[publisher], entry{channel: channel, kind: k, sent: time.Now()})
	return e
}

// ack notes the gateway's promise for an event.
func (b *book) ack(e event, at Cursor) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := &b.events[e.publisher][e.n]
	if x.movedFrom(at) {
		b.faultLocked("moved", "%s was delivered at %s and acknowledged at %s", e.id(), x.cursor, at)
	}
	x.cursor, x.acked, x.logged = at, true, true
	b.meetLocked(at.Epoch)
}

// deliver checks a delivered element against what was sent.
func (b *book) deliver(e event, got Element) (sent time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.publisher >= len(b.events) || e.n >= len(b.events[e.publisher]) {
		b.faultLocked("phantom", "%s at %s was never published", e.id(), got.Cursor)
		return time.Time{}, false
	}
	x := &b.events[e.publisher][e.n]
	if x.channel != got.Channel || e.data(x.kind) != got.Data || (got.ID != "" && got.ID != e.id()) {
		b.faultLocked("damaged", "%s at %s came as channel %q, id %q, data %.80q", e.id(), got.Cursor, got.Channel, got.ID, got.Data)
	}
	if got.Cursor.Seq == 0 {
		return x.sent, true
	}
	if x.movedFrom(got.Cursor) {
		b.faultLocked("moved", "%s at %s is also at %s", e.id(), x.cursor, got.Cursor)
	}
	if !x.logged {
		x.cursor, x.logged = got.Cursor, true
	}
	b.meetLocked(got.Cursor.Epoch)
	return x.sent, true
}

// age orders the epochs by when they were met.
func (b *book) age(epoch string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.meetLocked(epoch)
}

func (b *book) meetLocked(epoch string) int {
	if i := slices.Index(b.epochs, epoch); i >= 0 {
		return i
	}
	b.epochs = append(b.epochs, epoch)
	return len(b.epochs) - 1
}

// fault counts a broken promise and keeps the first ones in words.
func (b *book) fault(name, format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faultLocked(name, format, args...)
}

func (b *book) faultLocked(name, format string, args ...any) {
	b.faults[name]++
	if len(b.words) < maxFaults {
		b.words = append(b.words, name+": "+fmt.Sprintf(format, args...))
	}
}
