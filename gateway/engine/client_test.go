package engine_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// client is a sink in memory, and the parser behind it. It takes everything at
// once unless it is told otherwise.
type client struct {
	stream *engine.Stream

	mu     sync.Mutex
	take   func(want int) (n int, blocked bool) // nil = all
	err    error
	buf    []byte // of an unfinished frame
	frames []frame
	writes []write
	broken bool        // it broke off, maybe in the middle of its last frame
	closed time.Time   // when; zero = open
	last   wire.Cursor // as EventSource would send it
	packed []byte      // of a gzip stream, all so far
	read   int         // bytes of it in plain
	whole  bool        // it is complete
}

// frame is one event as a parser by the standard sees it, plus comments.
type frame struct {
	at                  time.Time
	id, event, sg, data string
	comment             string
	retry               string
}

// write is one TryWrite that took bytes.
type write struct {
	at time.Time
	n  int
}

func (c *client) TryWrite(b []byte) (n int, blocked bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed.IsZero() {
		panic("write after close")
	}
	if c.err != nil {
		return 0, false, c.err
	}
	n = len(b)
	if c.take != nil {
		n, blocked = c.take(len(b))
	}
	if n > 0 {
		c.writes = append(c.writes, write{time.Now(), n})
		c.parse(c.unpack(b[:n]))
	}
	return n, blocked, nil
}

func (c *client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed.IsZero() {
		panic("closed twice")
	}
	if n := len(c.frames); n > 0 && !c.broken && c.frames[n-1].event == wire.ControlEnd && c.stream.Gzip() && !c.whole {
		panic("an orderly end without the end of the gzip member")
	}
	c.closed = time.Now()
}

// unpack gives the plain text of bytes as they come. All of a gzip stream is
// decoded anew each time, so that nothing of the decoder is taken on trust: what
// was written must be readable at once, and the end must fit the whole.
func (c *client) unpack(b []byte) []byte {
	if !c.stream.Gzip() {
		return b
	}
	if c.whole {
		panic("bytes after the end of the gzip member")
	}
	c.packed = append(c.packed, b...)
	z, err := gzip.NewReader(bytes.NewReader(c.packed))
	if err != nil {
		return nil // not even the header
	}
	z.Multistream(false)
	text, err := io.ReadAll(z)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		panic(fmt.Sprintf("damaged after %d bytes: %v", len(text), err))
	}
	c.whole = err == nil
	news := text[c.read:]
	c.read = len(text)
	return news
}

// block makes the client take nothing; unblock ends that.
func (c *client) block() { c.set(func(int) (int, bool) { return 0, true }) }

func (c *client) unblock() {
	c.set(nil)
	c.stream.Writable()
}

// sip makes the client take one write, and be busy until the next sip.
func (c *client) sip() {
	c.set(func(n int) (int, bool) { return n, true })
	c.stream.Writable()
}

func (c *client) set(take func(int) (int, bool)) {
	c.mu.Lock()
	c.take = take
	c.mu.Unlock()
}

func (c *client) parse(b []byte) {
	c.buf = append(c.buf, b...)
	for {
		end := bytes.Index(c.buf, []byte("\n\n"))
		if end < 0 {
			return
		}
		f := frame{at: time.Now()}
		for line := range strings.SplitSeq(string(c.buf[:end]), "\n") {
			name, value, _ := strings.Cut(line, ":")
			value = strings.TrimPrefix(value, " ")
			switch name {
			case "":
				f.comment = value
			case "id":
				f.id = value
				c.last, _ = wire.ParseCursor(value)
			case "event":
				f.event = value
			case "sg":
				f.sg = value
			case "retry":
				f.retry = value
			case "data":
				if f.data != "" {
					f.data += "\n"
				}
				f.data += value
			default:
				panic("unknown field " + line)
			}
		}
		c.frames = append(c.frames, f)
		c.buf = c.buf[end+2:]
	}
}

// got gives the frames so far and forgets them.
func (c *client) got() []frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	frames := c.frames
	c.frames = nil
	return frames
}

// closedAt is zero for a client that is open.
func (c *client) closedAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// show gives one line for each frame.
func show(frames []frame) string {
	var b strings.Builder
	for _, f := range frames {
		b.WriteString(f.String())
		b.WriteByte('\n')
	}
	return b.String()
}

func (f frame) String() string {
	parts := []string{}
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	add("comment", f.comment)
	add("retry", f.retry)
	add("id", f.id)
	add("event", f.event)
	add("sg", f.sg)
	add("data", f.data)
	return fmt.Sprint(strings.Join(parts, " "))
}
