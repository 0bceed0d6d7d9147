//go:build linux

package load

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Pollers are clients that ask again and again for what is new.
type Pollers struct {
	server  netip.AddrPort
	request func(i int, cursor string) []byte
	every   time.Duration // 0 = again at once: long-polls

	requests, received, up, down atomic.Uint64
	from                         atomic.Uint64
	under                        sync.WaitGroup
	stop                         context.CancelFunc

	mu      sync.Mutex // guards what follows
	latency *hdrhistogram.Histogram
	failure error
}

// Polled is what pollers did since Reset.
type Polled struct {
	Requests, Received uint64
	Up, Down           uint64 // bytes
	Latency            *hdrhistogram.Histogram
}

// page is as much of an answer as a client needs to ask again.
type page struct {
	Cursor string `json:"cursor"`
	More   bool   `json:"more"`
}

// Poll starts n clients, spread evenly over the first interval. They know their
// cursor from a first request each, made at once.
func Poll(ctx context.Context, server netip.AddrPort, n int, every time.Duration, request func(i int, cursor string) []byte) *Pollers {
	ctx, stop := context.WithCancel(ctx)
	p := &Pollers{server: server, request: request, every: every, stop: stop, latency: NewHistogram()}
	for i := range n {
		p.under.Go(func() {
			if err := p.client(ctx, i, every*time.Duration(i)/time.Duration(n)); err != nil && ctx.Err() == nil {
				p.fail(fmt.Errorf("client %d: %w", i, err))
			}
		})
	}
	return p
}

func (p *Pollers) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure == nil {
		p.failure = err
	}
}

func (p *Pollers) client(ctx context.Context, i int, phase time.Duration) error {
	conn, err := net.Dial("tcp", p.server.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in, cursor := bufio.NewReader(countingReader{conn, &p.down}), ""
	for wait := phase; ; wait = p.every {
		for more := true; more; {
			got, err := p.ask(conn, in, i, cursor)
			if err != nil {
				return err
			}
			cursor, more = got.Cursor, got.More
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *Pollers) ask(conn net.Conn, in *bufio.Reader, i int, cursor string) (page, error) {
	request := p.request(i, cursor)
	p.requests.Add(1)
	p.up.Add(uint64(len(request)))
	if _, err := conn.Write(request); err != nil {
		return page{}, err
	}
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return page{}, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return page{}, err
	}
	if answer.StatusCode != http.StatusOK {
		return page{}, fmt.Errorf("%w: %s: %.200s", errRefused, answer.Status, text)
	}
	p.count(text, time.Now().UnixNano())
	var got page
	if err := json.Unmarshal(text, &got); err != nil {
		return got, fmt.Errorf("reading an answer: %w", err)
	}
	if got.Cursor == "" {
		return got, errors.New("an answer without a cursor")
	}
	return got, nil
}

func (p *Pollers) count(text []byte, now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	new(scanner).scan(text, func(e stamp) {
		if e.n >= p.from.Load() {
			p.received.Add(1)
			_ = p.latency.RecordValue(min(max((now-e.at)/1000, 1), maxLatency)) // in range, so no error
		}
	})
}

// Reset forgets what was counted; events below from do not count any more.
func (p *Pollers) Reset(from uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.from.Store(from)
	for _, c := range []*atomic.Uint64{&p.requests, &p.received, &p.up, &p.down} {
		c.Store(0)
	}
	p.latency.Reset()
}

// Polled gives what was counted, and the first thing that went wrong.
func (p *Pollers) Polled() (Polled, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Polled{
		Requests: p.requests.Load(), Received: p.received.Load(), Up: p.up.Load(), Down: p.down.Load(),
		Latency: hdrhistogram.Import(p.latency.Export()),
	}, p.failure
}

// Close ends all clients.
func (p *Pollers) Close() {
	p.stop()
	p.under.Wait()
}

type countingReader struct {
	from io.Reader
	sum  *atomic.Uint64
}

func (c countingReader) Read(b []byte) (int, error) {
	n, err := c.from.Read(b)
	c.sum.Add(uint64(max(n, 0)))
	return n, err
}
