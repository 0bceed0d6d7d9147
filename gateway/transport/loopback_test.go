package transport

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/transport/netio"
)

// transports are the ways a stream is served; what clients see is the same.
var transports = []string{"generic", "sockets"}

// onBoth runs a test over both.
func onBoth(t *testing.T, test func(t *testing.T, transport string)) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) { test(t, transport) })
	}
}

// serve puts a pod on loopback. Streams end before the server is closed.
func (p *pod) serve(t testing.TB, transport string) (url string) {
	return p.serveBehind(t, transport, p)
}

// serveBehind is serve with a handler before the streams.
func (p *pod) serveBehind(t testing.TB, transport string, handler http.Handler) (url string) {
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnContext = netio.ShortQueue
	if transport == "sockets" {
		sockets, err := netio.NewSockets()
		if err != nil {
			t.Fatal(err)
		}
		p.sockets = sockets
		t.Cleanup(sockets.Close)
		t.Cleanup(p.stop)
	}
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL + Base + "/stream"
}

// reader is a client by the book: it keeps the id of the last whole frame.
type reader struct {
	url    string
	lastID string
	client *http.Client
}

func newReader(url string) *reader {
	return &reader{url: url, client: &http.Client{Transport: &http.Transport{DisableCompression: true}}}
}

// read opens a stream where the last one ended, and calls frame with each
// frame's fields until that says no, or the stream ends.
func (r *reader) read(ctx context.Context, frame func(fields map[string]string) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return err
	}
	q.Header.Set("Last-Event-ID", r.lastID)
	answer, err := r.client.Do(q)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", answer.StatusCode)
	}
	lines := bufio.NewReader(answer.Body)
	fields := map[string]string{}
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if line != "\n" {
			fields[name] += strings.TrimPrefix(value, " ")
			continue
		}
		if id, ok := fields["id"]; ok {
			r.lastID = id
		}
		if !frame(fields) {
			return nil
		}
		fields = map[string]string{}
	}
}

func seqsOf(fields map[string]string, format string) (seqs []uint64, err error) {
	if fields["data"] == "" || strings.HasPrefix(fields["event"], "sg.") {
		return nil, nil
	}
	if format == "plain" {
		c, err := wire.ParseCursor(fields["id"])
		return []uint64{c.Seq}, err
	}
	var elements []struct {
		Seq uint64 `json:"seq"`
	}
	err = json.Unmarshal([]byte(fields["data"]), &elements)
	for _, e := range elements {
		seqs = append(seqs, e.Seq)
	}
	return seqs, err
}

// TestStreamsCutAtRandomMissNothingAndGetNothingTwice breaks streams off 200
// times while events are published, at random moments and in the middle of
// frames. Every client comes back with the id it has, and in the end has
// every event of its channels exactly once, in order.
func TestStreamsCutAtRandomMissNothingAndGetNothingTwice(t *testing.T) {
	onBoth(t, testCuts)
}

