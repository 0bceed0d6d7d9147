package transport

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/limit"
)

// dial opens a connection, sends text, and gives what comes back.
func dial(t *testing.T, url, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	c, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

func getText(query, version string) string {
	return "GET " + Base + "/stream?" + query + " HTTP/" + version + "\r\nHost: x\r\n"
}

// patience is how long tests wait for what has to come. It only says how late a
// hang is told: a machine that does ten other things at once is never that slow.
const patience = 2 * time.Minute

// await is for what happens soon on another goroutine.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for " + what)
		}
	}
}

func (p *pod) active() int { return p.engine.Stats().Connections.Active }

// endAll ends every stream in order.
func (p *pod) endAll() {
	p.engine.Flags(engine.Flags{Revision: 1, Of: func(engine.Identity) (map[string]bool, *wire.End) {
		return nil, &wire.End{Reason: wire.EndFlagOff, Status: 503}
	}})
}

// TestBothTransportsAnswerWithTheSameBytes takes whole answers over loopback
// and compares them, head and body.
func TestBothTransportsAnswerWithTheSameBytes(t *testing.T) {
	past := func(p *pod) {
		p.publish(wire.Event{Channel: "a", ID: "one", Type: "t", Data: []byte(`{"x":1}`)},
			wire.Event{Channel: "b", Data: []byte("two\r\nlines"), Kind: wire.Text},
			wire.Event{Channel: "a", Data: []byte(strings.Repeat("9", 5<<10))})
	}
	for name, c := range map[string]struct {
		query, header string
		before        func(*pod)
		end           func(*pod)
	}{
		"plain":     {query: "channels=a,b"},
		"typed":     {query: "channels=a,b&format=typed"},
		"envelope":  {query: "channels=a,b&format=envelope"},
		"array":     {query: "channels=a,b&format=array"},
		"a pattern": {query: "channels=*"},
		"padded":    {query: "channels=a&pad=1"},
		"the last":  {query: "channels=a&last=1", before: past},
		"a resume":  {query: "channels=a,b", header: "Last-Event-ID: " + testEpoch + ".1\r\n", before: past},
		"a reset":   {query: "channels=a&cursor=zzzz.7", before: past},
		"all of it": {query: "channels=a&cursor=earliest", before: past},
		"in gzip":   {query: "channels=a,b", header: "Accept-Encoding: gzip\r\n"},
		"a POST":    {query: "POST"},
		"a drain": {query: "channels=a&format=array", end: func(p *pod) {
			_ = p.engine.Drain(t.Context(), engine.Drain{Reason: wire.DrainRollout, Spread: 0, Timeout: 10 * time.Second})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var answers []string
			for _, way := range transports {
				p := newPod(t, func(tun *engine.Tuning) { tun.Batching.Window = 0 })
				url := p.serve(t, way)
				if c.before != nil {
					c.before(p)
				}
				request := getText(c.query, "1.1") + c.header + "Connection: close\r\n\r\n"
				if c.query == "POST" {
					body := `{"channels":["a","b"],"format":"array"}`
					request = fmt.Sprintf("POST %s/stream HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", Base, len(body), body)
				}
				_, in := dial(t, url, request)
				await(t, "the stream", func() bool { return p.engine.Stats().Connections.Opened == 1 })
				past(p)
				var seen seen
				answer := make(chan string, 1)
				go func() { answer <- readAnswer(t, bufio.NewReader(io.TeeReader(in, &seen))) }()
				await(t, "all to be taken", func() bool {
					return (seen.has("sg.caught-up") || seen.has("Content-Encoding: gzip")) && p.engine.Stats().Slow.MaxLagEvents == 0
				})
				if c.end != nil {
					c.end(p)
				} else {
					p.endAll()
				}
				answers = append(answers, <-answer)
			}
			if diff := cmp.Diff(answers[0], answers[1]); diff != "" {
				t.Errorf("%.3000s", diff)
			}
			if len(answers[0]) < 1000 {
				t.Errorf("an answer of little worth: %s", answers[0])
			}
		})
	}
}

// seen is what has been read so far.
type seen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *seen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *seen) has(part string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), part)
}

