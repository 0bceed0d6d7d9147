package deflate

import (
	"bytes"
	"fmt"
	"sync/atomic"

	"github.com/klauspost/compress/flate"
)

// Levels of Encoder.Tune.
const (
	Fastest = "Fastest" // 13 µs for one event, 46 µs for twenty
	Default = "Default" // 5 to 9 % smaller than Fastest, in 1.5 times the time
	Best    = "Best"    // 9 to 10 % smaller than Fastest, in twice the time
)

// writerLevel is klauspost's. Its level 9 is no smaller than 7 on texts of a
// few hundred bytes, only slower.
func writerLevel(level string) int {
	if level == Best {
		return 7
	}
	return 5
}

// minDeflated is the smallest text, in bytes, that is worth encoding at all: a
// heartbeat is below, whatever it may refer to.
const minDeflated = 48

// Encoder encodes for one loop. It must not be used by two goroutines at once:
// that would damage streams in a way no decoder sees, so it panics instead.
type Encoder struct {
	busy     atomic.Bool
	level    string
	minBytes int
	writer   *flate.Writer // of levels above Fastest
	out      bytes.Buffer
	made     uint64
}

// NewEncoder makes a tuned encoder.
func NewEncoder(level string, minBytes int64) *Encoder {
	e := &Encoder{}
	e.Tune(level, minBytes)
	return e
}

// Tune sets the level, one of the level constants, of forms made from now on.
// A text of less than minBytes bytes is compressed only where it can refer to
// what the member has had.
func (e *Encoder) Tune(level string, minBytes int64) {
	if level != e.level {
		e.level, e.writer = level, nil
	}
	e.minBytes = int(minBytes)
}

// Made counts the forms that were compressed.
func (e *Encoder) Made() uint64 { return e.made }

// encode gives text in byte-aligned blocks, none of them the last of a member,
// which may refer to dict. It is stored when that is smaller.
func (e *Encoder) encode(text, dict []byte) []byte {
	if len(text) < minDeflated || len(dict) == 0 && len(text) < e.minBytes {
		return store(text)
	}
	if !e.busy.CompareAndSwap(false, true) {
		panic("deflate: an encoder is used by two goroutines at once")
	}
	defer e.busy.Store(false)
	e.out.Reset()
	if err := e.compress(text, dict); err != nil {
		panic(fmt.Sprintf("deflate: compressing to memory: %v", err)) // cannot be: a buffer takes everything
	}
	if e.out.Len() >= storedLen(len(text)) {
		return store(text)
	}
	e.made++
	return bytes.Clone(e.out.Bytes())
}

func (e *Encoder) compress(text, dict []byte) error {
	if e.level == Fastest {
		return flate.StatelessDeflate(&e.out, text, false, dict)
	}
	if e.writer == nil {
		w, err := flate.NewWriterDict(&e.out, writerLevel(e.level), nil)
		if err != nil {
			return err
		}
		e.writer = w
	}
	e.writer.ResetDict(&e.out, dict)
	if _, err := e.writer.Write(text); err != nil {
		return err
	}
	return e.writer.Flush()
}

const (
	maxStored    = 1<<16 - 1 // bytes of one stored block
	storedHeader = 5
)

// storedLen is how long n bytes are as stored blocks.
func storedLen(n int) int { return n + (n+maxStored-1)/maxStored*storedHeader + storedHeader }

func store(text []byte) []byte { return appendStored(make([]byte, 0, storedLen(len(text))), text) }

// appendStored appends text uncompressed, in blocks that are none of them the
// last of a member. An empty one follows, as after every compressed text: there
// are decoders, Go's among them, that give out what they have at no other place.
func appendStored(dst, text []byte) []byte {
	for len(text) > 0 {
		n := min(len(text), maxStored)
		dst = append(dst, 0, byte(n), byte(n>>8), byte(^n), byte(^n>>8))
		dst = append(dst, text[:n]...)
		text = text[n:]
	}
	return append(dst, 0, 0, 0, 0xff, 0xff)
}
