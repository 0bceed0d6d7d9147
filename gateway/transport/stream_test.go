package transport

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/fanout"
	"github.com/streamgateway/streamgateway/gateway/engine/ring"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/limit"
)

var update = flag.Bool("update", false, "rewrite testdata/*.sse")

const testEpoch = "k3f9x2"

func testTuning() engine.Tuning {
	return engine.Tuning{
		Batching: fanout.Batching{Window: 50 * time.Millisecond, MaxEvents: 100, MaxBytes: 256 << 10},
		Queue:    fanout.Queue{MaxEvents: 10000, MaxBytes: 8 << 20, MaxLag: 30 * time.Second, SlowConsumerPolicy: fanout.PolicyDropWithGap},
		Replay:   ring.Replay{Mode: "Enabled", TTL: 5 * time.Minute, MaxBytes: 256 << 20},
		Connections: fanout.Connections{
			MaxPerPod: 10000, MaxSubscriptions: 100, MaxPatterns: 32, Heartbeat: 15 * time.Second,
			WriteTimeout: 30 * time.Second, MaxAge: 2 * time.Hour, Retry: 3 * time.Second, RetryJitterPercent: 50, LongPollTimeout: 25 * time.Second,
		},
		Compression: fanout.Compression{Mode: "Auto", Level: "Fastest", MinBytes: 256},
	}
}

// pod is a handler of streams over an engine of its own.
type pod struct {
	*Streams
	engine *engine.Engine
	limits *limit.Streams
	rights *auth.Subscriber
	stop   func() // closes the engine
	mu     sync.Mutex
	seq    uint64
}

func newPod(t testing.TB, tune ...func(*engine.Tuning)) *pod {
	tun := testTuning()
	for _, f := range tune {
		f(&tun)
	}
	e := engine.New(engine.Options{
		Epoch: testEpoch, Durability: "memory", Loops: 2, Rand: rand.New(rand.NewPCG(1, 2)),
		Buckets: 1, Bucket: func(float64) int { return 0 },
	}, tun)
	stop := sync.OnceFunc(e.Close)
	t.Cleanup(stop)
	limits := limit.NewStreams(limit.Most{PerPod: tun.Connections.MaxPerPod, PerAddress: tun.Connections.MaxPerAddress})
	rights := everybody()
	return &pod{rights: rights, Streams: NewStreams(e, rights, limits, limit.NewGate(8), nil, "pod-0", Connections(tun.Connections)), engine: e, limits: limits, stop: stop}
}

func (p *pod) publish(events ...wire.Event) (last uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	records := make([]wire.Record, len(events))
	for i, e := range events {
		p.seq++
		e.Time = time.Now().UnixMilli()
		records[i] = wire.Record{Event: e, Seq: p.seq}
	}
	p.engine.Append(records)
	return p.seq
}

// recorder is a response in memory that can be flushed and given a deadline.
type recorder struct {
	header http.Header
	mu     sync.Mutex
	status int
	body   strings.Builder
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) { r.status = status }

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.body.Write(b)
}

func (r *recorder) FlushError() error { return nil }

func (r *recorder) SetWriteDeadline(time.Time) error { return nil }

// transcript is the answer as it stands in testdata, without what is random.
func (r *recorder) transcript() string {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\n", r.status, http.StatusText(r.status))
	names := make([]string, 0, len(r.header))
	for name := range r.header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(r.header[name], ", "))
	}
	r.mu.Lock()
	b.WriteString("\n" + r.body.String())
	r.mu.Unlock()
	sid := regexp.MustCompile(`([0-9a-f]{8})\.[A-Za-z0-9_-]{22}`)
	return sid.ReplaceAllString(b.String(), "$1.<22 random characters>")
}

// get asks for a stream in a bubble and gives a way to end it.
func (p *pod) get(t *testing.T, query string, header ...string) (r *recorder, leave func()) {
	return openStream(t, p, query, header...)
}

func openStream(t *testing.T, h http.Handler, query string, header ...string) (r *recorder, leave func()) {
	ctx, cancel := context.WithCancel(t.Context())
	q := httptest.NewRequestWithContext(ctx, http.MethodGet, Base+"/stream?"+query, nil)
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	r = &recorder{header: http.Header{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }() // ErrAbortHandler, when the client leaves first
		h.ServeHTTP(r, q)
	}()
	synctest.Wait()
	return r, func() { cancel(); <-done }
}

