//go:build linux

package load

import (
	"errors"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loop reads all subscribers until Close.
func (c *Crowd) loop() {
	defer close(c.done)
	runtime.LockOSThread() // so that the kernel, and not Go, shares the core with publishers
	defer runtime.UnlockOSThread()
	events := make([]unix.EpollEvent, 512)
	for !c.stop.Load() {
		n, err := unix.EpollWait(c.poll, events, pollMs)
		if err != nil && !errors.Is(err, unix.EINTR) {
			c.fail(err)
			return
		}
		c.mu.Lock()
		for _, e := range events[:max(n, 0)] {
			c.read(&c.conns[e.Fd])
		}
		c.mu.Unlock()
	}
}

func (c *Crowd) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure == nil {
		c.failure = err
	}
}

// read takes what there is, at most one buffer of it, so that a busy stream
// does not keep others waiting.
func (c *Crowd) read(s *conn) {
	if s.state != opening && s.state != streaming {
		return // it was stalled or cut in this round
	}
	n, errno := rawRead(int(s.fd), c.buf)
	now := time.Now().UnixNano()
	if n <= 0 {
		if errno != unix.EAGAIN && errno != unix.EINTR {
			c.drop(s)
		}
		return
	}
	c.wireBytes.Add(uint64(n))
	was := s.state
	got := uint64(0)
	err := s.feed(c.buf[:n], func(e stamp) { got += c.count(s, e, now) })
	if was == opening && s.state == streaming {
		c.opened.Add(1)
	}
	if got > 0 {
		if s.events == 0 {
			c.reached.Add(1)
		}
		s.events += uint32(got)
		c.received.Add(got)
	}
	if err != nil {
		if c.failure == nil {
			c.failure = err
		}
		c.drop(s)
	}
}

// count notes one event; it gives 1 when the event counts.
func (c *Crowd) count(s *conn, e stamp, now int64) uint64 {
	repeated := s.seen.repeats(e.n)
	if e.n < c.from.Load() {
		return 0
	}
	if repeated {
		c.duplicates.Add(1)
		return 0
	}
	_ = c.latency.RecordValue(min(max((now-e.at)/1000, 1), maxLatency)) // in range, so no error
	return 1
}

func (c *Crowd) drop(s *conn) {
	s.state = closed
	c.lost.Add(1)
	_ = unix.Close(int(s.fd)) // the server closed it already
}

// rawRead reads without telling the scheduler: the descriptor cannot block.
func rawRead(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), 0
}
