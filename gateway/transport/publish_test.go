package transport

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/engine/wire/decode"
)

// scriptedLog shows the handler what a real log shows only in an outage.
type scriptedLog struct {
	ack  Ack
	err  error
	last []wire.Event
	// deliver is called where the subscribers would get the events.
	deliver func()
}

func (l *scriptedLog) Deliver() {
	if l.deliver != nil {
		l.deliver()
	}
}

func (l *scriptedLog) Append(_ context.Context, events []wire.Event, require string) (Ack, error) {
	l.last = events
	if require != "" && require != "memory" {
		return Ack{Durability: "memory"}, ErrDurability
	}
	if l.err != nil {
		return l.ack, l.err
	}
	ack := Ack{Epoch: "k3f9x2", Durability: "memory", Copies: 1}
	for i := range events {
		ack.Events = append(ack.Events, AckEvent{Seq: uint64(1042 + i), Duplicate: events[i].ID == "again"})
	}
	return ack, nil
}

type verdict struct{ err error }

func (v verdict) Authenticate(*http.Request) (*auth.Principal, error) {
	return &auth.Principal{Subject: "till", Pub: everyChannel(), Metrics: true}, v.err
}

func newRoutes(l *scriptedLog, a Authenticator) (Routes, *Publish) {
	p := NewPublish(a, l, slog.New(slog.DiscardHandler), nil, func(time.Duration, wire.Trace) {})
	return Routes{Doors: NewDoors(Listener{}), Publish: p, History: NewHistory(nil, everybody()), Sessions: NewSessions(nil, everybody()), Log: slog.New(slog.DiscardHandler), Stream: http.NotFoundHandler(), Metrics: func() Metrics { return Metrics{} }, MetricsAccess: a}, p
}

func ask(t *testing.T, h http.Handler, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), w.Body.String()
}

func TestAnAckNamesEveryEventsPlaceInRequestOrder(t *testing.T) {
	l := &scriptedLog{}
	routes, p := newRoutes(l, verdict{})
	res, body := ask(t, routes.Handler(), "POST", Base+"/events",
		`{"channel":"a","id":"inv-991","data":1}`+"\n"+`{"channel":"b","data":2}`+"\n"+`{"channel":"a","id":"again","data":1}`,
		"Content-Type", "application/x-ndjson")
	want := `{"accepted":3,"duplicates":1,"durability":"memory","copies":1,"results":[` +
		`{"id":"inv-991","cursor":"k3f9x2.1042","duplicate":false},{"id":"k3f9x2.1043","cursor":"k3f9x2.1043","duplicate":false},` +
		`{"id":"again","cursor":"k3f9x2.1044","duplicate":true}]}`
	if res.StatusCode != 200 || body != want {
		t.Errorf("%d %s\nwant %s", res.StatusCode, body, want)
	}
	decodeShape[any](t, "ack", body)
	if res.Header.Get("Content-Type") != "application/json" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", res.Header)
	}
	if got := p.Counts(); got != (PublishCounts{Events: 2, Duplicates: 1}) {
		t.Errorf("counts %+v", got)
	}
}

