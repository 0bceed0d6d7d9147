package transport

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// stream asks /stream and gives the whole answer.
func (p *pod) stream(method, query, body string, header ...string) *httptest.ResponseRecorder {
	q := httptest.NewRequest(method, Base+"/stream"+query, strings.NewReader(body))
	if method == http.MethodPost {
		q.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, q)
	return w
}

func TestPollsAnswerByteForByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t)
		p.publish(wire.Event{Channel: "a", ID: "x", Data: []byte(`"<1>"`)}, wire.Event{Channel: "b"}, wire.Event{Channel: "a", Data: []byte("2")})
		first := `{"seq":1,"time":946684800000,"channel":"a","id":"x","data":"<1>"}`
		third := `{"seq":3,"time":946684800000,"channel":"a","id":"k3f9x2.3","data":2}`
		tail := `"more":false,"retryMs":0,"time":946684800000}`
		for _, c := range []struct{ query, body, want string }{
			{"?wait=0&channels=a", "", `{"sid":null,"cursor":"k3f9x2.3","events":[],"controls":[],` + tail},
			{"?wait=25&channels=a", "", `{"sid":null,"cursor":"k3f9x2.3","events":[],"controls":[],` + tail},
			{"?wait=25&channels=a&last=1", "", `{"sid":null,"cursor":"k3f9x2.3","events":[` + third + `],"controls":[],` + tail},
			{"?wait=25&channels=a&cursor=earliest", "", `{"sid":null,"cursor":"k3f9x2.3","events":[` + first + `,` + third + `],"controls":[],` + tail},
			{"?wait=25&channels=a&cursor=k3f9x2.0&limit=1", "", `{"sid":null,"cursor":"k3f9x2.1","events":[` + first + `],"controls":[],"more":true,"retryMs":0,"time":946684800000}`},
			{"?wait=25&channels=a&cursor=zzzz.0", "", `{"sid":null,"cursor":"k3f9x2.3","events":[],"controls":[{"event":"sg.reset","data":{"reason":"epoch","channels":[],"all":true,"resumeAt":"k3f9x2.3"}}],` + tail},
			{"", `{"channels":["a","b"],"wait":25,"cursor":"k3f9x2.2","from":{"a":"k3f9x2.0"}}`, `{"sid":null,"cursor":"k3f9x2.3","events":[` + first + `,` + third +
				`],"controls":[{"event":"sg.caught-up","data":{"cursor":"k3f9x2.2","replayed":1,"channels":["a"]}}],` + tail},
		} {
			method := http.MethodGet
			if c.body != "" {
				method = http.MethodPost
			}
			w := p.stream(method, c.query, c.body, "Accept", "application/json")
			if w.Code != 200 || w.Body.String() != c.want || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s%s: %d %v\n got %s\nwant %s", c.query, c.body, w.Code, w.Header(), w.Body, c.want)
			}
			decodeShape[any](t, "poll", w.Body.String())
		}
	})
}

func TestPollsAreHeldNoLongerThanAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, func(tun *engine.Tuning) { tun.Connections.LongPollTimeout = 5 * time.Second })
		for query, want := range map[string]time.Duration{"wait=0": 0, "wait=2": 2 * time.Second, "wait=60": 5 * time.Second} {
			start := time.Now()
			p.stream(http.MethodGet, "?channels=a&cursor=earliest&"+query, "")
			if took := time.Since(start); took != want {
				t.Errorf("%s was answered after %v", query, took)
			}
		}
		if active, _, _ := p.limits.Counts(); active != 0 {
			t.Errorf("%d polls are still counted", active)
		}
	})
}

func TestBadPollsAndBodiesAreRefused(t *testing.T) {
	p := newPod(t)
	for _, c := range []struct {
		name, method, query, body, accept, kind string
		status                                  int
	}{
		{"too long a wait", "GET", "?channels=a&wait=121", "", "", KindInvalidParameter, 400},
		{"a wait that is none", "GET", "?channels=a&wait=", "", "text/event-stream", KindNotAcceptable, 406},
		{"a limit of zero", "GET", "?channels=a&wait=0&limit=0", "", "", KindInvalidParameter, 400},
		{"a body that is no object", "POST", "", `["a"]`, "", KindInvalidJSON, 400},
		{"a body with a rest", "POST", "", `{"channels":["a"]} x`, "", KindInvalidJSON, 400},
		{"a channel that is none", "POST", "", `{"channels":["a b"]}`, "", KindInvalidChannel, 400},
		{"a parameter of a wrong type", "POST", "", `{"channels":["a"],"last":[1]}`, "", KindInvalidJSON, 400},
		{"a fraction", "POST", "", `{"channels":["a"],"wait":1.5}`, "", KindInvalidParameter, 400},
		{"a position of another channel", "POST", "", `{"channels":["a"],"from":{"b":"k3f9x2.0"}}`, "", KindInvalidParameter, 400},
		{"a position of a pattern", "POST", "", `{"channels":["a.>"],"from":{"a.>":"k3f9x2.0"}}`, "", KindInvalidChannel, 400},
		{"a position that is none", "POST", "", `{"channels":["a"],"from":{"a":"now"}}`, "", KindInvalidCursor, 400},
		{"channels in the URL of a POST", "POST", "?channels=a", `{}`, "", KindInvalidParameter, 400},
		{"too large a body", "POST", "", `{"channels":["a"],"x":"` + strings.Repeat("x", 64<<10) + `"}`, "", KindBatchTooLarge, 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := p.stream(c.method, c.query, c.body, "Accept", c.accept)
			if w.Code != c.status || !strings.Contains(w.Body.String(), problemType+c.kind+`"`) {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, c.status, c.kind)
			}
		})
	}
	if w := p.stream("POST", "", "{}", "Content-Type", "text/plain"); w.Code != 415 {
		t.Errorf("a form of another page: %d", w.Code)
	}
}

