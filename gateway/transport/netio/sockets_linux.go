package netio

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/streamgateway/streamgateway/gateway/engine"
)

const (
	// sendBufferBytes bounds what the kernel holds for one stream, doubled by
	// the kernel for its own bookkeeping. Left alone it grows to megabytes.
	sendBufferBytes = 96 << 10
	// lingerTime is how long a client has to close its side after the end.
	lingerTime = 5 * time.Second
	eventBatch = 128
)

// Sockets serves streams on connections taken over from net/http: plain
// HTTP/1.1 on TCP. Bytes are written by whoever runs the engine's loop, with
// system calls that cannot block, so that a stream has no goroutine and no
// buffer. One goroutine waits for sockets that can take bytes again and for
// clients that left; it holds no thread while nothing happens.
type Sockets struct {
	epoll *os.File
	raw   syscall.RawConn
	fd    int // of epoll
	done  chan struct{}
	rooms sync.Pool // of *[sideBySide]byte, while bytes are handed to the kernel

	// mu guards the table and the fields of conn that say so. No lock is taken
	// under it, and nothing under it blocks.
	mu         sync.Mutex
	table      []*conn // by descriptor
	generation uint32
}

// NewSockets starts the goroutine; it runs until Close. The error is the
// kernel's, which has no descriptor left.
func NewSockets() (*Sockets, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		// Without it the runtime would give the wait a thread of its own.
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, fmt.Errorf("making an epoll descriptor: %w", err)
	}
	p := &Sockets{epoll: os.NewFile(uintptr(fd), "epoll"), fd: fd, done: make(chan struct{})}
	p.rooms.New = func() any { return new([sideBySide]byte) }
	if p.raw, err = p.epoll.SyscallConn(); err != nil {
		return nil, fmt.Errorf("watching an epoll descriptor: %w", err)
	}
	go p.wait()
	return p, nil
}

// Close ends the goroutine and what still lingers. All streams are closed
// before.
func (p *Sockets) Close() {
	_ = p.epoll.Close() // nothing is written to it
	<-p.done
	p.mu.Lock()
	rest := p.table
	p.table = nil
	p.mu.Unlock()
	for _, c := range rest {
		if c != nil {
			_ = unix.Close(c.fd) // nothing is left to write
		}
	}
}

// Serve takes over the connection of a request and starts the stream on it,
// with the headers that w has. closed is called once, when the stream is
// closed. A client whose machine is gone is given up a little after timeout, by
// the kernel: the engine comes first with those that only take nothing. False
// means that nothing was done and that this connection is not for it: then the
// stream has to be served by HTTP.
func (p *Sockets) Serve(w http.ResponseWriter, r *http.Request, s *engine.Stream, timeout time.Duration, closed func()) bool {
	socket, ok := r.Context().Value(tcpKey{}).(*net.TCPConn)
	if p == nil || !ok || r.TLS != nil || !r.ProtoAtLeast(1, 1) || r.ProtoAtLeast(2, 0) {
		return false
	}
	c := &conn{sockets: p, stream: s, closed: closed, owed: appendHead(w.Header())}
	if !p.add(c, socket, timeout) {
		return false
	}
	// What the client sent after its request is never read: the connection
	// carries one stream and is closed.
	if _, _, err := http.NewResponseController(w).Hijack(); err != nil {
		// Closing alone does not make epoll forget a connection that lives on.
		_ = c.watch(unix.EPOLL_CTL_DEL, 0)
		p.release(c)
		return false
	}
	_ = socket.Close() // the stream has a descriptor of its own
	s.Start(c)
	p.started(c)
	return true
}

// add gives the connection a descriptor of its own and makes that known to
// epoll. The connection stays net/http's until then. Package net keeps some
// 900 bytes for each descriptor (its poller's part, two addresses, the
// connection), half of what an idle stream would cost.
func (p *Sockets) add(c *conn, socket *net.TCPConn, timeout time.Duration) bool {
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		c.fd, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err != nil || failed != nil {
		return false // closed already, or no descriptor is left
	}
	// Kernels that refuse keep more, and keep it longer, which is no error.
	_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBufferBytes)
	_ = unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int((timeout + lingerTime).Milliseconds()))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.generation++
	c.generation = p.generation
	if c.watch(unix.EPOLL_CTL_ADD, unix.EPOLLRDHUP|unix.EPOLLET) != nil {
		_ = unix.Close(c.fd) // nothing was written
		return false
	}
	if missing := c.fd + 1 - len(p.table); missing > 0 {
		p.table = append(p.table, make([]*conn, missing)...)
	}
	p.table[c.fd] = c
	return true
}

// started passes on what happened before the stream could be told.
func (p *Sockets) started(c *conn) {
	p.mu.Lock()
	c.started = true
	gone := c.gone
	p.mu.Unlock()
	if gone {
		c.stream.Leave()
	} else {
		c.stream.Writable() // does nothing unless it is blocked
	}
}

// wait passes on what epoll says, a batch at a time.
func (p *Sockets) wait() {
	defer close(p.done)
	events := make([]unix.EpollEvent, eventBatch)
	n := 0
	poll := func(fd uintptr) bool {
		n, _ = unix.EpollWait(int(fd), events, 0) // interrupted: once more
		return n != 0
	}
	var room []*engine.Stream // whose sockets have some again
	for p.raw.Read(poll) == nil {
		for i := range max(n, 0) {
			if s := p.handle(&events[i]); s != nil {
				room = append(room, s)
			}
		}
		engine.Writable(room)
		clear(room) // do not keep closed streams
		room = room[:0]
	}
}

// handle passes on that a client left. It gives the stream whose socket has
// room again, nil where it is not that.
func (p *Sockets) handle(e *unix.EpollEvent) *engine.Stream {
	left := e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
	p.mu.Lock()
	var c *conn
	if int(e.Fd) < len(p.table) {
		c = p.table[e.Fd]
	}
	if c == nil || c.generation != uint32(e.Pad) { // of a connection before
		p.mu.Unlock()
		return nil
	}
	c.gone = c.gone || left
	started, lingers := c.started, c.lingers
	p.mu.Unlock()
	switch {
	case lingers && left:
		p.release(c)
	case lingers, !started:
	case left:
		c.stream.Leave()
	default:
		return c.stream
	}
	return nil
}

// finish lets go of a closed stream's connection: after its client's FIN when
// the answer is whole, else at once and so that the client cannot take it for
// whole.
func (p *Sockets) finish(c *conn, whole bool) {
	p.mu.Lock()
	if whole && !c.gone && unix.Shutdown(c.fd, unix.SHUT_WR) == nil {
		c.lingers = true
		time.AfterFunc(lingerTime, func() { p.release(c) })
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	if !whole {
		// What a stuck client has not taken is dropped.
		_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	p.release(c)
}

// release closes the descriptor, once: another connection may have its number
// right after.
func (p *Sockets) release(c *conn) {
	p.mu.Lock()
	mine := c.fd < len(p.table) && p.table[c.fd] == c
	if mine {
		p.table[c.fd] = nil
	}
	p.mu.Unlock()
	if mine {
		_ = unix.Close(c.fd) // nothing is left to write
	}
}