// TestSubscribersAreServedAfterTheAck holds the publisher's answer back until it
// is read: what subscribers cost is nothing that a publisher waits for.
func TestSubscribersAreServedAfterTheAck(t *testing.T) {
	read, delivered := make(chan bool), make(chan bool, 1)
	l := &scriptedLog{deliver: func() { delivered <- <-read }}
	routes, _ := newRoutes(l, verdict{})
	server := httptest.NewServer(routes.Handler())
	defer server.Close()
	res, err := http.Post(server.URL+Base+"/channels/a/events", "application/json", strings.NewReader("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body) // ends while Deliver still waits
	if err != nil || !strings.Contains(string(body), `"accepted":1`) {
		t.Fatalf("%s: %v", body, err)
	}
	read <- true
	<-delivered
}

// brokenWriter panics instead of writing.
type brokenWriter struct{ http.ResponseWriter }

func (brokenWriter) Write([]byte) (int, error) { panic("broken writer") }

func TestAnAnswerThatCannotBeWrittenKeepsNothingFromSubscribers(t *testing.T) {
	delivered := 0
	l := &scriptedLog{deliver: func() { delivered++ }}
	_, p := newRoutes(l, verdict{})
	r := httptest.NewRequest("POST", Base+"/channels/a/events", strings.NewReader("1"))
	r.SetPathValue("channel", "a")
	func() {
		defer func() { _ = recover() }()
		p.ServeHTTP(brokenWriter{httptest.NewRecorder()}, r)
	}()
	if len(l.last) != 1 || delivered != 1 {
		t.Errorf("%d events appended, delivered %d times", len(l.last), delivered)
	}
}

func TestAPlainBodyTakesChannelAndTypeFromItsURL(t *testing.T) {
	l := &scriptedLog{}
	routes, _ := newRoutes(l, verdict{})
	res, body := ask(t, routes.Handler(), "POST", Base+"/channels/finance.revenue/events?type=created", `{"amount":1}`,
		"Content-Type", "application/json", "Idempotency-Key", `"k1"`)
	if res.StatusCode != 200 {
		t.Fatal(res.StatusCode, body)
	}
	e := l.last[0]
	if e.Channel != "finance.revenue" || e.Type != "created" || e.ID != "k1" || string(e.Data) != `{"amount":1}` {
		t.Errorf("appended %+v", e)
	}
}

func TestRefusalsAreProblemsOfTheirKind(t *testing.T) {
	big := strings.Repeat("x", decode.MaxBatchBytes+1)
	bomb := gzipped(strings.Repeat("x", 50<<20))
	const plain = Base + "/channels/a/events"
	cases := map[string]struct {
		path, body string
		header     []string
		err        error
		auth       error
		status     int
		kind       string
		members    string
	}{
		"no credential": {path: plain, auth: auth.ErrUnauthenticated, status: 401, kind: "unauthenticated"},
		"no right":      {path: plain, auth: auth.ErrDenied, status: 403, kind: "channel-denied"},
		"nobody to ask": {path: plain, auth: auth.ErrUnavailable, status: 503, kind: "overload", members: `"retryAfterMs":1000`},
		"an unknown durability": {path: plain, header: []string{"SG-Require-Durability", "eternal"},
			status: 400, kind: "invalid-parameter", members: `"parameter":"SG-Require-Durability"`},
		"a durability that is not there": {path: plain, body: `1`, header: []string{"SG-Require-Durability", "quorum"},
			status: 412, kind: "durability-unavailable"},
		"an unknown type": {path: Base + "/events", header: []string{"Content-Type", "image/png"},
			status: 415, kind: "unsupported-media-type"},
		"an unknown encoding": {path: plain, header: []string{"Content-Encoding", "br"},
			status: 415, kind: "unsupported-media-type"},
		"no gzip":              {path: plain, body: "hello", header: []string{"Content-Encoding", "gzip"}, status: 400, kind: "invalid-parameter"},
		"cut gzip":             {path: plain, body: gzipped("hello")[:12], header: []string{"Content-Encoding", "gzip"}, status: 400, kind: "invalid-parameter"},
		"a body over the size": {path: plain, body: big, status: 413, kind: "batch-too-large", members: `"limit":{"name":"batch-bytes","value":1048576,"scope":"request"}`},
		"a bomb": {path: plain, body: bomb, header: []string{"Content-Encoding", "gzip"},
			status: 413, kind: "batch-too-large"},
		"an event over the size": {path: plain, body: big[:decode.MaxEventBytes+1], header: []string{"Content-Type", "text/plain"},
			status: 413, kind: "event-too-large", members: `"limit":{"name":"event-bytes","value":65536,"scope":"event"}`},
		"broken JSON": {path: plain, body: "{", header: []string{"Content-Type", "application/json"}, status: 400, kind: "invalid-json"},
		"a reserved channel": {path: Base + "/channels/$sg.canary/events", body: "{}", header: []string{"Content-Type", "application/json"},
			status: 400, kind: "invalid-channel"},
		"one bad event of two": {path: Base + "/events", body: `{"channel":"a","data":1}` + "\n" + `{"channel":"a","type":"sg.x","data":1}`,
			header: []string{"Content-Type", "application/x-ndjson"}, status: 422, kind: "invalid-event", members: `"index":1,"errors":[{"index":1,`},
		"another payload for a key": {path: plain, body: "1", err: &MismatchError{Index: 0}, status: 422, kind: "idempotency-mismatch", members: `"errors":[{"index":0,`},
		"a log that is left alone":  {path: plain, body: "1", err: &OutageError{RetryAfter: 4200 * time.Millisecond}, status: 503, kind: "broker-unavailable", members: `"retryAfterMs":4200`},
		"a log that is away":        {path: plain, body: "1", err: ErrLogUnavailable, status: 503, kind: "broker-unavailable", members: `"retryAfterMs":1000`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			routes, p := newRoutes(&scriptedLog{err: c.err}, verdict{c.auth})
			res, body := ask(t, routes.Handler(), "POST", c.path, c.body, append(c.header, "X-Request-Id", "r-1")...)
			var got map[string]any
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatalf("%d %s: %v", res.StatusCode, body, err)
			}
			if res.StatusCode != c.status || got["type"] != "urn:streamgateway:problem:"+c.kind {
				t.Fatalf("%d %s, want %d %s", res.StatusCode, body, c.status, c.kind)
			}
			decodeShape[any](t, "problem", body)
			if res.Header.Get("Content-Type") != "application/problem+json" || got["requestId"] != "r-1" || got["status"] != float64(c.status) || got["title"] == "" {
				t.Errorf("%v %s", res.Header, body)
			}
			if !strings.Contains(body, c.members) {
				t.Errorf("%s lacks %s", body, c.members)
			}
			counts := p.Counts()
			if counts.Events != 0 || counts.Failed+counts.Rejected != 1 || (counts.Failed == 1) != (c.status >= 500) {
				t.Errorf("counts %+v", counts)
			}
			if c.status == 401 && res.Header.Get("WWW-Authenticate") == "" {
				t.Error("no WWW-Authenticate")
			}
			wait := "1"
			if c.err != nil {
				wait = strconv.FormatFloat(math.Ceil(outageRetryAfter(c.err).Seconds()), 'f', 0, 64)
			}
			if c.status == 503 && res.Header.Get("Retry-After") != wait {
				t.Errorf("Retry-After %q", res.Header.Get("Retry-After"))
			}
		})
	}
}

