// Package keys remembers which events came in the last minutes, by the keys
// that publishers gave them, so that a request can be repeated safely.
//
// It knows no log and takes no lock: a log calls it under its own.
package keys

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Span is how long a log knows the key of an event.
const Span = 5 * time.Minute

// Slice bounds the keys that one call of Expire should forget, since a log
// calls it under its lock.
const Slice = 4096

// Key names an event within its channel and source. 128 bits of SHA-256:
// a publisher cannot make another's event look like a repeat.
type Key [16]byte

// Known is an event that a repeat is answered with.
type Known struct {
	Seq  uint64
	Time int64 // milliseconds since 1970

	key     Key
	payload uint64        // hash of what must be equal in a repeat
	at      time.Duration // arrival
}

// Window knows the events of a span by their keys, in order of arrival. Neither
// map nor slice holds a pointer.
type Window struct {
	span  time.Duration
	limit int
	seed  maphash.Seed
	early uint64

	// entries[i] has the number first+i; byKey gives the number.
	entries []Known
	first   uint64
	byKey   map[Key]uint64
	peak    int // most entries since the memory was last given back

	// What Check has computed for the request in hand.
	pending []candidate
	within  map[Key]uint64 // payload by key, within the request
	buffer  []byte
}

// candidate is an event of the request; keyed is false when it has no id.
type candidate struct {
	keyed   bool
	key     Key
	payload uint64
}

// New makes a window that knows a key for span, and at most limit keys: about
// 90 bytes each.
func New(span time.Duration, limit int) *Window {
	return &Window{span: span, limit: limit, seed: maphash.MakeSeed(), byKey: map[Key]uint64{}, within: map[Key]uint64{}}
}

// Len is the number of keys known.
func (w *Window) Len() int { return len(w.entries) }

// Early counts keys that went before their time, because there were too many.
func (w *Window) Early() uint64 { return w.early }

// Check computes the keys of a request and gives the index of the first event
// that repeats a key with another payload; -1 when there is none.
func (w *Window) Check(events []wire.Event, now time.Duration) int {
	w.Expire(now, len(events)+1)
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

// Lookup gives the earlier event that event i of the request repeats.
func (w *Window) Lookup(i int, now time.Duration) (Known, bool) {
	if !w.pending[i].keyed {
		return Known{}, false
	}
	return w.find(w.pending[i].key, now)
}

func (w *Window) find(k Key, now time.Duration) (Known, bool) {
	number, ok := w.byKey[k]
	if !ok {
		return Known{}, false
	}
	first := w.entries[number-w.first]
	return first, now-first.at < w.span
}

// Remember notes where event i of the request went.
func (w *Window) Remember(i int, seq uint64, ms int64, now time.Duration) {
	c := &w.pending[i]
	if !c.keyed {
		return
	}
	if len(w.entries) == w.limit {
		w.early++
		w.pop()
	}
	w.byKey[c.key] = w.first + uint64(len(w.entries))
	w.entries = append(w.entries, Known{Seq: seq, Time: ms, key: c.key, payload: c.payload, at: now})
	w.peak = max(w.peak, len(w.entries))
}

// Key is that of event i of the request; keyed is false when the publisher gave
// none.
func (w *Window) Key(i int) (k Key, keyed bool) { return w.pending[i].key, w.pending[i].keyed }

// Note is Remember of an event that is in the log, whoever put it there; one
// that is known already is left as it is.
func (w *Window) Note(e *wire.Event, seq uint64, ms int64, at, now time.Duration) {
	if e.ID == "" || now-at >= w.span {
		return
	}
	k := w.keyOf(e)
	if first, ok := w.find(k, now); ok && first.Seq <= seq {
		return
	}
	w.pending = append(w.pending[:0], candidate{keyed: true, key: k, payload: w.payloadOf(e)})
	w.Remember(0, seq, ms, at)
}

// Same tells whether two events under one key are the same event.
func Same(a, b *wire.Event) bool {
	return a.Kind == b.Kind && a.Type == b.Type && bytes.Equal(a.Data, b.Data)
}

// Expire forgets keys whose time is over, at most n.
func (w *Window) Expire(now time.Duration, n int) {
	for ; n > 0 && len(w.entries) > 0 && now-w.entries[0].at >= w.span; n-- {
		w.pop()
	}
	if len(w.entries) == 0 && w.peak > Slice {
		// A map never shrinks by itself.
		w.entries, w.byKey, w.peak = nil, map[Key]uint64{}, 0
	}
}

func (w *Window) pop() {
	oldest := w.entries[0].key
	// A key that came again after its time has a newer entry, which stays.
	if w.byKey[oldest] == w.first {
		delete(w.byKey, oldest)
	}
	w.entries = w.entries[1:]
	w.first++
}

func (w *Window) keyOf(e *wire.Event) Key {
	b := w.buffer[:0]
	for _, part := range []string{e.Channel, e.Source, e.ID} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	w.buffer = b
	sum := sha256.Sum256(b)
	return Key(sum[:16])
}

func (w *Window) payloadOf(e *wire.Event) uint64 {
	var h maphash.Hash
	h.SetSeed(w.seed)
	h.WriteByte(byte(e.Kind))
	h.WriteString(e.Type)
	h.WriteByte(0) // no type holds one
	h.Write(e.Data)
	return h.Sum64()
}