// readAnswer reads to the end of the connection and masks what is random.
func readAnswer(t *testing.T, in *bufio.Reader) string {
	t.Helper()
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer answer.Body.Close()
	content := io.Reader(answer.Body)
	if answer.Header.Get("Content-Encoding") == "gzip" {
		if content, err = gzip.NewReader(content); err != nil {
			t.Error(err)
			return ""
		}
	}
	body, err := io.ReadAll(content)
	if err != nil {
		t.Errorf("after %d bytes: %v", len(body), err)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the answer: %v", err)
	}
	var b strings.Builder
	fmt.Fprintln(&b, answer.Proto, answer.Status, answer.TransferEncoding, answer.Close)
	delete(answer.Header, "Date")
	for _, name := range slices.Sorted(maps.Keys(answer.Header)) {
		fmt.Fprintln(&b, name, answer.Header[name])
	}
	b.Write(body)
	masked := regexp.MustCompile(`[A-Za-z0-9_-]{22}"`).ReplaceAllString(b.String(), `<random>"`)
	masked = regexp.MustCompile(`\.[A-Za-z0-9_-]{22}\]`).ReplaceAllString(masked, `.<random>]`)
	masked = regexp.MustCompile(`retry: ?\d+|"retryMs":\d+|"inMs":\d+|"closeMs":\d+`).ReplaceAllString(masked, "<pause>")
	return regexp.MustCompile(`1[78]\d{11}`).ReplaceAllString(masked, "<time>")
}

// TestAClientThatClosesItsSideHasLeft sends FIN, or RST, or FIN right behind
// the request.
func TestAClientThatClosesItsSideHasLeft(t *testing.T) {
	onBoth(t, func(t *testing.T, transport string) {
		p := newPod(t)
		url := p.serve(t, transport)
		request := getText("channels=a", "1.1") + "\r\n"
		half, _ := dial(t, url, request)
		hard, _ := dial(t, url, request)
		await(t, "two streams", func() bool { return p.active() == 2 })
		if err := half.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		await(t, "the first to leave", func() bool { return p.active() == 1 })
		_ = hard.(*net.TCPConn).SetLinger(0)
		_ = hard.Close()
		await(t, "the second to leave", func() bool { return p.active() == 0 })
		early, _ := dial(t, url, request)
		_ = early.(*net.TCPConn).CloseWrite()
		await(t, "the third to come and leave", func() bool { return p.engine.Stats().Connections.Ended["client"] == 3 })
		await(t, "their places", func() bool { n, _, _ := p.limits.Counts(); return n == 0 })
	})
}

// TestBytesBehindTheRequestDisturbNothing pipelines another request, with the
// first one and later, and floods.
func TestBytesBehindTheRequestDisturbNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, transport string) {
		p := newPod(t)
		url := p.serve(t, transport)
		request := getText("channels=a", "1.1") + "\r\n"
		c, in := dial(t, url, request+request)
		await(t, "the stream", func() bool { return p.active() == 1 })
		if _, err := io.WriteString(c, strings.Repeat(request, 100)); err != nil {
			t.Fatal(err)
		}
		p.publish(wire.Event{Channel: "a", Data: []byte(`"after"`)})
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		defer c.Close() // else the body is read to its end
		lines := bufio.NewScanner(answer.Body)
		for lines.Scan() && lines.Text() != `data: "after"` {
		}
		if p.active() != 1 || lines.Err() != nil || lines.Text() == "" {
			t.Errorf("%d streams, read %q, %v", p.active(), lines.Text(), lines.Err())
		}
	})
}

