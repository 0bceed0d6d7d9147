package transport

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// textbook is the broadcaster that most people write first: a channel for each
// client, every event formatted, written and flushed for each of them.
type textbook struct {
	mu      sync.Mutex
	clients map[chan string]struct{}
}

func (b *textbook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	events := make(chan string, 1024)
	b.mu.Lock()
	b.clients[events] = struct{}{}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.clients, events)
		b.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush()
	for id := 1; ; id++ {
		select {
		case data := <-events:
			fmt.Fprintf(w, "id: %d\nsg: a %d\ndata: %s\n\n", id, time.Now().UnixMilli(), data)
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func (b *textbook) publish(data string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.clients {
		c <- data
	}
}

// crowd is many raw connections that count the events they get.
type crowd struct {
	conns []net.Conn
	got   atomic.Int64
}

func newCrowd(b *testing.B, url string, n int) *crowd {
	c := &crowd{}
	host, path, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	for range n {
		conn, err := net.Dial("tcp", host)
		if err != nil {
			b.Fatal(err)
		}
		c.conns = append(c.conns, conn)
		if _, err := fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host); err != nil {
			b.Fatal(err)
		}
		in := bufio.NewReaderSize(conn, 64<<10)
		if _, err := http.ReadResponse(in, nil); err != nil {
			b.Fatal(err)
		}
		go c.read(in)
	}
	return c
}

func (c *crowd) read(in *bufio.Reader) {
	for {
		if _, err := in.Peek(1); err != nil {
			return
		}
		bytesIn, _ := in.Peek(in.Buffered())
		// Chunks never split a line that counts at its newline.
		c.got.Add(int64(bytes.Count(bytesIn, []byte("\nsg: a "))))
		keep := 0
		if at := bytes.LastIndexByte(bytesIn, '\n'); at >= 0 && len(bytesIn)-at < len("\nsg: a ") {
			keep = len(bytesIn) - at // the marker may go on in the next read
		}
		if keep == len(bytesIn) {
			if _, err := in.Peek(keep + 1); err != nil {
				return
			}
			continue
		}
		_, _ = in.Discard(len(bytesIn) - keep)
	}
}

func (c *crowd) wait(b *testing.B, n int64) {
	for deadline := time.Now().Add(time.Minute); c.got.Load() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("%d of %d events arrived", c.got.Load(), n)
		}
	}
}

func (c *crowd) close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAgainstTheTextbook publishes an event every 5 ms to 1,000 streams
// over loopback and gives the processor time per delivery, of gateway and
// clients together, since they share a process, and how much cheaper than the
// textbook that is. Batching is the default one, and none.
func BenchmarkAgainstTheTextbook(b *testing.B) {
	const streams, events = 1000, 400
	data := `{"amount":1299,"currency":"EUR","customer":"c-000001"}`
	var reference float64
	run := func(b *testing.B, url string, publish func()) (cost float64) {
		c := newCrowd(b, url, streams)
		defer c.close()
		publish()
		c.wait(b, streams) // everyone is there
		for b.Loop() {
			before, already := cpuTime(), c.got.Load()
			for range events {
				publish()
				time.Sleep(5 * time.Millisecond)
			}
			c.wait(b, already+streams*events)
			cost = float64((cpuTime() - before).Nanoseconds()) / (streams * events)
		}
		b.ReportMetric(cost, "cpu-ns/delivery")
		return cost
	}
	b.Run("textbook", func(b *testing.B) {
		t := &textbook{clients: map[chan string]struct{}{}}
		server := httptest.NewServer(t)
		defer server.Close()
		defer server.CloseClientConnections()
		reference = run(b, server.URL+"/", func() { t.publish(data) })
	})
	for _, c := range []struct {
		name, transport string
		window          time.Duration
	}{
		{"gateway", "sockets", 50 * time.Millisecond},
		{"gatewayWithoutBatching", "sockets", 0},
		{"generic", "generic", 50 * time.Millisecond},
		{"genericWithoutBatching", "generic", 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := newPod(b, func(tun *engine.Tuning) { tun.Batching.Window = c.window })
			url := p.serve(b, c.transport)
			cost := run(b, url+"?channels=a", func() { p.publish(wire.Event{Channel: "a", Data: []byte(data)}) })
			b.ReportMetric(reference/cost, "times-cheaper")
		})
	}
}
