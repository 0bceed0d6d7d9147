package wire

import (
	"encoding/base64"
	"strconv"
)

// Element is an event as the log keeps it: encoded once, as the JSON object
// that envelope and array streams carry. The other slices point into it.
type Element struct {
	Seq     uint64
	Time    int64  // milliseconds since 1970
	Channel string // with its tenant, which JSON has not
	JSON    []byte
	Type    []byte // inside of the JSON string; empty = none
	Data    []byte // JSON value of data, or of data64 when Kind is Binary
	Kind    DataKind
	Flush   bool

	Coalesce Coalescing
	Key      []byte // of Coalesce; no part of JSON
	Parts    int    // merged into this one; 0 = it is one event of the log
}

// Layout says where the parts of an encoded element are.
type Layout struct {
	TypeOff, TypeLen int // inside of the JSON string; 0, 0 = no type
	DataOff, DataLen int
}

// AppendElement appends the element of r, on one line and without any control
// byte whatever the publisher wrote, and says where its parts are, counted
// from the element's first byte. It allocates nothing when dst is big enough.
func AppendElement(dst []byte, epoch string, r *Record) ([]byte, Layout) {
	var at Layout
	start := len(dst)
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, r.Seq, 10)
	dst = append(dst, `,"time":`...)
	dst = strconv.AppendInt(dst, r.Time, 10)
	dst = append(dst, `,"channel":"`...)
	dst = appendEscaped(dst, Unqualified(r.Channel))
	dst = append(dst, `","id":"`...)
	if r.ID != "" {
		dst = appendEscaped(dst, r.ID)
	} else {
		dst = Cursor{epoch, r.Seq}.append(dst)
	}
	dst = append(dst, '"')
	if r.Type != "" {
		dst = append(dst, `,"type":"`...)
		at.TypeOff = len(dst) - start
		dst = appendEscaped(dst, r.Type)
		at.TypeLen = len(dst) - start - at.TypeOff
		dst = append(dst, '"')
	}
	if r.Trace.Sampled {
		dst = append(dst, `,"traceparent":"`...)
		dst = r.Trace.append(dst)
		dst = append(dst, '"')
	}
	if r.Kind == Binary {
		dst = append(dst, `,"data64":`...)
	} else {
		dst = append(dst, `,"data":`...)
	}
	at.DataOff = len(dst) - start
	dst = appendData(dst, r.Kind, r.Data)
	at.DataLen = len(dst) - start - at.DataOff
	return append(dst, '}'), at
}

func appendData(dst []byte, kind DataKind, data []byte) []byte {
	switch kind {
	case Text:
		dst = append(dst, '"')
		dst = appendEscaped(dst, data)
		return append(dst, '"')
	case Binary:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, data)
		return append(dst, '"')
	}
	if len(data) == 0 {
		return append(dst, "null"...)
	}
	return appendCompact(dst, data)
}

// AppendElements appends a batch as a JSON array of elements, on one line.
func AppendElements(dst []byte, batch []Element) []byte {
	dst = append(dst, '[')
	for i := range batch {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, batch[i].JSON...)
	}
	return append(dst, ']')
}

// ElementOf encodes r into memory of its own.
func ElementOf(epoch string, r *Record) Element {
	b, at := AppendElement(nil, epoch, r)
	return Element{
		Seq: r.Seq, Time: r.Time, Channel: r.Channel, JSON: b,
		Type: b[at.TypeOff : at.TypeOff+at.TypeLen],
		Data: b[at.DataOff : at.DataOff+at.DataLen],
		Kind: r.Kind, Flush: r.Flush, Coalesce: r.Coalesce, Key: []byte(r.Key),
	}
}