// TestAStreamThatIsCutDoesNotLookWhole fills a client that does not read, lets
// it run into the write timeout, and then reads what there is.
func TestAStreamThatIsCutDoesNotLookWhole(t *testing.T) {
	onBoth(t, func(t *testing.T, transport string) {
		p := newPod(t, func(tun *engine.Tuning) {
			tun.Connections.WriteTimeout = 500 * time.Millisecond
			tun.Batching.Window = 0
		})
		url := p.serve(t, transport)
		_, in := dial(t, url, getText("channels=a", "1.1")+"\r\n")
		await(t, "the stream", func() bool { return p.active() == 1 })
		for p.active() == 1 {
			p.publish(wire.Event{Channel: "a", Data: []byte(`"` + strings.Repeat("x", 50<<10) + `"`)})
			time.Sleep(time.Millisecond)
		}
		if ended := p.engine.Stats().Connections.Ended; ended["timeout"] != 1 {
			t.Errorf("ended: %v", ended)
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		n, err := io.Copy(io.Discard, answer.Body)
		t.Logf("%d bytes, then %v", n, err)
		if err == nil {
			t.Error("the cut answer looks whole")
		}
	})
}

// TestAReaderThatIsSlowGetsEveryByteInOrder reads 1 MB with pauses,
// while the writer is ahead: every chunk is taken in pieces.
func TestAReaderThatIsSlowGetsEveryByteInOrder(t *testing.T) {
	const events = 100
	onBoth(t, func(t *testing.T, transport string) {
		p := newPod(t)
		url := p.serve(t, transport)
		for i := range events {
			p.publish(wire.Event{Channel: "a", Data: fmt.Appendf(nil, `"%d %s"`, i, strings.Repeat("x", 200*i))})
		}
		host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
		stuck, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(stuck, getText("channels=a&cursor=earliest", "1.1")+"\r\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
		answer, err := http.ReadResponse(bufio.NewReaderSize(slowly{stuck}, 4<<10), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		defer stuck.Close() // else the body is read to its end
		lines := bufio.NewReader(answer.Body)
		for want := 0; want < events; {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("after %d events: %v", want, err)
			}
			if !strings.HasPrefix(line, `data: "`) || strings.Contains(line, "{") {
				continue
			}
			if line != fmt.Sprintf("data: \"%d %s\"\n", want, strings.Repeat("x", 200*want)) {
				t.Fatalf("event %d is %.40q", want, line)
			}
			want++
		}
	})
}

// slowly reads little at a time.
type slowly struct{ net.Conn }

func (s slowly) Read(b []byte) (int, error) {
	time.Sleep(100 * time.Microsecond)
	return s.Conn.Read(b[:min(len(b), 4<<10)])
}

// TestOnlyPlainHTTP11IsTakenOver serves an old client in the old way, beside.
func TestOnlyPlainHTTP11IsTakenOver(t *testing.T) {
	p := newPod(t)
	url := p.serve(t, "sockets")
	_, in := dial(t, url, getText("channels=a", "1.0")+"\r\n")
	await(t, "the stream", func() bool { return p.active() == 1 })
	p.endAll()
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || len(answer.TransferEncoding) != 0 || !strings.Contains(string(body), "event: sg.end\n") {
		t.Errorf("%v %v: %s", answer, err, body)
	}
}

// TestARefusedStreamKeepsNoConnection fills a pod and asks for one more stream,
// as an EventSource would.
func TestARefusedStreamKeepsNoConnection(t *testing.T) {
	onBoth(t, func(t *testing.T, transport string) {
		p := newPod(t)
		url := p.serve(t, transport)
		p.limits.Tune(limit.Most{PerPod: 1})
		dial(t, url, getText("channels=a", "1.1")+"\r\n")
		await(t, "the first stream", func() bool { return p.active() == 1 })
		_, in := dial(t, url, getText("channels=a", "1.1")+"Accept: text/event-stream\r\n\r\n")
		all, err := io.ReadAll(in) // until the server closes
		if err != nil || !strings.Contains(string(all), "event: sg.end\n") || !strings.Contains(string(all), "Connection: close\r\n") {
			t.Errorf("%v\n%s", err, all)
		}
	})
}

// TestDescriptorsAreGivenBack ends streams in all ways and counts what is open.
func TestDescriptorsAreGivenBack(t *testing.T) {
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(list)
	}
	onBoth(t, func(t *testing.T, transport string) {
		p := newPod(t)
		url := p.serve(t, transport)
		before := open()
		var conns []net.Conn
		for range 60 {
			c, _ := dial(t, url, getText("channels=a", "1.1")+"\r\n")
			conns = append(conns, c)
		}
		await(t, "the streams", func() bool { return p.active() == len(conns) })
		for _, c := range conns[:20] {
			_ = c.Close()
		}
		await(t, "some to leave", func() bool { return p.active() == 40 })
		p.endAll()
		await(t, "the others to end", func() bool { return p.active() == 0 })
		for _, c := range conns[20:] {
			_ = c.Close()
		}
		await(t, "the descriptors", func() bool { return open() <= before })
	})
}