func TestAnOutageInTheMiddleTellsTheAcceptedPrefix(t *testing.T) {
	l := &scriptedLog{err: errors.Join(ErrLogUnavailable), ack: Ack{Epoch: "k3f9x2", Events: []AckEvent{{Seq: 7}}}}
	routes, p := newRoutes(l, verdict{})
	res, body := ask(t, routes.Handler(), "POST", Base+"/events", `{"channel":"a","id":"x","data":1}`+"\n"+`{"channel":"b","data":2}`,
		"Content-Type", "application/x-ndjson")
	if res.StatusCode != 503 || !strings.Contains(body, `"results":[{"id":"x","cursor":"k3f9x2.7","duplicate":false}]`) {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if got := p.Counts(); got != (PublishCounts{Events: 1, Failed: 1}) {
		t.Errorf("counts %+v", got)
	}
}

func TestAnOutageDoesNotFloodTheLogAndKeepsTokensOutOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		p := NewPublish(verdict{fmt.Errorf("%w: connection refused", auth.ErrUnavailable)}, &scriptedLog{}, slog.New(slog.NewTextHandler(&log, nil)), nil, func(time.Duration, wire.Trace) {})
		h := Routes{Publish: p, History: NewHistory(nil, everybody()), Sessions: NewSessions(nil, everybody()), Log: slog.New(slog.DiscardHandler), Stream: p, Metrics: func() Metrics { return Metrics{} }, MetricsAccess: verdict{}}.Handler()
		for range 3 {
			for range 100 {
				ask(t, h, "POST", Base+"/channels/a/events", "1", "Authorization", "Bearer sesame", "X-Request-Id", "r-7")
			}
			time.Sleep(time.Second)
		}
		if n := strings.Count(log.String(), "\n"); n != 3 || !strings.Contains(log.String(), "connection refused") || !strings.Contains(log.String(), "requestId=r-7") {
			t.Errorf("%d lines: %s", n, log.String())
		}
		if strings.Contains(log.String(), "sesame") {
			t.Error("the log holds a token")
		}
	})
}

func TestBodiesThatAreUnderWayAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		routes, p := newRoutes(&scriptedLog{}, verdict{})
		h := routes.Handler()
		const most = maxBodiesBytes / decode.MaxBatchBytes
		codes := make(chan int, most)
		bodies := make([]*io.PipeWriter, most)
		for i := range bodies {
			var body *io.PipeReader
			body, bodies[i] = io.Pipe()
			go func() {
				r := httptest.NewRequest("POST", Base+"/channels/a/events", body) // its length is not known
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				codes <- w.Code
			}()
		}
		synctest.Wait()
		if res, body := ask(t, h, "POST", Base+"/channels/a/events", "1"); res.StatusCode != 503 || !strings.Contains(body, `"limit":{"name":"bodies-bytes","value":67108864,"scope":"pod"}`) {
			t.Errorf("one too many: %d %s", res.StatusCode, body)
		}
		for _, body := range bodies {
			_, _ = body.Write([]byte("1"))
			_ = body.Close()
			if code := <-codes; code != 200 {
				t.Errorf("one that had its place: %d", code)
			}
		}
		if res, body := ask(t, h, "POST", Base+"/channels/a/events", "1"); res.StatusCode != 200 || p.bodies.used.Load() != 0 {
			t.Errorf("afterwards: %d %s, %d bytes promised", res.StatusCode, body, p.bodies.used.Load())
		}
	})
}