// TestTranscripts pins the bytes of whole answers. The browser client reads the
// same files.
func TestTranscripts(t *testing.T) {
	invoice := wire.Event{Channel: "revenue.eu", ID: "inv-991", Type: "revenue.created", Data: []byte(`{"amount": 1299, "currency": "EUR"}`)}
	order := wire.Event{Channel: "orders.77", ID: "o77-3", Data: []byte(`{"status":"paid"}`)}
	text := wire.Event{Channel: "orders.77", Data: []byte("two\r\nlines"), Kind: wire.Text}
	binary := wire.Event{Channel: "orders.77", Data: []byte{0, 10, 255}, Kind: wire.Binary}
	live := func(p *pod) {
		p.publish(invoice)
		p.publish(wire.Event{Channel: "other"})
		p.publish(order, text, binary)
		time.Sleep(20 * time.Second)
	}
	for _, c := range []struct {
		name, query string
		header      []string
		before      func(*pod)
		during      func(*pod)
	}{
		{name: "plain", query: "channels=revenue.*,orders.77", during: live},
		{name: "typed", query: "channels=revenue.*,orders.77&format=typed", during: live},
		{name: "envelope", query: "channels=revenue.*,orders.77&format=envelope", during: live},
		{name: "array", query: "channels=revenue.*&channels=orders.77&format=array", during: live},
		{name: "resume", query: "channels=orders.77&cursor=now", header: []string{"Last-Event-ID", testEpoch + ".1"}, before: live},
		{name: "last", query: "channels=orders.77&last=2", before: live},
		{name: "reset-epoch", query: "channels=orders.77&cursor=zzzz.7", before: live},
		{name: "reset-malformed", query: "channels=orders.77", header: []string{"Last-Event-ID", "17"}, before: live},
		{name: "pad", query: "channels=orders.77&pad=1"},
		{name: "drain", query: "channels=orders.77", during: func(p *pod) {
			_ = p.engine.Drain(context.Background(), engine.Drain{Reason: wire.DrainRollout, Spread: 10 * time.Second, Timeout: 30 * time.Second})
		}},
		{name: "end", query: "channels=orders.77", during: func(p *pod) {
			p.engine.Flags(engine.Flags{Revision: 1, Of: func(engine.Identity) (map[string]bool, *wire.End) {
				return map[string]bool{"unifiedStream": false}, &wire.End{Reason: wire.EndFlagOff, Status: 503}
			}})
			synctest.Wait()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPod(t)
				if c.before != nil {
					c.before(p)
				}
				r, leave := p.get(t, c.query, c.header...)
				if c.during != nil {
					c.during(p)
				}
				leave()
				golden(t, c.name+".sse", r.transcript())
			})
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update and read the difference. Got:\n%s", path, got)
	}
}

func TestRefusalsThatAreMeantAreRealStatuses(t *testing.T) {
	p := newPod(t)
	long := strings.Repeat("x", 9000)
	many := make([]string, 101)
	patterns := make([]string, 33)
	for i := range many {
		many[i] = fmt.Sprintf("c%d", i)
	}
	for i := range patterns {
		patterns[i] = fmt.Sprintf("c%d.>", i)
	}
	for _, c := range []struct {
		name, query, accept string
		status              int
		kind                string
	}{
		{"no channels", "", "", 400, KindInvalidParameter},
		{"empty channels", "channels=", "", 400, KindInvalidParameter},
		{"bad channel", "channels=a,b..c", "", 400, KindInvalidChannel},
		{"reserved channel", "channels=$sg.x", "", 400, KindInvalidChannel},
		{"empty name in the list", "channels=a,,b", "", 400, KindInvalidChannel},
		{"too many channels", "channels=" + strings.Join(many, ","), "", 422, KindTooManySubscriptions},
		{"too many patterns", "channels=" + strings.Join(patterns, ","), "", 422, KindTooManySubscriptions},
		{"bad cursor", "channels=a&cursor=17", "", 400, KindInvalidCursor},
		{"bad last", "channels=a&last=101", "", 400, KindInvalidParameter},
		{"bad format", "channels=a&format=xml", "", 400, KindInvalidParameter},
		{"bad pad", "channels=a&pad=2", "", 400, KindInvalidParameter},
		{"bad errors", "channels=a&errors=loud", "", 400, KindInvalidParameter},
		{"bad query", "channels=%zz", "", 400, KindInvalidParameter},
		{"too long", "channels=a&x=" + long, "", 414, KindURITooLong},
		{"wants JSON", "channels=a", "application/json", 406, KindNotAcceptable},
		{"refuses events", "channels=a", "text/event-stream;q=0", 406, KindNotAcceptable},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := httptest.NewRequest(http.MethodGet, Base+"/stream?"+c.query, nil)
			if c.accept != "" {
				q.Header.Set("Accept", c.accept)
			}
			w := httptest.NewRecorder()
			p.ServeHTTP(w, q)
			if w.Code != c.status || !strings.Contains(w.Body.String(), problemType+c.kind+`"`) {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, c.status, c.kind)
			}
		})
	}
}

