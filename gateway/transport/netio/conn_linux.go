package netio

import (
	"bytes"
	"net/http"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/streamgateway/streamgateway/gateway/engine"
)

const (
	chunkEnd = "\r\n"
	lastWord = "0\r\n\r\n"
)

// conn is the sink of one connection. What TryWrite is given becomes one chunk
// of HTTP/1.1, written with one system call: the frame of the chunk lies beside
// the shared bytes, so that they are the same for every kind of sink.
type conn struct {
	sockets *Sockets
	stream  *engine.Stream
	closed  func()

	owed []byte // head or frame that the kernel has not taken; goes first
	left int    // bytes of the chunk at hand that the kernel has not taken
	fd   int    // its own, closed by release

	// Guarded by sockets.mu.
	generation uint32 // tells this connection from others with its descriptor
	started    bool
	gone       bool // the client closed its side, or all of it
	lingers    bool // ended, and waits for the client to close

	armed bool // epoll tells when the socket takes bytes again; the writer's own
}

// appendHead is the head of a chunked answer with these headers.
func appendHead(h http.Header) []byte {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\n")
	_ = h.Write(&b) // a buffer takes everything
	b.WriteString("Date: " + time.Now().UTC().Format(http.TimeFormat) +
		"\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
	return bytes.Clone(b.Bytes())
}

// TryWrite writes what the socket takes now. Bytes that it does not take are
// the next that it is given.
func (c *conn) TryWrite(b []byte) (n int, blocked bool, err error) {
	if len(b) == 0 {
		return 0, false, nil // an empty chunk would be the last one
	}
	var room [24]byte
	head := append(room[:0], c.owed...)
	if c.left == 0 {
		head = strconv.AppendUint(head, uint64(len(b)), 16)
		head = append(head, chunkEnd...)
		c.left = len(b)
	}
	tail := ""
	if len(b) == c.left {
		tail = chunkEnd
	}
	took, err := c.sockets.push(c.fd, head, b, tail)
	if err != nil {
		return 0, false, err
	}
	blocked = took < len(head)+len(b)+len(tail)
	c.owed = nil
	if took < len(head) {
		c.owed = bytes.Clone(head[took:])
	} else {
		n = min(took-len(head), len(b))
		c.left -= n
		if c.left == 0 && blocked {
			c.owed = []byte(tail[took-len(head)-n:])
		}
	}
	if blocked && !c.armed {
		// From now on every socket that gets full is told of. What became free
		// since is told at once.
		if err := c.watch(unix.EPOLL_CTL_MOD, unix.EPOLLRDHUP|unix.EPOLLOUT|unix.EPOLLET); err != nil {
			return n, true, err
		}
		c.armed = true
	}
	return n, blocked, nil
}

// Close ends the answer with its last chunk when everything before it has been
// taken, else in the middle.
func (c *conn) Close() {
	whole := false
	if c.left == 0 {
		// More is to come: the end of the connection, which goes with it.
		c.owed = append(c.owed, lastWord...)
		took, err := send(c.fd, c.owed, unix.MSG_MORE)
		whole = err == nil && took == len(c.owed)
	}
	c.sockets.finish(c, whole)
	c.closed()
}

func (c *conn) watch(op int, events uint32) error {
	return unix.EpollCtl(c.sockets.fd, op, c.fd, &unix.EpollEvent{Events: events, Fd: int32(c.fd), Pad: int32(c.generation)})
}

// push writes three pieces with one system call, body at least one byte. It
// tells how many bytes were taken, 0 when the socket is full. Small ones are
// laid side by side first: that costs a tenth of what the kernel takes to find
// three pieces by a file instead of one by a socket.
func (p *Sockets) push(fd int, head, body []byte, tail string) (int, error) {
	if len(head)+len(body)+len(tail) > sideBySide {
		return writev(fd, head, body, tail)
	}
	room := p.rooms.Get().(*[sideBySide]byte)
	b := room[:0]
	b = append(b, head...)
	b = append(b, body...)
	b = append(b, tail...)
	took, err := send(fd, b, 0)
	p.rooms.Put(room)
	return took, err
}

// sideBySide is up to how many bytes are copied before they are written.
const sideBySide = 8 << 10

// send writes b, at least one byte, with more flags for the call. The scheduler is not told of the call: the
// descriptor does not block, and telling costs as much as a third of the call.
func send(fd int, b []byte, flags uintptr) (int, error) {
	return result(func() (uintptr, uintptr, syscall.Errno) {
		return syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL|flags, 0, 0)
	})
}

// writev is send for three pieces.
func writev(fd int, head, body []byte, tail string) (int, error) {
	var pieces [3]unix.Iovec
	n := 0
	if len(head) > 0 {
		pieces[n] = unix.Iovec{Base: &head[0]}
		pieces[n].SetLen(len(head))
		n++
	}
	pieces[n] = unix.Iovec{Base: &body[0]}
	pieces[n].SetLen(len(body))
	n++
	if tail != "" {
		pieces[n] = unix.Iovec{Base: unsafe.StringData(tail)}
		pieces[n].SetLen(len(tail))
		n++
	}
	return result(func() (uintptr, uintptr, syscall.Errno) {
		return syscall.RawSyscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&pieces)), uintptr(n))
	})
}

// result is what a call that writes says in the end.
func result(call func() (uintptr, uintptr, syscall.Errno)) (int, error) {
	for {
		took, _, errno := call()
		switch errno {
		case 0:
			return int(took), nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, errno
		}
	}
}
