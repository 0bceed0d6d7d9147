package jetstream

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// version is the first byte of a message. Another one is of a later gateway,
// which this one cannot read.
const version = 1

// Bits of the second byte, above the kind of the data and the coalescing.
const (
	kindMask     = 0b0000_0011
	coalesceAt   = 2
	coalesceMask = 0b0000_1100
	flagFlush    = 0b0001_0000
	flagTrace    = 0b0010_0000
	flagSampled  = 0b0100_0000
)

// encode writes an event, its time included, as the body of a message: version,
// flags, time, the texts with their lengths, the trace if there is one, and the
// data to the end. Headers would be read line by line, and trim what a text
// begins and ends with. The channel is the subject.
func encode(e *wire.Event) []byte {
	flags := byte(e.Kind) | byte(e.Coalesce)<<coalesceAt
	if e.Flush {
		flags |= flagFlush
	}
	traced := e.Trace != wire.Trace{}
	if traced {
		flags |= flagTrace
	}
	if e.Trace.Sampled {
		flags |= flagSampled
	}
	texts := [...]string{e.ID, e.Type, e.Source, e.Key}
	size := 2 + binary.MaxVarintLen64*(1+len(texts)) + len(e.Trace.ID) + len(e.Trace.Span) + len(e.Data)
	for _, text := range texts {
		size += len(text)
	}
	b := append(make([]byte, 0, size), version, flags)
	b = binary.AppendUvarint(b, uint64(e.Time))
	for _, text := range texts {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	if traced {
		b = append(b, e.Trace.ID[:]...)
		b = append(b, e.Trace.Span[:]...)
	}
	return append(b, e.Data...)
}

var errShort = errors.New("it ends too early")

// decode reads what encode writes. The event's data lies in body.
func decode(channel string, body []byte) (e wire.Event, err error) {
	if len(body) < 2 {
		return e, errShort
	}
	if body[0] != version {
		return e, fmt.Errorf("version %d is not known", body[0])
	}
	flags := body[1]
	r := reader{body[2:], nil}
	e = wire.Event{
		Channel: channel, Time: int64(r.number()), ID: r.text(), Type: r.text(), Source: r.text(), Key: r.text(),
		Kind: wire.DataKind(flags & kindMask), Coalesce: wire.Coalescing(flags & coalesceMask >> coalesceAt), Flush: flags&flagFlush != 0,
	}
	if e.Kind > wire.Binary || e.Coalesce > wire.Newest {
		return e, fmt.Errorf("flags %08b are not known", flags)
	}
	if flags&flagTrace != 0 {
		r.copy(e.Trace.ID[:])
		r.copy(e.Trace.Span[:])
	}
	e.Trace.Sampled = flags&flagSampled != 0
	e.Data = r.rest
	return e, r.err
}

// reader takes parts off the front and keeps the first error.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) number() uint64 {
	n, bytes := binary.Uvarint(r.rest)
	if bytes <= 0 {
		r.err, bytes = errShort, 0
	}
	r.rest = r.rest[bytes:]
	return n
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.err = errShort
		return nil
	}
	part := r.rest[:n]
	r.rest = r.rest[n:]
	return part
}

func (r *reader) text() string { return string(r.take(r.number())) }

func (r *reader) copy(to []byte) { copy(to, r.take(uint64(len(to)))) }
