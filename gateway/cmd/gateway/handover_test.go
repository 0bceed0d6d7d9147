package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// handoverStreams is how many streams are moved; HANDOVER_STREAMS says another
// number, for figures to write down. Half of them behave as a browser's
// EventSource, which is cut off and comes back, half as a program that knows
// sg.drain and opens its next stream before it leaves the old one.
func handoverStreams() int {
	if n, err := strconv.Atoi(os.Getenv("HANDOVER_STREAMS")); err == nil {
		return n
	}
	return 200
}

// spread is that of the reconnects: the default for figures, and a shorter one
// for a test among others.
func spread() time.Duration {
	if handoverStreams() >= 1000 {
		return 10 * time.Second
	}
	return 3 * time.Second
}

// process is a gateway that listens on ports of its own, with a drain like the
// default one but for a shorter preStopDelay.
type process struct {
	*testing.T
	main, admin, folder string
	serial              int
	stop                func() error // SIGTERM, and waits
}

const podName1 = "prices-1"

func startProcess(t *testing.T) *process {
	t.Helper()
	p := &process{T: t, main: freeAddress(t), admin: freeAddress(t), folder: t.TempDir()}
	p.write("cold.json", `{"drain":{"timeout":"30s","preStopDelay":"1s"}}`)
	p.configure("")
	cmd := command("--config", p.folder, "--listen", p.main, "--admin", p.admin)
	cmd.Env = append(cmd.Env, "POD_NAME="+podName1)
	var logs bytes.Buffer
	cmd.Stderr = &logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.stop = sync.OnceValue(func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("%w: %s", err, logs.String())
		}
		return nil
	})
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = p.stop() })
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if res, err := http.Get("http://" + p.admin + "/readyz"); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return p
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %s", logs.String())
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (p *process) write(name, text string) {
	p.Helper()
	path := filepath.Join(p.folder, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		p.Fatal(err)
	}
}

// configure pushes a document, with more fields of the document in front.
func (p *process) configure(more string) {
	p.Helper()
	p.serial++
	p.write("hot.json", fmt.Sprintf(`{"serial":%d,%s"stable":{"revision":"r","hot":{`+
		`"auth":{"publishers":{"mode":"Anonymous"}},"limits":{"publish":{"perPublisherEventsPerSecond":0}},"drain":{"reconnectSpread":"%ds"}}}}`, p.serial, more, int(spread().Seconds())))
}

// crowd is streams that follow one channel, wherever the Service leads.
type crowd struct {
	service atomic.Pointer[string] // address
	closed  atomic.Bool
	readers sync.WaitGroup
	live    atomic.Int64

	mu        sync.Mutex
	sent      []time.Time // by number
	gaps      []time.Duration
	late      []time.Duration // the latest event of each stream
	lost      int             // events that a stream did not get and that sg.reset named
	unnamed   int             // or that nobody named
	repeated  int
	moved     int // streams that moved at least once
	forgotten int // streams that had to reset
}

// reader is one stream over as many connections as it takes.
type reader struct {
	c      *crowd
	lastID string
	seen   []bool
	moves  int
	resets int
	late   time.Duration
	gaps   []time.Duration
}

type connection struct {
	conn net.Conn
	in   *bufio.Reader
}

func (r *reader) dial() (*connection, error) {
	conn, err := net.Dial("tcp", *r.c.service.Load())
	if err != nil {
		return nil, err
	}
	last := ""
	if r.lastID != "" {
		last = "Last-Event-ID: " + r.lastID + "\r\n"
	}
	if _, err := fmt.Fprintf(conn, "GET /v2/realtime/stream?channels=c HTTP/1.1\r\nHost: gateway\r\nAccept: text/event-stream\r\n%s\r\n", last); err != nil {
		_ = conn.Close()
		return nil, err
	}
	res, err := http.ReadResponse(bufio.NewReaderSize(conn, 2<<10), nil)
	if err != nil || res.StatusCode != http.StatusOK {
		_ = conn.Close()
		return nil, fmt.Errorf("%v, %w", res, err)
	}
	return &connection{conn, bufio.NewReaderSize(res.Body, 2<<10)}, nil
}

// message is one event of a stream.
type message struct {
	id, event, data string
	retry           time.Duration
}

func (c *connection) next() (m message, err error) {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return m, err
		}
		field, value, _ := strings.Cut(strings.TrimRight(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			m.id = value
		case "event":
			m.event = value
		case "data":
			m.data = value
		case "retry":
			ms, _ := strconv.Atoi(value)
			m.retry = time.Duration(ms) * time.Millisecond
		case "":
			if m != (message{}) {
				return m, nil
			}
		}
	}
}

// follow reads until the crowd is closed. A program opens its next connection
// at its slot and closes the old one when the next one has caught up.
func (r *reader) follow(program bool) {
	defer r.c.readers.Done()
	var old *connection
	wait, ended := time.Duration(0), time.Time{}
	for !r.c.closed.Load() {
		c, err := r.dial()
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		drain := r.read(c, program, &wait, func() {
			switch {
			case old != nil:
				_ = old.conn.Close()
				old = nil
			case !ended.IsZero():
				r.gaps = append(r.gaps, time.Since(ended))
			}
		})
		if drain {
			old = c // it is dropped when the next one has caught up
			r.moves++
			continue
		}
		_ = c.conn.Close()
		if ended = time.Now(); r.c.closed.Load() {
			break
		}
		r.moves++
		time.Sleep(wait)
	}
	if old != nil {
		_ = old.conn.Close()
	}
	r.report()
}