func TestTransientRefusalsAreToldInsideTheStreamToAnEventSource(t *testing.T) {
	p := newPod(t, func(tun *engine.Tuning) { tun.Connections.MaxPerPod, tun.Connections.MaxPerAddress = 2, 1 })
	ask := func(query, accept string) *httptest.ResponseRecorder {
		q := httptest.NewRequest(http.MethodGet, Base+"/stream?channels=a"+query, nil) // from 192.0.2.1
		q.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		p.ServeHTTP(w, q)
		return w
	}
	expect := func(w *httptest.ResponseRecorder, status int, part string) {
		t.Helper()
		if w.Code != status || !strings.Contains(w.Body.String(), part) || strings.Contains(w.Body.String(), "id:") {
			t.Errorf("got %d %s, want %d %s", w.Code, w.Body, status, part)
		}
	}
	acquire(t, p, "192.0.2.1")
	expect(ask("", "text/event-stream"), 200, `{"reason":"limit","status":429,"retryMs":`)
	expect(ask("&errors=http", "text/event-stream"), 429, KindConnectionLimit)
	expect(ask("", "*/*"), 429, `"limit":{"name":"connections","value":1,"scope":"address"}`)
	acquire(t, p, "192.0.2.2")
	expect(ask("", "text/event-stream"), 200, `{"reason":"overload","status":503,"retryMs":`)
	expect(ask("", ""), 503, KindOverload)
	release(p, "192.0.2.1")
	release(p, "192.0.2.2")
	if err := p.engine.Drain(t.Context(), engine.Drain{Reason: wire.DrainRollout}); err != nil {
		t.Fatal(err)
	}
	expect(ask("", "text/event-stream"), 200, `{"reason":"drain","status":503,"retryMs":`)
	expect(ask("&errors=http", "text/event-stream"), 503, KindDraining)
	if active, _, _ := p.limits.Counts(); active != 0 {
		t.Errorf("%d refused streams are still counted", active)
	}
}

func TestStreamsThatComeTooFastAreToldWhenToComeBack(t *testing.T) {
	p := newPod(t, func(*engine.Tuning) {})
	p.limits.TuneConnect(limit.Connect{PerSecond: 1, Burst: 1})
	acquire(t, p, "192.0.2.2")
	ask := func(accept string) *httptest.ResponseRecorder {
		q := httptest.NewRequest(http.MethodGet, Base+"/stream?channels=a", nil)
		q.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		p.ServeHTTP(w, q)
		return w
	}
	if w := ask("text/event-stream"); w.Code != 200 || !strings.Contains(w.Body.String(), `{"reason":"overload","status":503,"retryMs":`) {
		t.Errorf("an EventSource got %d %s", w.Code, w.Body)
	}
	if w := ask("*/*"); w.Code != 503 || !strings.Contains(w.Body.String(), `"limit":{"name":"connect-rate","value":1,"scope":"pod"}`) {
		t.Errorf("others got %d %s", w.Code, w.Body)
	}
}

func TestAStreamThatWaitsTooLongForItsTurnIsToldWhenToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t)
		for range 8 {
			if no := p.gate.Enter(t.Context()); no != nil {
				t.Fatal(no)
			}
		}
		begun := time.Now()
		w := p.stream("GET", "?channels=a", "", "Accept", "text/event-stream")
		if w.Code != 200 || !strings.Contains(w.Body.String(), `{"reason":"overload","status":503,"retryMs":`) || time.Since(begun) != 2*time.Second {
			t.Errorf("%d %s after %v", w.Code, w.Body, time.Since(begun))
		}
		p.gate.Leave()
		for range 3 { // each gives its turn back, though it then waits for events
			if w = p.stream("GET", "?channels=a&wait=1&cursor=k3f9x2.0", ""); w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
		if active, _, _ := p.limits.Counts(); active != 0 {
			t.Errorf("%d streams are still counted", active)
		}
	})
}

func acquire(t *testing.T, p *pod, address string) {
	t.Helper()
	if over := p.limits.Acquire(limit.Client{Address: mustAddress(address)}); over != nil {
		t.Fatal(over)
	}
}

func release(p *pod, address string) { p.limits.Release(limit.Client{Address: mustAddress(address)}) }

func mustAddress(text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	if err != nil {
		panic(err)
	}
	return a
}

func TestMoreRefusalsBringClientsBackLater(t *testing.T) {
	var l load
	if r := l.base(100); r != minRetry {
		t.Errorf("a lone client is told %v", r)
	}
	for range 1000 {
		l.base(100)
	}
	if r := l.base(101); r < 10*time.Second || r > 11*time.Second {
		t.Errorf("after 1000 refusals clients are told %v", r)
	}
	if r := l.base(200); r != minRetry {
		t.Errorf("long after clients are told %v", r)
	}
}
