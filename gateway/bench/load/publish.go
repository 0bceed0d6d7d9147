//go:build linux

package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Target is how one server takes events.
type Target struct {
	Server netip.AddrPort
	// Path and Header (whole lines, each with CR LF) of a request for one
	// event to this channel.
	Path, Header func(channel string) string
	// Many builds the path, the header and the body of a request for several
	// events; nil = the server takes one at a time.
	Many func(body []byte, channels []string, data [][]byte) (path, header string, whole []byte)
}

// Publisher posts events over connections that are kept open, one request at a
// time on each. Times and numbers are stamped when a request is written.
type Publisher struct {
	target Target
	fill   Fill
	number atomic.Uint64 // of the newest event
	free   chan *line
	// Presses makes 429 no failure: what is refused is counted, and publishing
	// goes on at its pace, whatever the server asks for. Set before the first
	// request.
	Presses bool

	mu      sync.Mutex // guards what follows
	acks    *hdrhistogram.Histogram
	late    *hdrhistogram.Histogram
	failed  uint64
	refused uint64
	failure error
}

// Fill writes the data of event n, sent at that time in ns since 1970.
type Fill func(dst []byte, n uint64, at int64) []byte

// Published tells how publishing went since the start.
type Published struct {
	Events uint64 // numbered so far; the newest event has this number
	Failed uint64 // requests not answered 2xx, refused ones not among them
	// Refused are requests answered 429 where Publisher.Presses.
	Refused uint64
	Acks    *hdrhistogram.Histogram // µs from request to answer
	Late    *hdrhistogram.Histogram // µs that a request was behind its time
}

// line is one connection.
type line struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
	body []byte
}

const publishTimeout = 20 * time.Second

// NewPublisher opens so many connections to the target.
func NewPublisher(target Target, fill Fill, connections int) (*Publisher, error) {
	p := &Publisher{target: target, fill: fill, free: make(chan *line, connections), acks: NewHistogram(), late: NewHistogram()}
	for range connections {
		conn, err := net.Dial("tcp", target.Server.String())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("connecting a publisher: %w", err), p.Close())
		}
		p.free <- &line{conn: conn, in: bufio.NewReader(conn)}
	}
	return p, nil
}

// Next is the number of the next event.
func (p *Publisher) Next() uint64 { return p.number.Load() + 1 }

// Paced publishes count events, or groups of size events, at a fixed rate per
// second, to channel(0), channel(1), …; a request that finds no connection
// free is late, and the next ones do not wait for it. It returns when all are
// answered, or those under way when one of them has failed.
func (p *Publisher) Paced(ctx context.Context, perSecond float64, count, size int, channel func(i int) string) error {
	var under sync.WaitGroup
	defer under.Wait()
	began := time.Now()
	for i := range count {
		due := began.Add(time.Duration(float64(i) / perSecond * float64(time.Second)))
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		var l *line
		select {
		case l = <-p.free:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if p.Failure() != nil {
			p.free <- l
			break // what follows would take as long to fail
		}
		p.note(p.late, time.Since(due))
		under.Go(func() {
			p.send(l, size, func(k int) string { return channel(i*size + k) })
			p.free <- l
		})
	}
	under.Wait()
	return p.Failure()
}

// Flood publishes on all connections as fast as they are answered, groups of
// size events, until ctx ends or count events are published; it holds back
// while mayGo is false.
func (p *Publisher) Flood(ctx context.Context, count uint64, size int, channel func(i int) string, mayGo func() bool) error {
	var under sync.WaitGroup
	last := p.number.Load() + count
	for range cap(p.free) {
		l := <-p.free
		under.Go(func() {
			for i := 0; ctx.Err() == nil && p.number.Load() < last; i += size {
				if !mayGo() {
					time.Sleep(50 * time.Microsecond)
					continue
				}
				if !p.send(l, size, func(k int) string { return channel(i + k) }) {
					break
				}
			}
			p.free <- l
		})
	}
	under.Wait()
	return p.Failure()
}

// send publishes one group; false = it was not taken.
func (p *Publisher) send(l *line, size int, channel func(k int) string) bool {
	last := p.number.Add(uint64(size))
	began := time.Now()
	at := began.UnixNano()
	var path, header string
	if size == 1 {
		c := channel(0)
		path, header = p.target.Path(c), p.target.Header(c)
		l.body = p.fill(l.body[:0], last, at)
	} else {
		channels, data := make([]string, size), make([][]byte, size)
		for k := range size {
			channels[k], data[k] = channel(k), p.fill(nil, last-uint64(size-1-k), at)
		}
		path, header, l.body = p.target.Many(l.body[:0], channels, data)
	}
	l.out = fmt.Appendf(l.out[:0], "POST %s HTTP/1.1\r\nHost: bench\r\n%s", path, header)
	l.out = append(l.out, "Content-Length: "...)
	l.out = strconv.AppendInt(l.out, int64(len(l.body)), 10)
	l.out = append(append(l.out, "\r\n\r\n"...), l.body...)
	refused, err := l.exchange()
	p.note(p.acks, time.Since(began))
	switch {
	case refused && p.Presses:
		p.refuse()
		return true
	case err != nil:
		p.fail(fmt.Errorf("publishing: %w", err))
	}
	return err == nil
}

// exchange writes the request in out and reads its answer to the end; refused
// is true for 429, which is an error as well.
func (l *line) exchange() (refused bool, err error) {
	if err := l.conn.SetDeadline(time.Now().Add(publishTimeout)); err != nil {
		return false, err
	}
	if _, err := l.conn.Write(l.out); err != nil {
		return false, err
	}
	answer, err := http.ReadResponse(l.in, nil)
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode/100 != 2 {
		refused, err = answer.StatusCode == http.StatusTooManyRequests, fmt.Errorf("%s: %.300s", answer.Status, text)
	}
	return refused, err
}

func (p *Publisher) note(h *hdrhistogram.Histogram, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = h.RecordValue(min(max(d.Microseconds(), 1), maxLatency)) // in range, so no error
}

func (p *Publisher) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused++
}

func (p *Publisher) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed++
	if p.failure == nil {
		p.failure = err
	}
}

// Failure is the first request that was not taken.
func (p *Publisher) Failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failure
}

// Published gives what was counted, as a copy.
func (p *Publisher) Published() Published {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Published{
		Events: p.number.Load(), Failed: p.failed, Refused: p.refused,
		Acks: hdrhistogram.Import(p.acks.Export()), Late: hdrhistogram.Import(p.late.Export()),
	}
}

// Forget begins the histograms anew. Counts and numbers go on.
func (p *Publisher) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acks.Reset()
	p.late.Reset()
}

// Close cuts the connections. Nothing may be under way.
func (p *Publisher) Close() error {
	var err error
	for {
		select {
		case l := <-p.free:
			err = errors.Join(err, l.conn.Close())
		default:
			return err
		}
	}
}
