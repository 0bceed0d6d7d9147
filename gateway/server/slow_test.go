package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
)

// pipes is a listener whose connections are pipes, so that the real timeouts
// pass in no time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// inBubble runs the port for clients of a gateway that is open to all on pipes.
func inBubble(t *testing.T, check func(t *testing.T, p *pipes)) {
	t.Helper()
	inBubbleOf(t, config.Document{Serial: 1, Stable: config.Revision{Name: "one", Hot: openToAll()}}, check)
}

// inBubbleOf is inBubble of a gateway that runs a document.
func inBubbleOf(t *testing.T, d config.Document, check func(t *testing.T, p *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{Version: "test", Dev: true, GenericTransport: true, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		text, err := config.Encode(d)
		if err != nil {
			t.Fatal(err)
		}
		s.config.take(text)
		if _, nack := s.config.now(); nack != nil {
			t.Fatal(nack.Message)
		}
		p := &pipes{make(chan net.Conn), make(chan struct{})}
		web := s.clientsHTTP(log.New(io.Discard, "", 0))
		served := make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		pumped := make(chan error, 1)
		go func() { pumped <- s.pump(ctx) }()
		go func() { served <- web.Serve(p) }()
		defer func() {
			_ = web.Close()
			if err := <-served; !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
			stop()
			if err := <-pumped; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			s.engine.Close()
			_ = s.events.Close()
		}()
		if err := s.awaitLog(ctx, nil); err != nil {
			t.Fatal(err)
		}
		check(t, p)
	})
}

func openToAll() config.Hot {
	_, hot := config.Default()
	hot.Auth.Publishers.Mode = config.ModeAnonymous
	return hot
}

// A client that sends its header or body byte by byte is cut off in bounded
// time, whatever it is that takes a body.
func TestASlowSenderIsCutOff(t *testing.T) {
	request := func(line, more string) string {
		return line + " HTTP/1.1\r\nHost: x\r\n" + more
	}
	body := "Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n"
	for name, c := range map[string]struct {
		head  string
		limit time.Duration
	}{
		"header":               {request("GET /v2/realtime/time", ""), headerTimeout},
		"body of an event":     {request("POST /v2/realtime/channels/a/events", body), 15 * time.Second},
		"body of events":       {request("POST /v2/realtime/events", strings.Replace(body, "json", "x-ndjson", 1)), 15 * time.Second},
		"body of a stream":     {request("POST /v2/realtime/stream", body), 15 * time.Second},
		"body of a change":     {request("PATCH /v2/realtime/sessions/00000000.AAAAAAAAAAAAAAAAAAAAAA", body), 15 * time.Second},
		"body of a report":     {request("POST /v2/realtime/beacon", body), 15 * time.Second},
		"body of a ticket":     {request("POST /v2/realtime/tickets", body), 15 * time.Second},
		"body that nobody has": {request("GET /v2/realtime/time", body), 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *pipes) {
				c2 := p.dial()
				defer c2.Close()
				ended := make(chan time.Duration, 1)
				began := time.Now()
				go func() {
					_, _ = io.Copy(io.Discard, c2) // the answer, if there is one, and the end
					ended <- time.Since(began)
				}()
				_, err := io.WriteString(c2, c.head)
				for i := 0; err == nil && i < 600; i++ {
					time.Sleep(time.Second)
					_, err = io.WriteString(c2, "x")
				}
				if took := <-ended; took > c.limit+2*time.Second {
					t.Errorf("held for %s, the limit is %s", took, c.limit)
				}
			})
		})
	}
}

// A client that asks for much and reads nothing does not hold the answer for
// ever. Streams have their own limit, and a poll may wait first.
func TestASlowReaderOfAnAnswerIsCutOff(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pipes) {
		fill := p.dial()
		answers := bufio.NewReader(fill)
		data := `"` + strings.Repeat("x", 60000) + `"`
		for range 10 {
			_, err := fmt.Fprintf(fill, "POST /v2/realtime/channels/a/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(data), data)
			if err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(answers, nil)
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("publishing: %v, %v", res, err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
		}
		_ = fill.Close()
		for _, path := range []string{"channels/a/events", "channels/a/last?n=10", "stream?channels=a&wait=25&cursor=earliest"} {
			c := p.dial()
			began := time.Now()
			if _, err := fmt.Fprintf(c, "GET /v2/realtime/%s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute) // reads nothing
			n, err := io.Copy(io.Discard, c)
			if err != nil || n > 300000 {
				t.Errorf("%s: after ten minutes %d bytes could still be read (%v)", path, n, err)
			}
			_ = c.Close()
			t.Logf("%s: %d bytes after %s", path, n, time.Since(began))
		}
	})
}

// A stream outlives the time that answers have, and so does a poll that waits
// for longer.
func TestStreamsAndPollsLastLongerThanAnswersMay(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pipes) {
		c := p.dial()
		defer c.Close()
		if _, err := io.WriteString(c, "GET /v2/realtime/stream?channels=a HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		beats, began := 0, time.Now()
		for lines := bufio.NewScanner(res.Body); time.Since(began) < 30*time.Minute && lines.Scan(); {
			if strings.HasPrefix(lines.Text(), ": hb ") {
				beats++
			}
		}
		if beats < 100 {
			t.Errorf("%d heartbeats in %s", beats, time.Since(began))
		}
	})
	inBubble(t, func(t *testing.T, p *pipes) {
		c := p.dial()
		defer c.Close()
		r := bufio.NewReader(c)
		for range 3 { // on one connection: a deadline must not be left over
			if _, err := io.WriteString(c, "GET /v2/realtime/stream?channels=a&wait=120&cursor=earliest HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(r, nil)
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("%v, %v", res, err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
		}
	})
}