func testCuts(t *testing.T, transport string) {
	const clients, cuts = 10, 20 // each
	p := newPod(t)
	url := p.serve(t, transport)
	publishing, stop := context.WithCancel(t.Context())
	published := make(chan uint64)
	go func() {
		var last uint64
		for publishing.Err() == nil {
			last = p.publish(
				wire.Event{Channel: "a", Data: []byte(`{"n":1}`)}, wire.Event{Channel: "other"},
				wire.Event{Channel: "b.c", Data: []byte(`"` + strings.Repeat("x", 500) + `"`)})
			time.Sleep(500 * time.Microsecond)
		}
		published <- last
	}()
	results := make(chan error, clients)
	var cutting sync.WaitGroup // a client that has everything waits for more before it is cut
	cutting.Add(clients)
	var head atomic.Uint64
	for i := range clients {
		format := []string{"plain", "array"}[i%2]
		r := newReader(url + "?channels=a,b.>&cursor=earliest&format=" + format)
		random := rand.New(rand.NewPCG(uint64(i), 7))
		go func() { results <- cutAndCount(t.Context(), r, format, cuts, random, cutting.Done, &head) }()
	}
	cutting.Wait()
	stop()
	head.Store(<-published)
	for range clients {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	stats := p.engine.Stats()
	t.Logf("%d events, %d streams, %d resumes, %d events replayed, %d delivered", head.Load(),
		stats.Connections.Opened, stats.Resumes.Complete, stats.Events.Replayed, stats.Events.Delivered)
	if stats.Resumes.Complete != clients*cuts || stats.Resumes.Reset+stats.Resumes.Partial != 0 || stats.Slow.Gaps != 0 {
		t.Errorf("resumes %+v, gaps %d", stats.Resumes, stats.Slow.Gaps)
	}
}

// cutAndCount reads up to head, once that is known, and breaks off so many
// times before, which it tells. Of every three events the middle one is not for
// it.
func cutAndCount(ctx context.Context, r *reader, format string, cuts int, random *rand.Rand, cut func(), head *atomic.Uint64) error {
	done := sync.OnceFunc(cut)
	defer done()
	want := uint64(1) // next seq to come
	var failure error
	take := func(fields map[string]string) bool {
		seqs, err := seqsOf(fields, format)
		if err != nil {
			failure = err
		}
		if fields["event"] == wire.ControlReset || fields["event"] == wire.ControlGap {
			failure = fmt.Errorf("unexpected %v", fields)
		}
		for _, seq := range seqs {
			if seq != want {
				failure = fmt.Errorf("got %d, want %d", seq, want)
			}
			if want++; want%3 == 2 {
				want++
			}
		}
		return failure == nil
	}
	for range cuts {
		piece, cancel := context.WithTimeout(ctx, patience)
		// The cut comes at any moment after the first position.
		arm := sync.OnceFunc(func() { time.AfterFunc(time.Duration(random.IntN(100))*time.Millisecond, cancel) })
		_ = r.read(piece, func(fields map[string]string) bool {
			if fields["id"] != "" {
				arm()
			}
			return take(fields)
		})
		cancel()
		if failure != nil {
			return failure
		}
	}
	done()
	end, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := r.read(end, func(fields map[string]string) bool {
		return take(fields) && (head.Load() == 0 || want <= head.Load())
	})
	if failure != nil {
		return failure
	}
	return err
}

// TestASlowClientDelaysNobody fills the socket of a client that does not read,
// and measures another, event by event: each is published when the one before
// has come, so that none waits for the reader itself. It is the median that has
// to be short: what a busy machine holds up now and then is not the stuck client.
func TestASlowClientDelaysNobody(t *testing.T) { onBoth(t, testSlowClient) }

func testSlowClient(t *testing.T, transport string) {
	p := newPod(t, func(tun *engine.Tuning) {
		tun.Queue.MaxEvents = 200
		tun.Batching.Window = 0
		tun.Connections.WriteTimeout = 3 * time.Second
	})
	url := p.serve(t, transport)
	stuck := openStuck(t, url+"?channels=a")
	const events = 1000
	ready, came := make(chan struct{}), make(chan time.Time, events)
	go func() {
		n := 0
		err := newReader(url+"?channels=a").read(t.Context(), func(fields map[string]string) bool {
			switch {
			case fields["event"] == wire.ControlCaughtUp:
				close(ready)
			case fields["sg"] != "":
				came <- time.Now()
				n++
			}
			return n < events
		})
		if err != nil {
			t.Error(err)
		}
	}()
	<-ready
	took := make([]time.Duration, events)
	data := []byte(`"` + strings.Repeat("x", 8<<10) + `"`) // all of them fill any socket buffer
	for i := range took {
		sent := time.Now()
		p.publish(wire.Event{Channel: "a", Data: data})
		took[i] = (<-came).Sub(sent)
	}
	slices.Sort(took)
	t.Logf("beside a stuck client an event takes %v, %v at most", took[events/2], took[events-1])
	if took[events/2] > 500*time.Millisecond {
		t.Errorf("an event takes %v", took[events/2])
	}
	stats := p.engine.Stats()
	if stats.Slow.Detected == 0 || stats.Events.Dropped == 0 {
		t.Errorf("the stuck client was not noticed: %+v", stats.Slow)
	}
	await(t, "the end of the stuck client, after connections.writeTimeout", func() bool { return p.engine.Stats().Connections.Ended["timeout"] > 0 })
	_ = stuck.Close()
}

// openStuck opens a stream on a socket of small buffers and reads none of it.
func openStuck(t *testing.T, url string) net.Conn {
	host, path, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestStreamsLeaveNothingBehind ends streams in every way and counts
// goroutines and what the pod still counts.
func TestStreamsLeaveNothingBehind(t *testing.T) { onBoth(t, testNothingLeft) }

func testNothingLeft(t *testing.T, way string) {
	p := newPod(t)
	url := p.serve(t, way)
	before := runtime.NumGoroutine()
	transport := &http.Transport{}
	for i := range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"?channels=a", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := transport.RoundTrip(q)
		if err != nil {
			t.Fatal(err)
		}
		p.publish(wire.Event{Channel: "a"})
		if i%2 == 0 {
			cancel()
		} else {
			p.engine.Flags(engine.Flags{Revision: int64(i), Of: func(engine.Identity) (map[string]bool, *wire.End) {
				return nil, &wire.End{Reason: wire.EndFlagOff}
			}})
			if _, err := io.Copy(io.Discard, answer.Body); err != nil {
				t.Errorf("a stream that the gateway ended is not whole: %v", err)
			}
			p.engine.Flags(engine.Flags{Of: func(engine.Identity) (map[string]bool, *wire.End) { return nil, nil }})
			cancel()
		}
		_ = answer.Body.Close()
	}
	transport.CloseIdleConnections()
	deadline := time.Now().Add(patience)
	for {
		active, _, _ := p.limits.Counts()
		stats := p.engine.Stats()
		if runtime.NumGoroutine() <= before && active == 0 && stats.Connections.Active == 0 && stats.Subscriptions.Groups == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before; %d streams counted, %d in the engine", runtime.NumGoroutine(), before, active, stats.Connections.Active)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
