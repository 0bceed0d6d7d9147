package memory

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// expireSlice bounds the keys forgotten under one hold of the log's lock.
const expireSlice = 4096

// key names an event within its channel and source. 128 bits of SHA-256:
// a publisher cannot make another's event look like a repeat.
type key [16]byte

// known is an event that a repeat is answered with.
type known struct {
	key     key
	payload uint64 // hash of what must be equal in a repeat
	seq     uint64
	time    int64         // milliseconds since 1970
	at      time.Duration // arrival
}

// window knows the events of the last minutes by their keys, in order of
// arrival. Neither map nor slice holds a pointer.
type window struct {
	span  time.Duration
	limit int
	seed  maphash.Seed
	early uint64 // keys that went before their time

	// entries[i] has the number first+i; byKey gives the number.
	entries []known
	first   uint64
	byKey   map[key]uint64
	peak    int // most entries since the memory was last given back

	// What check has computed for the request in hand.
	pending []candidate
	within  map[key]uint64 // payload by key, within the request
	buffer  []byte
}

// candidate is an event of the request; keyed is false when it has no id.
type candidate struct {
	keyed   bool
	key     key
	payload uint64
}

func newWindow(span time.Duration, limit int) *window {
	return &window{span: span, limit: limit, seed: maphash.MakeSeed(), byKey: map[key]uint64{}, within: map[key]uint64{}}
}

func (w *window) len() int { return len(w.entries) }

// check computes the keys of a request and gives the index of the first event
// that repeats a key with another payload; -1 when there is none.
func (w *window) check(events []wire.Event, now time.Duration) int {
	w.expire(now, len(events)+1)
	w.pending = w.pending[:0]
	clear(w.within)
	for i := range events {
		e := &events[i]
		c := candidate{}
		if e.ID != "" {
			c = candidate{keyed: true, key: w.keyOf(e), payload: w.payloadOf(e)}
		}
		w.pending = append(w.pending, c)
		if !c.keyed {
			continue
		}
		if first, ok := w.find(c.key, now); ok && first.payload != c.payload {
			return i
		}
		if payload, ok := w.within[c.key]; ok && payload != c.payload {
			return i
		}
		if len(events) > 1 {
			w.within[c.key] = c.payload
		}
	}
	return -1
}

// lookup gives the earlier event that event i of the request repeats.
func (w *window) lookup(i int, now time.Duration) (known, bool) {
	if !w.pending[i].keyed {
		return known{}, false
	}
	return w.find(w.pending[i].key, now)
}

func (w *window) find(k key, now time.Duration) (known, bool) {
	number, ok := w.byKey[k]
	if !ok {
		return known{}, false
	}
	first := w.entries[number-w.first]
	return first, now-first.at < w.span
}

// remember notes where event i of the request went.
func (w *window) remember(i int, seq uint64, ms int64, now time.Duration) {
	c := &w.pending[i]
	if !c.keyed {
		return
	}
	if len(w.entries) == w.limit {
		w.early++
		w.pop()
	}
	w.byKey[c.key] = w.first + uint64(len(w.entries))
	w.entries = append(w.entries, known{key: c.key, payload: c.payload, seq: seq, time: ms, at: now})
	w.peak = max(w.peak, len(w.entries))
}

// expire forgets keys whose time is over, at most n.
func (w *window) expire(now time.Duration, n int) {
	for ; n > 0 && len(w.entries) > 0 && now-w.entries[0].at >= w.span; n-- {
		w.pop()
	}
	if len(w.entries) == 0 && w.peak > expireSlice {
		// A map never shrinks by itself.
		w.entries, w.byKey, w.peak = nil, map[key]uint64{}, 0
	}
}

func (w *window) pop() {
	oldest := w.entries[0].key
	// A key that came again after its time has a newer entry, which stays.
	if w.byKey[oldest] == w.first {
		delete(w.byKey, oldest)
	}
	w.entries = w.entries[1:]
	w.first++
}

func (w *window) keyOf(e *wire.Event) key {
	b := w.buffer[:0]
	for _, part := range []string{e.Channel, e.Source, e.ID} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	w.buffer = b
	sum := sha256.Sum256(b)
	return key(sum[:16])
}

func (w *window) payloadOf(e *wire.Event) uint64 {
	var h maphash.Hash
	h.SetSeed(w.seed)
	h.WriteByte(byte(e.Kind))
	h.WriteString(e.Type)
	h.WriteByte(0) // no type holds one
	h.Write(e.Data)
	return h.Sum64()
}
