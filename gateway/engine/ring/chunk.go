package ring

import (
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// entry says where an event is in its chunk's slab. It holds no pointer, so
// the garbage collector passes over a million of them. Its sequence number is
// its chunk's base plus its index.
type entry struct {
	time       int64  // milliseconds since 1970
	prev       uint64 // the event before it in its channel; 0 = none
	channel    uint32
	off        uint32 // of the element in the slab
	elementLen uint32
	dataOff    uint32 // in the element; data goes on to the closing brace
	typeOff    uint32 // in the element
	typeLen    uint16
	flags      uint8
	keyLen     uint8 // of the key that follows the element in the slab
}

const (
	flagKind  = 3 // mask of the data kind
	flagFlush = 4

	coalesceShift = 3 // the way of coalescing is in the bits above
)

func flagsOf(r *wire.Record) uint8 {
	f := uint8(r.Kind)&flagKind | uint8(r.Coalesce)<<coalesceShift
	if r.Flush {
		f |= flagFlush
	}
	return f
}

// chunk is a run of events. Below n it never changes; a chunk that has left
// the directory lives on while a reader holds it.
type chunk struct {
	base    uint64 // sequence number of entries[0]
	n       atomic.Uint32
	entries []entry
	slab    []byte

	// The writer's own, guarded by Ring.mu.
	used           int           // bytes of slab
	own            int           // events of the gateway itself
	opened, newest time.Duration // arrival of the first and the last event
}

// A quiet log gets small chunks, a busy one big ones: memory follows traffic,
// and events of very different age do not share a chunk.
type class struct{ entries, slabBytes int }

const (
	// chunksPerTTL bounds how much longer than the TTL an event can stay: a
	// chunk goes as a whole, when its newest event is old enough.
	chunksPerTTL = 8
	// minChunks is into how many chunks the allowed bytes are cut at least, so
	// that eviction by bytes takes small bites.
	minChunks  = 8
	entryBytes = int(unsafe.Sizeof(entry{}))
)

func classOf(i int) class {
	return [...]class{{64, 16 << 10}, {256, 64 << 10}, {1024, 256 << 10}}[i]
}

const biggestClass = 2

// nextClass chooses the class after one chunk is done with.
func nextClass(current int, last *chunk, maxBytes int64) int {
	next := current
	if last != nil {
		filled := int(last.n.Load()) == len(last.entries) || last.used > len(last.slab)/2
		scarce := int(last.n.Load()) < len(last.entries)/4 && last.used < len(last.slab)/4
		switch {
		case filled && current < biggestClass:
			next++
		case scarce && current > 0:
			next--
		}
	}
	for next > 0 && int64(classOf(next).slabBytes)*minChunks > maxBytes {
		next--
	}
	return next
}

// makeChunk makes a chunk of a class. An element of more than half of its slab
// gets one of just its size: nothing else would fit beside it.
func makeChunk(base uint64, i, elementBytes int) *chunk {
	cl := classOf(i)
	if elementBytes > cl.slabBytes/2 {
		cl = class{entries: 1, slabBytes: elementBytes}
	}
	return &chunk{base: base, entries: make([]entry, cl.entries), slab: make([]byte, cl.slabBytes)}
}

func (c *chunk) full() bool { return int(c.n.Load()) == len(c.entries) }

// bytes is the memory that the chunk takes, used or not.
func (c *chunk) bytes() int64 {
	return int64(len(c.slab)+len(c.entries)*entryBytes) + int64(unsafe.Sizeof(*c))
}

// end is the sequence number after the last event that can be read.
func (c *chunk) end() uint64 { return c.base + uint64(c.n.Load()) }

// from gives the index in dir of the first chunk with an event not below seq;
// len(dir) when there is none.
func from(dir []*chunk, seq uint64) int {
	i, exact := slices.BinarySearchFunc(dir, seq, func(c *chunk, seq uint64) int {
		switch {
		case c.base < seq:
			return -1
		case c.base > seq:
			return 1
		}
		return 0
	})
	if !exact && i > 0 && seq < dir[i-1].end() {
		return i - 1
	}
	return i
}

// find gives the chunk and the index of one event; nil when dir has it not.
func find(dir []*chunk, seq uint64) (*chunk, int) {
	i := from(dir, seq)
	if i == len(dir) || seq < dir[i].base || seq >= dir[i].end() {
		return nil, 0
	}
	return dir[i], int(seq - dir[i].base)
}

// element gives the event at an index. The error is ErrEvicted when its channel
// has been forgotten, which happens only to events that have left the log.
func (r *Ring) element(c *chunk, i int) (wire.Element, error) {
	en := &c.entries[i]
	ch := r.table.byID(en.channel)
	if ch == nil {
		return wire.Element{}, ErrEvicted
	}
	json := c.slab[en.off : en.off+en.elementLen : en.off+en.elementLen]
	return wire.Element{
		Seq: c.base + uint64(i), Time: en.time, Channel: ch.name, JSON: json,
		Type:  json[en.typeOff : en.typeOff+uint32(en.typeLen)],
		Data:  json[en.dataOff : en.elementLen-1],
		Kind:  wire.DataKind(en.flags & flagKind),
		Flush: en.flags&flagFlush != 0,

		Coalesce: wire.Coalescing(en.flags >> coalesceShift),
		Key:      c.slab[en.off+en.elementLen : en.off+en.elementLen+uint32(en.keyLen)],
	}, nil
}