func TestBodiesMayBeGzip(t *testing.T) {
	l := &scriptedLog{}
	routes, _ := newRoutes(l, verdict{})
	res, body := ask(t, routes.Handler(), "POST", Base+"/channels/a/events", gzipped(`{"n":1}`),
		"Content-Type", "application/json", "Content-Encoding", "gzip")
	if res.StatusCode != 200 || string(l.last[0].Data) != `{"n":1}` {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func gzipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.String()
}

// FuzzPublishNeverPanicsAndAnswersWithinTheProtocol drives the whole handler:
// any body under any type is either acknowledged or refused for a reason of its
// own making.
func FuzzPublishNeverPanicsAndAnswersWithinTheProtocol(f *testing.F) {
	f.Add("application/cloudevents+json", "", `{"specversion":"1.0","id":"1","source":"/s","type":"t","channel":"a","data":{"x":1}}`, false)
	f.Add("application/cloudevents-batch+json", "", `[{"specversion":"1.0","id":"1","source":"/s","type":"t","channel":"a","data_base64":"AQI="}]`, false)
	f.Add("application/x-ndjson", "key", `{"channel":"a","data":"x\r\ny"}`+"\n", false)
	f.Add("application/json", "\"k\"", `{"a":[1,2,{"b":null}]}`, true)
	f.Add("text/plain; charset=utf-8", "", "a\r\nid: forged\n\ndata: x", true)
	f.Add("image/png", "", "\x89PNG\x00", true)
	f.Fuzz(func(t *testing.T, contentType, key, body string, plain bool) {
		l := &scriptedLog{}
		routes, _ := newRoutes(l, verdict{})
		path := Base + "/events?channel=a"
		if plain {
			path = Base + "/channels/a.b/events"
		}
		r := httptest.NewRequest("POST", path, strings.NewReader(body))
		r.Header["Content-Type"] = []string{contentType}
		if key != "" {
			r.Header["Idempotency-Key"] = []string{key}
		}
		w := httptest.NewRecorder()
		routes.Handler().ServeHTTP(w, r)
		switch w.Code {
		case 200:
			var ack ackBody
			if err := json.Unmarshal(w.Body.Bytes(), &ack); err != nil || ack.Accepted != len(l.last) || len(ack.Results) != ack.Accepted {
				t.Fatalf("ack %s for %d events (%v)", w.Body, len(l.last), err)
			}
			for _, e := range l.last {
				if wire.CheckChannel(e.Channel) != nil || strings.ContainsAny(e.Type, "\r\n\x00") {
					t.Fatalf("appended %+v", e)
				}
			}
		case 400, 413, 415, 422:
			if l.last != nil {
				t.Fatalf("%d after an append", w.Code)
			}
		default:
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}

func TestTheBoundOnEventsIsHot(t *testing.T) {
	routes, p := newRoutes(&scriptedLog{}, verdict{})
	post := func(bytes int) (int, string) {
		res, body := ask(t, routes.Handler(), "POST", Base+"/channels/a/events", strings.Repeat("x", bytes), "Content-Type", "text/plain")
		return res.StatusCode, body
	}
	p.Tune(100, PublishLimits{})
	if status, body := post(101); status != 413 || !strings.Contains(body, `"limit":{"name":"event-bytes","value":100,"scope":"event"}`) {
		t.Errorf("over the bound: %d %s", status, body)
	}
	p.Tune(1<<20, PublishLimits{})
	if status, body := post(1 << 20); status != 200 {
		t.Errorf("a mebibyte: %d %s", status, body)
	}
}

// waitingLog answers when it is told to.
type waitingLog struct{ asked, answer chan struct{} }

func (waitingLog) Deliver() {}

func (l waitingLog) Append(context.Context, []wire.Event, string) (Ack, error) {
	l.asked <- struct{}{}
	<-l.answer
	return Ack{}, nil
}

func TestALogThatDoesNotKeepUpIsToldAtOnce(t *testing.T) {
	l := waitingLog{make(chan struct{}), make(chan struct{})}
	p := NewPublish(verdict{}, l, slog.New(slog.DiscardHandler), nil, func(time.Duration, wire.Trace) {})
	post := func(events int) *httptest.ResponseRecorder {
		q := httptest.NewRequest(http.MethodPost, Base+"/events", strings.NewReader(strings.Repeat(`{"channel":"a","data":1}`+"\n", events)))
		q.Header.Set("Content-Type", "application/x-ndjson")
		w := httptest.NewRecorder()
		p.ServeHTTP(w, q)
		return w
	}
	var waiting sync.WaitGroup
	for _, n := range []int{1000, 1000, 1000, 1000, 96} {
		waiting.Go(func() { _ = post(n) })
		<-l.asked
	}
	if w := post(1); w.Code != 503 || !strings.Contains(w.Body.String(), `"limit":{"name":"append-in-flight","value":4096,"scope":"pod"}`) {
		t.Errorf("over the bound: %d %s", w.Code, w.Body)
	}
	close(l.answer)
	waiting.Wait()
	go func() { <-l.asked }()
	if w := post(1); w.Code != 200 {
		t.Errorf("afterwards: %d %s", w.Code, w.Body)
	}
}
