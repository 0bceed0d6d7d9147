//go:build linux

// Package floor is the least that any server of streams has to do: it reads a
// published event, answers, and writes it to every subscriber with one write(2)
// of shared bytes. Nothing is parsed that could be left out, nothing is kept
// but the newest events for a replay, and nobody is asked who he is.
//
// It is no server to be used: it is what other servers are compared with. It
// is called by gateway/cmd/bench, as a process of its own.
package floor

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Server is one floor: a thread, an epoll, and its sockets.
type Server struct {
	window   time.Duration
	poll     int
	listener int
	conns    map[int32]*conn
	channels map[string]*channel
	due      []*channel // with events that wait for the end of their window
	buf      []byte
	newest   uint64
}

// channel is who gets an event. pending is what its window gathered.
type channel struct {
	members []*conn
	pending []byte
	at      time.Time // end of the window
	kept    [][]byte  // newest frames, for a replay
}

type conn struct {
	fd     int32
	in     []byte // of a request that is not whole
	rest   []byte // what a socket did not take; while there is some, events pass by
	stream bool
}

const (
	backlog   = 4096
	readBytes = 1 << 20
	keptMax   = 1024 // frames of a channel
)

// New opens the port. window gathers the events of a channel before they are
// written; 0 writes each at once.
func New(at netip.AddrPort, window time.Duration) (*Server, error) {
	s := &Server{window: window, conns: map[int32]*conn{}, channels: map[string]*channel{}, buf: make([]byte, readBytes)}
	var err error
	if s.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("making an epoll: %w", err)
	}
	if s.listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return nil, fmt.Errorf("making a socket: %w", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(s.listener, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.Bind(s.listener, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}),
		unix.Listen(s.listener, backlog),
		s.watch(int32(s.listener), unix.EPOLLIN, unix.EPOLL_CTL_ADD),
	)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", at, err)
	}
	return s, nil
}

func (s *Server) watch(fd int32, events uint32, how int) error {
	return unix.EpollCtl(s.poll, how, int(fd), &unix.EpollEvent{Events: events, Fd: fd})
}

// Run serves until the process ends or epoll fails.
func (s *Server) Run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	events := make([]unix.EpollEvent, 512)
	for {
		n, err := unix.EpollWait(s.poll, events, s.wait())
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("waiting for sockets: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			switch {
			case e.Fd == int32(s.listener):
				s.accept()
			case e.Events&unix.EPOLLOUT != 0:
				s.resume(s.conns[e.Fd])
			default:
				s.read(s.conns[e.Fd])
			}
		}
		s.flushDue()
	}
}

// wait is the time to the end of the next window in ms, rounded up; -1 when
// there is none.
func (s *Server) wait() int {
	if len(s.due) == 0 {
		return -1
	}
	return int(max((time.Until(s.due[0].at)+time.Millisecond-1)/time.Millisecond, 0))
}

func (s *Server) flushDue() {
	for len(s.due) > 0 && time.Until(s.due[0].at) <= 0 {
		c := s.due[0]
		s.due = s.due[1:]
		s.write(c, chunk(c.pending))
		c.pending = nil
	}
}

func (s *Server) accept() {
	for {
		fd, _, err := unix.Accept4(s.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return // none is left, or it is gone again
		}
		c := &conn{fd: int32(fd)}
		if errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), s.watch(c.fd, unix.EPOLLIN, unix.EPOLL_CTL_ADD)) != nil {
			_ = unix.Close(fd) // nobody to tell: the client sees it
			continue
		}
		s.conns[c.fd] = c
	}
}

func (s *Server) read(c *conn) {
	if c == nil {
		return // closed in this round
	}
	n, err := unix.Read(int(c.fd), s.buf)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return
	case n <= 0:
		s.drop(c)
		return
	}
	c.in = append(c.in, s.buf[:n]...)
	for {
		r, rest, ok := parse(c.in)
		if !ok {
			break
		}
		s.serve(c, r)
		c.in = rest
	}
	if len(c.in) == 0 {
		c.in = nil // ten thousand idle ones keep nothing
	}
}

func (s *Server) drop(c *conn) {
	delete(s.conns, c.fd)
	c.stream = false
	_ = unix.Close(int(c.fd)) // the client is gone
	for _, ch := range s.channels {
		for i, m := range ch.members {
			if m == c {
				ch.members[i] = ch.members[len(ch.members)-1]
				ch.members = ch.members[:len(ch.members)-1]
				break
			}
		}
	}
}