// read reads one connection to its end, or, for a program, to the slot that
// sg.drain gave it; then it returns true.
func (r *reader) read(c *connection, program bool, wait *time.Duration, caughtUp func()) (drained bool) {
	var slot atomic.Bool
	first := true
	for {
		m, err := c.next()
		if slot.Load() {
			return true
		}
		if err != nil {
			return false
		}
		if m.retry > 0 {
			*wait = m.retry
		}
		if m.id != "" {
			r.lastID = m.id
		}
		switch m.event {
		case "sg.caught-up":
			caughtUp()
			if first && r.moves == 0 {
				r.c.live.Add(1)
			}
			first = false
		case "sg.reset":
			r.resets++
		case "sg.drain":
			var d struct{ InMs int }
			if json.Unmarshal([]byte(m.data), &d) == nil && program {
				time.AfterFunc(time.Duration(d.InMs)*time.Millisecond, func() {
					slot.Store(true)
					_ = c.conn.SetReadDeadline(time.Now())
				})
			}
		case "":
			r.take(m.data)
		}
		if r.c.closed.Load() {
			return false
		}
	}
}

func (r *reader) take(data string) {
	n, err := strconv.Atoi(data)
	if err != nil {
		return
	}
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if n >= len(r.seen) {
		r.seen = append(r.seen, make([]bool, n+1-len(r.seen))...)
	}
	if r.seen[n] {
		r.c.repeated++
	}
	r.seen[n] = true
	r.late = max(r.late, time.Since(r.c.sent[n]))
}

func (r *reader) report() {
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := range c.sent {
		switch {
		case n < len(r.seen) && r.seen[n]:
		case r.resets > 0:
			c.lost++
		default:
			c.unnamed++
		}
	}
	if r.moves > 0 {
		c.moved++
	}
	if r.resets > 0 {
		c.forgotten++
	}
	c.gaps, c.late = append(c.gaps, r.gaps...), append(c.late, r.late)
}

// publish sends one event to where the Service leads.
func (c *crowd) publish(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	n := len(c.sent)
	c.sent = append(c.sent, time.Now())
	c.mu.Unlock()
	c.post(t, strconv.Itoa(n))
}

// post repeats a publish until it is acknowledged.
func (c *crowd) post(t *testing.T, data string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		request, err := http.NewRequest(http.MethodPost, "http://"+*c.service.Load()+"/v2/realtime/channels/c/events", strings.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", "event-"+data)
		res, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("event %s was not taken: %v", data, err)
		}
	}
}

func newCrowd(t *testing.T, n int, service string) *crowd {
	t.Helper()
	c := &crowd{}
	c.service.Store(&service)
	for i := range n {
		c.readers.Add(1)
		go (&reader{c: c}).follow(i%2 == 1)
	}
	for deadline := time.Now().Add(2 * time.Minute); c.live.Load() < int64(n); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d streams are live", c.live.Load(), n)
		}
	}
	return c
}

// run publishes for so long, and says at which moment to act.
func (c *crowd) run(t *testing.T, length time.Duration, at map[int]func()) {
	t.Helper()
	const perSecond = 2
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	for i := range int(length.Seconds() * perSecond) {
		if act := at[i/perSecond]; act != nil && i%perSecond == 0 {
			act()
		}
		c.publish(t)
		<-tick.C
	}
	time.Sleep(3 * time.Second)
	c.closed.Store(true)
	c.post(t, "null") // wakes every reader
	c.readers.Wait()
}

// besideOthers runs a test at the same time as others, unless it is to give
// figures.
func besideOthers(t *testing.T) {
	t.Helper()
	if handoverStreams() < 1000 {
		t.Parallel()
	}
}

// TestStreamsThatMoveOnOverOneLogMissNothing drains a gateway without ending it:
// its clients come back to the same log, as they would come to another pod over
// a log that pods share.
func TestStreamsThatMoveOnOverOneLogMissNothing(t *testing.T) {
	besideOthers(t)
	p := startProcess(t)
	c := newCrowd(t, handoverStreams(), p.main)
	c.run(t, spread()+6*time.Second, map[int]func(){
		1:                           func() { p.configure(`"drainPods":["` + podName1 + `"],`) },
		3 + int(spread().Seconds()): func() { p.configure("") },
	})
	t.Log("\n" + c.String())
	if c.lost+c.unnamed+c.forgotten > 0 || c.repeated > 0 || c.moved < handoverStreams() {
		t.Error("want every stream moved, and every event once in each")
	}
	if slices.Sort(c.gaps); len(c.gaps) == 0 || c.gaps[len(c.gaps)*99/100] > 2*time.Second {
		t.Error("the gaps are too long, or there are none")
	}
}

// TestRestartWithAnotherLogNamesWhatIsLost replaces a gateway whose log is in
// its memory: what the old one's clients missed is named, and they go on.
func TestRestartWithAnotherLogNamesWhatIsLost(t *testing.T) {
	besideOthers(t)
	old, fresh := startProcess(t), startProcess(t)
	c := newCrowd(t, handoverStreams(), old.main)
	c.run(t, spread()+6*time.Second, map[int]func(){1: func() {
		c.service.Store(&fresh.main)
		go func() {
			if err := old.stop(); err != nil {
				t.Errorf("the old gateway ended with %v", err)
			}
		}()
	}})
	t.Log("\n" + c.String())
	if c.unnamed > 0 || c.repeated > 0 || c.forgotten < handoverStreams() {
		t.Error("want every stream moved and told, and no event lost without a word")
	}
}
