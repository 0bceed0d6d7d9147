//go:build linux

package load

import (
	"bytes"
	"errors"
	"fmt"
)

// conn is one subscriber: some 150 bytes, so that ten thousand of them are
// nothing beside what they measure.
type conn struct {
	fd      int32
	state   state
	raw     bool // the body has no chunks
	chunks  chunks
	scanner scanner
	head    []byte // of the answer so far; nil once it is whole
	seen    window
	events  uint32 // counted since Reset
}

type state uint8

const (
	absent state = iota
	opening
	streaming
	stalled
	closed
)

const maxHead = 16 << 10 // bytes of an answer's head

var errRefused = errors.New("the server refused a stream")

// feed takes bytes off the wire and calls found for each event in them.
func (c *conn) feed(b []byte, found func(stamp)) error {
	if c.state == opening {
		rest, err := c.readHead(b)
		if err != nil || c.state == opening {
			return err
		}
		b = rest
	}
	if c.raw {
		c.scanner.scan(b, found)
		return nil
	}
	for len(b) > 0 {
		data, rest, err := c.chunks.next(b)
		if err != nil {
			return err
		}
		c.scanner.scan(data, found)
		b = rest
	}
	return nil
}

// readHead gives what follows the head, once the head is whole.
func (c *conn) readHead(b []byte) (rest []byte, err error) {
	c.head = append(c.head, b...)
	end := bytes.Index(c.head, []byte("\r\n\r\n"))
	if end < 0 {
		if len(c.head) > maxHead {
			return nil, fmt.Errorf("%w: a head of over %d bytes", errRefused, maxHead)
		}
		return nil, nil
	}
	head := bytes.ToLower(c.head[:end])
	if !bytes.HasPrefix(head, []byte("http/1.1 200")) {
		return nil, fmt.Errorf("%w: %.200q", errRefused, c.head)
	}
	c.raw = !bytes.Contains(head, []byte("transfer-encoding: chunked"))
	rest = c.head[end+4:]
	c.head, c.state = nil, streaming
	return rest, nil
}

// window remembers which of the newest 64 numbers were there. Publishers work
// side by side, so that numbers arrive nearly in order, not quite.
type window struct {
	newest uint64 // 0 = none yet
	bits   uint64 // bit k = newest-k was there
}

// repeats notes a number and tells whether it was there before. A number too
// old to be known counts as new.
func (w *window) repeats(n uint64) bool {
	if n > w.newest {
		w.bits = w.bits<<min(n-w.newest, 64) | 1
		w.newest = n
		return false
	}
	bit := uint64(1) << min(w.newest-n, 64)
	was := w.bits&bit != 0
	w.bits |= bit
	return was
}