// TestWithTheFlagSSEOffEveryClientGoesOnByPolls: an EventSource waits, a
// program is told the way, a poll is served.
func TestWithTheFlagSSEOffEveryClientGoesOnByPolls(t *testing.T) {
	p := newPod(t)
	retry := int64(31000)
	p.engine.Flags(engine.Flags{Revision: 1, Of: func(who engine.Identity) (map[string]bool, *wire.End) {
		if who.Poll {
			return nil, nil
		}
		return nil, &wire.End{Reason: wire.EndFlagOff, Status: 503, RetryMs: &retry}
	}})
	w := p.stream("GET", "?channels=a", "", "Accept", "text/event-stream")
	want := "retry: 31000\n\nevent: sg.end\ndata: {\"reason\":\"flag-off\",\"status\":503,\"retryMs\":31000,"
	if w.Code != 200 || !strings.HasPrefix(w.Body.String(), want) {
		t.Errorf("EventSource: %d %s", w.Code, w.Body)
	}
	for _, query := range []string{"&errors=http", ""} {
		accept := "text/event-stream"
		if query == "" {
			accept = "*/*"
		}
		w = p.stream("GET", "?channels=a"+query, "", "Accept", accept)
		if w.Code != 503 || !strings.Contains(w.Body.String(), `"transport":"poll"`) || w.Header().Get("Retry-After") != "31" {
			t.Errorf("a program: %d %s", w.Code, w.Body)
		}
	}
	if w = p.stream("GET", "?channels=a&wait=0", ""); w.Code != 200 {
		t.Errorf("a poll: %d %s", w.Code, w.Body)
	}
}

func FuzzStreamBody(f *testing.F) {
	f.Add([]byte(`{"channels":["a","b.>"],"from":{"a":"k3f9x2.1"},"cursor":"k3f9x2.2","last":1,"format":"array","wait":0,"limit":"5","errors":"http","pad":1}`))
	f.Add([]byte(`{"channels":null,"from":{},"wait":null,"x":{"y":[1e999]}}`))
	f.Add([]byte(`{"channels":["a"],"wait":-0,"limit":01}`))
	p := newPod(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		q := httptest.NewRequest(http.MethodPost, Base+"/stream", strings.NewReader(string(body)))
		q.Header.Set("Content-Type", "application/json")
		ask, no := parseStream(httptest.NewRecorder(), q, p.connections.Load())
		if (ask == nil || no != nil) != (no != nil) || no != nil && (no.status < 400 || no.status > 499) {
			t.Fatalf("%v %v", ask, no)
		}
		if no != nil {
			return
		}
		if ask.inBand {
			t.Fatalf("a POST answered as an EventSource: %+v", ask)
		}
		checkLetIn(t, ask)
	})
}

func FuzzStreamQuery(f *testing.F) {
	f.Add("channels=a,b.%3E&cursor=k3f9x2.2&format=array&last=1&from=a:k3f9x2.1&errors=http&pad=1", "k3f9x2.9")
	f.Add("channels=a&channels=b.*&wait=25&limit=5&compress=off", "")
	f.Add("wait=-0&limit=01;channels=%zz&%00", "\xff.1")
	p := newPod(f)
	f.Fuzz(func(t *testing.T, query, last string) {
		q := httptest.NewRequest(http.MethodGet, Base+"/stream", nil)
		q.URL.RawQuery = query
		q.Header.Set("Last-Event-ID", last)
		ask, no := parseStream(httptest.NewRecorder(), q, p.connections.Load())
		if (ask == nil) != (no != nil) || no != nil && (no.status < 400 || no.status > 499) {
			t.Fatalf("%v %v", ask, no)
		}
		if no == nil {
			checkLetIn(t, ask)
		}
	})
}

// checkLetIn holds what every request for a stream keeps once it is let in.
func checkLetIn(t *testing.T, ask *streamRequest) {
	t.Helper()
	if n := ask.Subs.Len(); n < 1 || n > 100 || ask.Last > maxLast || ask.poll && (ask.limit < 1 || ask.wait < 0) {
		t.Fatalf("let in: %+v", ask)
	}
	for name := range ask.From {
		if !ask.Subs.Match(name) {
			t.Fatalf("from %s without a subscription", name)
		}
	}
}
