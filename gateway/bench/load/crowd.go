//go:build linux

// Package load is the client side of the benchmark: crowds of subscribers on
// one epoll loop, publishers at a fixed rate or as fast as they are answered,
// and the events both know.
//
// It knows no server: requests come as bytes, and events are found by the
// stamp in their data. It is called by gateway/bench.
package load

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// Crowd is many subscribers, read by one goroutine, that count every event.
// Methods are safe for concurrent use unless they say otherwise.
type Crowd struct {
	poll  int
	buf   []byte
	conns []conn // grows by no append once the loop runs
	done  chan struct{}
	stop  atomic.Bool

	received, wireBytes, duplicates, opened, lost atomic.Uint64
	from                                          atomic.Uint64
	reached                                       atomic.Int64 // subscribers with an event since Reset

	mu      sync.Mutex // the loop holds it for one round of epoll
	latency *hdrhistogram.Histogram
	failure error
}

// Counts is what a crowd saw since Reset.
type Counts struct {
	Received   uint64 // events
	Duplicates uint64 // events that came twice
	WireBytes  uint64 // bytes read from sockets, heads and framing included
	Opened     uint64 // streams with a head, since the start
	Lost       uint64 // streams that the server ended, since the start
	Reached    int    // subscribers that got an event
}

const (
	readBytes     = 256 << 10
	maxLatency    = 120_000_000 // µs
	latencyDigits = 3
	pollMs        = 20
	// headsUnderWay bounds the streams that have no answer yet: a listener's
	// backlog is 4,096 and a full one costs a second.
	headsUnderWay = 1000
	openTimeout   = 20 * time.Second
)

// NewCrowd makes room for n subscribers and starts the loop.
func NewCrowd(n int) (*Crowd, error) {
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making an epoll: %w", err)
	}
	c := &Crowd{
		poll: poll, buf: make([]byte, readBytes), conns: make([]conn, n), done: make(chan struct{}),
		latency: NewHistogram(),
	}
	go c.loop()
	return c, nil
}

// NewHistogram is for times in microseconds up to two minutes, of three
// significant digits.
func NewHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, maxLatency, latencyDigits)
}

// Open connects subscribers [first, end) one after the other, each with its
// request. It returns when all requests are written; wait for Counts.Opened to
// know them answered. One call at a time.
func (c *Crowd) Open(server netip.AddrPort, first, end int, request func(i int) []byte) error {
	before := c.opened.Load() + c.lost.Load()
	for i := first; i < end; i++ {
		if err := c.waitForHeads(before + uint64(i-first)); err != nil {
			return err
		}
		fd, err := connect(server)
		if err != nil {
			return fmt.Errorf("connecting subscriber %d: %w", i, err)
		}
		if _, err := unix.Write(fd, request(i)); err != nil {
			return errors.Join(fmt.Errorf("asking for stream %d: %w", i, err), unix.Close(fd))
		}
		if err := c.add(i, fd); err != nil {
			return fmt.Errorf("watching stream %d: %w", i, err)
		}
	}
	return nil
}

// add gives a stream to the loop.
func (c *Crowd) add(i, fd int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns[i] = conn{fd: int32(fd), state: opening}
	return unix.EpollCtl(c.poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)})
}

func (c *Crowd) waitForHeads(asked uint64) error {
	for began := time.Now(); asked > c.opened.Load()+c.lost.Load()+headsUnderWay; time.Sleep(200 * time.Microsecond) {
		if time.Since(began) > openTimeout {
			return fmt.Errorf("only %d of %d streams were answered within %s", c.opened.Load(), asked, openTimeout)
		}
	}
	return nil
}

// connect opens a connection that is cut, not closed, in the end: ten thousand
// waiting for TIME_WAIT would use up the ports.
func connect(server netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = errors.Join(
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
	)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(server.Port()), Addr: server.Addr().As4()})
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// Stall makes a subscriber stop reading for good.
func (c *Crowd) Stall(i int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns[i].state = stalled
	return unix.EpollCtl(c.poll, unix.EPOLL_CTL_DEL, int(c.conns[i].fd), nil)
}

// Cut breaks a subscriber's connection. Its place may be opened again.
func (c *Crowd) Cut(i int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.conns[i]
	c.conns[i] = conn{}
	if s.state == absent || s.state == closed {
		return nil
	}
	return unix.Close(int(s.fd))
}

// Reset forgets what was counted; from now on events count whose number is
// from or more. Latencies too: earlier events are probes.
func (c *Crowd) Reset(from uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.from.Store(from)
	c.received.Store(0)
	c.duplicates.Store(0)
	c.wireBytes.Store(0)
	c.reached.Store(0)
	c.latency.Reset()
	for i := range c.conns {
		c.conns[i].events = 0
	}
}

// Counts gives the counters.
func (c *Crowd) Counts() Counts {
	return Counts{
		Received: c.received.Load(), Duplicates: c.duplicates.Load(), WireBytes: c.wireBytes.Load(),
		Opened: c.opened.Load(), Lost: c.lost.Load(), Reached: int(c.reached.Load()),
	}
}

// Latency is the histogram, in µs from sending to reading, as a copy, and the
// first thing that went wrong with a stream, if any.
func (c *Crowd) Latency() (*hdrhistogram.Histogram, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return hdrhistogram.Import(c.latency.Export()), c.failure
}

// Each calls f with the number of events that each subscriber got since Reset.
func (c *Crowd) Each(f func(i int, events uint32)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.conns {
		f(i, c.conns[i].events)
	}
}

// Close cuts all connections and ends the loop.
func (c *Crowd) Close() {
	c.stop.Store(true)
	<-c.done
	for i := range c.conns {
		if s := c.conns[i].state; s != absent && s != closed {
			_ = unix.Close(int(c.conns[i].fd)) // nothing is left to be lost
		}
	}
	_ = unix.Close(c.poll) // as above
}
