//go:build linux

package load

import (
	"bufio"
	"bytes"
	"compress/gzip"
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

// Inflaters are a few subscribers that take compressed streams and decode
// them: dear for the client, so there are no crowds of them.
type Inflaters struct {
	conns []net.Conn
	under sync.WaitGroup

	received, wireBytes, compressed, from atomic.Uint64

	mu      sync.Mutex // guards what follows
	latency *hdrhistogram.Histogram
	failure error
}

// Inflate opens n streams with a request each; the request should accept gzip.
func Inflate(server netip.AddrPort, n int, request func(i int) []byte) (*Inflaters, error) {
	f := &Inflaters{latency: NewHistogram()}
	for i := range n {
		conn, err := net.Dial("tcp", server.String())
		if err == nil {
			f.conns = append(f.conns, conn)
			_, err = conn.Write(request(i))
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("opening stream %d: %w", i, err)
		}
		f.under.Go(func() { f.fail(f.read(conn)) })
	}
	return f, nil
}

func (f *Inflaters) read(conn net.Conn) error {
	answer, err := http.ReadResponse(bufio.NewReader(countingReader{conn, &f.wireBytes}), nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errRefused, answer.Status)
	}
	var body io.Reader = answer.Body
	if answer.Header.Get("Content-Encoding") == "gzip" {
		f.compressed.Add(1)
		if body, err = gzip.NewReader(body); err != nil {
			return fmt.Errorf("reading a gzip header: %w", err)
		}
	}
	var found scanner
	for buf := make([]byte, 16<<10); ; {
		n, err := body.Read(buf)
		now := time.Now().UnixNano()
		found.scan(buf[:n], func(e stamp) { f.count(e, now) })
		if err != nil {
			return fmt.Errorf("reading a stream: %w", err)
		}
	}
}

func (f *Inflaters) count(e stamp, now int64) {
	if e.n < f.from.Load() {
		return
	}
	f.received.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.latency.RecordValue(min(max((now-e.at)/1000, 1), maxLatency)) // in range, so no error
}

func (f *Inflaters) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failure == nil && !errors.Is(err, net.ErrClosed) {
		f.failure = err
	}
}

// Reset forgets what was counted; events below from do not count any more.
func (f *Inflaters) Reset(from uint64) {
	f.from.Store(from)
	f.received.Store(0)
	f.wireBytes.Store(0)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latency.Reset()
}

// Latency is the histogram, in µs from sending to having decoded, as a copy.
func (f *Inflaters) Latency() *hdrhistogram.Histogram {
	f.mu.Lock()
	defer f.mu.Unlock()
	return hdrhistogram.Import(f.latency.Export())
}

// Received is the events that were decoded, the bytes they came in, and how
// many streams were compressed; and the first thing that went wrong.
func (f *Inflaters) Received() (events, wireBytes, compressed uint64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.received.Load(), f.wireBytes.Load(), f.compressed.Load(), f.failure
}

// Await waits until so many events were decoded; false = they were not.
func (f *Inflaters) Await(events uint64, longest time.Duration) bool {
	for end := time.Now().Add(longest); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if f.received.Load() >= events {
			return true
		}
	}
	return f.received.Load() >= events
}

// Close cuts all streams.
func (f *Inflaters) Close() {
	for _, c := range f.conns {
		c.Close()
	}
	f.under.Wait()
}

// AcceptGzip gives a request that accepts gzip besides.
func AcceptGzip(request []byte) []byte {
	return bytes.Replace(request, []byte("\r\n\r\n"), []byte("\r\nAccept-Encoding: gzip\r\n\r\n"), 1)
}
