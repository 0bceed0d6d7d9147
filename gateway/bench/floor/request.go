//go:build linux

package floor

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// request is all that is read of one: GET /CHANNEL,CHANNEL?since=N opens a
// stream, POST /CHANNEL publishes its body.
type request struct {
	post     bool
	channels string
	since    uint64 // events up to this one are behind the client; 0 = start live
	body     []byte
}

// parse reads one request off the front of b.
func parse(b []byte) (r request, rest []byte, ok bool) {
	head, rest, ok := bytes.Cut(b, []byte("\r\n\r\n"))
	if !ok || len(head) == 0 {
		return r, b, false
	}
	r.post = head[0] == 'P'
	if _, length, ok := bytes.Cut(head, []byte("Content-Length: ")); r.post && ok {
		size := 0
		for _, c := range length {
			if c < '0' || c > '9' {
				break
			}
			size = size*10 + int(c-'0')
		}
		if len(rest) < size {
			return r, b, false
		}
		r.body, rest = rest[:size], rest[size:]
	}
	_, target, _ := bytes.Cut(head, []byte("/"))
	target, _, _ = bytes.Cut(target, []byte(" "))
	path, query, _ := strings.Cut(string(target), "?since=")
	r.channels = path
	r.since, _ = strconv.ParseUint(query, 10, 64) // 0 is what nothing means
	return r, rest, true
}

const (
	streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n"
	ack        = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
)

func (s *Server) serve(c *conn, r request) {
	if r.post {
		s.publish(c, r)
		return
	}
	out := []byte(streamHead)
	for name := range strings.SplitSeq(r.channels, ",") {
		ch := s.channel(name)
		ch.members = append(ch.members, c)
		if r.since > 0 {
			// Replay is for a floor with one channel: its frames have no holes,
			// so the first one kept has this number.
			first := s.newest - uint64(len(ch.kept)) + 1
			if missed := ch.kept[min(max(r.since+1, first)-first, uint64(len(ch.kept))):]; len(missed) > 0 {
				out = append(out, chunk(bytes.Join(missed, nil))...)
			}
		}
	}
	c.stream = true
	s.send(c, out)
}

func (s *Server) channel(name string) *channel {
	c := s.channels[name]
	if c == nil {
		c = &channel{}
		s.channels[name] = c
	}
	return c
}

// publish answers first, as every server may.
func (s *Server) publish(c *conn, r request) {
	rawWrite(c.fd, []byte(ack))
	ch := s.channel(r.channels)
	for data := range bytes.SplitSeq(r.body, []byte("\n")) {
		s.newest++
		f := append([]byte("id: "), strconv.FormatUint(s.newest, 10)...)
		f = append(append(append(f, "\ndata: "...), data...), "\n\n"...)
		if ch.kept = append(ch.kept, f); len(ch.kept) > 2*keptMax {
			ch.kept = append([][]byte(nil), ch.kept[keptMax:]...)
		}
		ch.pending = append(ch.pending, f...)
		if s.window > 0 && len(ch.pending) == len(f) {
			ch.at = time.Now().Add(s.window)
			s.due = append(s.due, ch)
		}
		if s.window == 0 {
			s.write(ch, chunk(ch.pending))
			ch.pending = ch.pending[:0]
		}
	}
}

func chunk(frames []byte) []byte {
	b := append(strconv.AppendInt(nil, int64(len(frames)), 16), "\r\n"...)
	return append(append(b, frames...), "\r\n"...)
}

func (s *Server) write(c *channel, b []byte) {
	for _, m := range c.members {
		s.send(m, b)
	}
}

// send writes what the socket takes. What it does not take is kept and sent
// later; until then the subscriber gets nothing else.
func (s *Server) send(c *conn, b []byte) {
	if len(c.rest) > 0 {
		return
	}
	n := rawWrite(c.fd, b)
	if n < len(b) {
		c.rest = b[n:]
		if err := s.watch(c.fd, unix.EPOLLIN|unix.EPOLLOUT, unix.EPOLL_CTL_MOD); err != nil && !errors.Is(err, unix.ENOENT) {
			c.rest = nil
		}
	}
}

func (s *Server) resume(c *conn) {
	if c == nil {
		return
	}
	if c.rest = c.rest[rawWrite(c.fd, c.rest):]; len(c.rest) == 0 {
		c.rest = nil
		_ = s.watch(c.fd, unix.EPOLLIN, unix.EPOLL_CTL_MOD) // it was watched before
	}
}

// rawWrite writes without telling the scheduler: the socket cannot block. An
// error is seen again when the socket is read.
func rawWrite(fd int32, b []byte) int {
	n, _, errno := syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0
	}
	return int(n)
}
