// Package ring is the shared log in memory: every event once, encoded, with
// cursors instead of queues.
//
// One writer appends; any number of readers read without a lock. Old events go
// by age and by bytes, and for every channel the ring can prove whether a
// reader at some position has missed any: loss is computed, so it cannot be
// silent. The ring does not know subscribers, groups or sockets, and it starts
// no goroutine: engine appends and calls Evict, fanout reads.
package ring

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// ErrEvicted tells that events the caller asked for are gone: make the proof
// again (Complete) and name what is lost.
var ErrEvicted = errors.New("events are evicted")

// Replay bounds what the ring keeps.
type Replay struct {
	// Mode says whether clients may resume. It is the engine's to heed: the
	// ring keeps events all the same, since live clients read from it.
	Mode     string
	TTL      time.Duration // events older than this go
	MaxBytes int64         // bytes of memory; the oldest go first
}

// maxSpareBytes bounds the memory kept for encoding what opens a chunk.
const maxSpareBytes = 64 << 10

// Ring is the log. Append, Evict and Tune may be called while others read.
type Ring struct {
	epoch string
	start time.Time // arrival times count from here, on the monotonic clock

	// dir holds the chunks, oldest first. It is replaced, never changed.
	dir  atomic.Pointer[[]*chunk]
	head atomic.Uint64
	// evicted is the newest sequence number that is gone; whatever is above it
	// and not above head is in dir.
	evicted atomic.Uint64
	hole    atomic.Uint64 // newest record of wire.HoleChannel; 0 = none
	tuning  atomic.Pointer[Replay]
	squeeze atomic.Int64 // bytes; 0 = Replay.MaxBytes alone bounds the ring
	table   table
	floors  floors
	scratch sync.Pool // of *scratch

	// mu guards the write side: the open chunk, dir's replacement, the fields
	// below. Append holds it per batch, Evict per chunk and per slice of the
	// channel table. Lock order: mu, then table.mu.
	mu      sync.Mutex
	class   int // index of the newest chunk's class
	spare   []byte
	bytes   int64
	own     int // events of the gateway itself that are held
	counts  counts
	shortAt time.Duration // newest arrival that had to go for lack of memory
	sweep   int           // next page of the channel table to look at
}

// New makes an empty log of one epoch. floor is the newest sequence number
// that this log will never hold: 0 for a log that begins here.
func New(epoch string, floor uint64, r Replay) *Ring {
	ring := &Ring{epoch: epoch, start: time.Now(), shortAt: -1}
	ring.dir.Store(&[]*chunk{})
	ring.head.Store(floor)
	ring.evicted.Store(floor)
	ring.floors.init(floor)
	ring.table.init()
	ring.scratch.New = func() any { return new(scratch) }
	ring.Tune(r)
	return ring
}

// Tune takes new bounds; the next Append and Evict act on them.
func (r *Ring) Tune(t Replay) { r.tuning.Store(&t) }

// Epoch is the epoch of all cursors of this log.
func (r *Ring) Epoch() string { return r.epoch }

// Head is the newest sequence number that readers can see.
func (r *Ring) Head() uint64 { return r.head.Load() }

// First is the oldest sequence number held, Head()+1 when none is.
func (r *Ring) First() uint64 { return r.evicted.Load() + 1 }

// Hole is the newest position that no reader passes without being told: see
// wire.HoleChannel. 0 = there is none.
func (r *Ring) Hole() uint64 { return r.hole.Load() }

// Append adds records in order and then lets readers see them, all at once.
// There is one writer. Records not above the head are repeats and are passed
// over; a hole is a broken promise of the log and panics.
func (r *Ring) Append(records []wire.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Since(r.start)
	head := r.head.Load()
	for i := range records {
		rec := &records[i]
		if rec.Seq <= head {
			continue
		}
		if rec.Seq != head+1 {
			panic(fmt.Sprintf("ring: append of %d after head %d", rec.Seq, head))
		}
		r.append(rec, now)
		head = rec.Seq
	}
	r.head.Store(head)
}

// append stores one record. The order of its last steps is what readers rely
// on: entry, then chunk.n, then channel.last (and the head after the batch).
// Who sees one of them can read all that it points to.
func (r *Ring) append(rec *wire.Record, now time.Duration) {
	c, element, at := r.encode(rec, now)
	ch := r.table.writable(rec.Channel, &r.floors)
	n := c.n.Load()
	c.entries[n] = entry{
		time: rec.Time, prev: ch.last.Load(), channel: ch.id,
		off: uint32(c.used), elementLen: uint32(element - len(rec.Key)), keyLen: uint8(len(rec.Key)),
		dataOff: uint32(at.DataOff), typeOff: uint32(at.TypeOff), typeLen: uint16(at.TypeLen),
		flags: flagsOf(rec),
	}
	c.used += element
	c.newest = now
	c.n.Store(n + 1)
	if ch.own {
		c.own++
		r.own++
		if ch.name == wire.HoleChannel {
			r.hole.Store(rec.Seq)
		}
	}
	ch.used = now
	ch.last.Store(rec.Seq)
}

// encode writes the element of a record, and its key after it, to the free end of the chunk that it
// gives. It writes in place, but for the one in a chunk that opens a new one.
func (r *Ring) encode(rec *wire.Record, now time.Duration) (c *chunk, elementBytes int, at wire.Layout) {
	c = r.openChunk()
	free := r.spare[:0]
	usable := c != nil && !c.full() && now-c.opened <= r.tuning.Load().TTL/chunksPerTTL
	if usable {
		free = c.slab[c.used:c.used]
	}
	element, at := wire.AppendElement(free, r.epoch, rec)
	element = append(element, rec.Key...)
	if usable && len(element) <= cap(free) {
		return c, len(element), at
	}
	c = r.newChunk(rec.Seq, now, len(element))
	copy(c.slab, element)
	if !usable && cap(element) <= maxSpareBytes {
		r.spare = element
	}
	return c, len(element), at
}

// openChunk gives the chunk that is written to, nil when there is none.
func (r *Ring) openChunk() *chunk {
	dir := *r.dir.Load()
	if len(dir) == 0 {
		return nil
	}
	return dir[len(dir)-1]
}

// newChunk opens a chunk that begins at base and has room for an element of
// the given size. It makes room first, so that the bound on bytes holds.
func (r *Ring) newChunk(base uint64, now time.Duration, elementBytes int) *chunk {
	t := r.tuning.Load()
	limit, why := r.limit(t)
	r.class = nextClass(r.class, r.openChunk(), limit)
	c := makeChunk(base, r.class, elementBytes)
	c.opened, c.newest = now, now
	old := *r.dir.Load()
	drop := 0
	for bytes := r.bytes + c.bytes(); drop < len(old) && bytes > limit; drop++ {
		bytes -= old[drop].bytes()
	}
	r.drop(drop, why)
	old = *r.dir.Load()
	dir := make([]*chunk, len(old)+1)
	copy(dir, old)
	dir[len(old)] = c
	r.bytes += c.bytes()
	r.dir.Store(&dir)
	return c
}
