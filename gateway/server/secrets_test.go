package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/report"
)

// journal is a log that tests can read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// lines are the entries with this message.
func (j *journal) lines(t *testing.T, message string) (found []map[string]any) {
	t.Helper()
	for lines := bufio.NewScanner(strings.NewReader(j.String())); lines.Scan(); {
		entry := map[string]any{}
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
			t.Fatalf("no JSON: %s", lines.Text())
		}
		if entry["msg"] == message {
			found = append(found, entry)
		}
	}
	return found
}

// logged starts a gateway that logs all it can.
func logged(t *testing.T) (*gateway, *journal) {
	t.Helper()
	j, level := &journal{}, new(slog.LevelVar)
	g := start(t, func(o *Options) {
		o.Log, o.Level = slog.New(slog.NewJSONHandler(j, &slog.HandlerOptions{Level: level})), level
	})
	g.config.take(g.document(func(h *config.Hot) {
		h.Observability.LogLevel, h.Observability.AccessLog = config.LogDebug, config.Enabled
	}))
	return g, j
}

// Whatever a client sends as a credential, as data, or as a name stays out of
// the log, the metrics and the report, on every endpoint, whether the request
// is good or not.
func TestNothingThatAClientSentIsTold(t *testing.T) {
	g, j := logged(t)
	const secret = "s3cr3t"
	long := strings.Repeat(secret, 3000)
	bodies := []string{"", `{"data":"` + secret + `"}`, `{"channel":"` + secret + `","data":1}`, `["` + secret, secret, `{"add":["` + secret + `","!` + secret + `"]}`, long}
	paths := []string{"/stream", "/stream?channels=" + secret, "/stream?wait=0&channels=" + secret, "/stream?channels=" + secret + "&cursor=" + secret,
		"/events", "/events?channel=" + secret, "/channels/" + secret + "/events", "/channels/" + secret + "/last", "/channels/" + secret + "/presence",
		"/channels/!" + secret + "/events", "/sessions/" + secret, "/time", "/metrics", "/tickets", "/beacon", "/" + secret, "/stream?channels=" + long}
	query := "access_token=" + secret + "&ticket=" + secret + "&from=" + secret + "&" + secret + "=" + secret
	requests := 0
	for _, path := range paths {
		for _, method := range []string{"GET", "POST", "PATCH", "DELETE", "PUT", "OPTIONS", "HEAD", secret} {
			for _, body := range bodies {
				separator := "?"
				if strings.Contains(path, "?") {
					separator = "&"
				}
				requests++
				g.ask(method, g.base+path+separator+query, body, secret)
			}
		}
	}
	g.eventually("all streams are logged", func() bool { return g.report().Connections.Active == 0 })
	texts := map[string]string{"log": j.String(), "scrape": g.scrape("text/plain"), "report": fmt.Sprintf("%+v", g.report())}
	for what, text := range texts {
		if at := strings.Index(strings.ToLower(text), secret); at >= 0 {
			t.Errorf("the %s tells a secret: …%s…", what, text[max(0, at-200):min(len(text), at+100)])
		}
		if strings.Contains(text, `"127.0.0.1`) && what != "log" { // the log tells where the gateway listens
			t.Errorf("the %s tells an address", what)
		}
	}
	if refused, ended := len(j.lines(t, "request refused")), len(j.lines(t, "stream ended")); refused < requests/2 || ended < 10 {
		t.Errorf("of %d requests %d are logged as refused, and %d streams as ended", requests, refused, ended)
	}
}

// ask sends a request with a secret wherever one can stand, and reads the
// first bytes of the answer.
func (g *gateway) ask(method, url, body, secret string) {
	g.t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	r.Header.Set("Cookie", "__Host-sg="+secret)
	r.Header.Set("Content-Type", "application/json")
	for _, name := range []string{"Last-Event-ID", "Idempotency-Key", "Ce-Id", "Ce-Source", "Referer", "User-Agent", "X-Forwarded-For", "Forwarded", "Traceparent", "Tracestate"} {
		r.Header.Set(name, secret)
	}
	r.Header.Set("X-Request-Id", secret+"."+secret+"."+secret) // shaped like a token
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, url, err)
	}
	_, _ = io.ReadFull(res.Body, make([]byte, 64)) // it may be shorter
	_ = res.Body.Close()
}

func TestARequestIsFollowedThroughTheLogByItsID(t *testing.T) {
	g, j := logged(t)
	g.get(g.admin+report.Path, &report.Report{})
	s := g.open("channels=a", "X-Request-Id", "from-the-edge-1")
	s.next("sg.caught-up")
	if got := s.header.Get("X-Request-Id"); got != "from-the-edge-1" {
		t.Errorf("the answer has the id %q", got)
	}
	g.post("a", `"x"`)
	s.next("")
	g.eventually("the write is counted", func() bool { return g.report().Events.Delivered == 1 })
	s.close()
	g.eventually("the line is written", func() bool { return len(j.lines(t, "stream ended")) == 1 })
	line := j.lines(t, "stream ended")[0]
	if line["requestId"] != "from-the-edge-1" || line["reason"] != "client" || line["events"] != 1.0 || line["bytes"].(float64) < 100 ||
		line["encoding"] != "gzip" || line["subscriptions"] != 1.0 || line["lastedMilliseconds"] == nil {
		t.Errorf("line %v", line)
	}

	g.config.take(g.document(func(h *config.Hot) { h.Connections.MaxPerPod = 1 }))
	g.open("channels=a").next("sg.caught-up")
	for _, c := range []struct {
		path, id, level, route, problem string
		status                          float64
	}{
		{"/stream?channels=a&errors=http", "r-1", "WARN", "/v2/realtime/stream", "overload", 503},
		{"/stream?channels=a", "r-2", "WARN", "/v2/realtime/stream", "overload", 503}, // told inside a stream
		{"/stream", "r-3", "INFO", "/v2/realtime/stream", "invalid-parameter", 400},
		{"/channels/!/last", "r-4", "INFO", "/v2/realtime/channels/{channel}/last", "invalid-channel", 400},
		{"/nowhere", "r-5", "INFO", "/", "not-found", 404},
	} {
		r, _ := http.NewRequest("GET", g.base+c.path, nil)
		r.Header.Set("X-Request-Id", c.id)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		var line map[string]any
		g.eventually("a line for "+c.id, func() bool {
			for _, line = range j.lines(t, "request refused") {
				if line["requestId"] == c.id {
					return true
				}
			}
			return false
		})
		if line["level"] != c.level || line["route"] != c.route || line["problem"] != c.problem || line["status"] != c.status || line["method"] != "GET" {
			t.Errorf("%s: %v", c.path, line)
		}
	}
}

func TestLogLevelAndAccessLogAreSwitchedWhileStreamsRun(t *testing.T) {
	g, j := logged(t)
	s := g.open("channels=a")
	s.next("sg.caught-up")
	g.config.take(g.document(func(h *config.Hot) { h.Observability.LogLevel = config.LogError }))
	before := len(j.String())
	s.close()
	g.status(g.base + "/nowhere")
	g.eventually("the stream is gone", func() bool { return g.report().Connections.Active == 0 })
	if text := j.String()[before:]; text != "" {
		t.Errorf("at level Error: %s", text)
	}
	g.config.take(g.document(func(h *config.Hot) { h.Observability.LogLevel = config.LogWarn }))
	if g.options.Level.Level() != slog.LevelWarn || g.access.enabled.Load() {
		t.Errorf("level %s, access log %t", g.options.Level, g.access.enabled.Load())
	}
}

// Who floods a gateway with bad requests does not flood its log.
func TestRefusalsOfOneSecondAreBounded(t *testing.T) {
	g, j := logged(t)
	g.config.take(g.document(func(*config.Hot) {})) // level Info
	for range 300 {
		g.status(g.base + "/nowhere")
	}
	if n := len(j.lines(t, "request refused")); n < 50 || n > 200 {
		t.Errorf("%d lines", n)
	}
	g.eventually("the rest is told in one line", func() bool {
		g.status(g.base + "/nowhere")
		return len(j.lines(t, "refusals left out of the log")) > 0
	})
}

func TestEveryAnswerHasTheHeadersThatKeepItPrivate(t *testing.T) {
	g := start(t, nil)
	main, _ := g.Addresses()
	for _, url := range []string{g.base + "/stream?channels=a", g.base + "/stream?channels=a&wait=0", g.base + "/stream", g.base + "/time", g.base + "/metrics",
		g.base + "/tickets", g.base + "/beacon", g.base + "/channels/a/last", g.base + "/channels/a/events", g.base + "/events", g.base + "/nowhere", "http://" + main + "/",
		g.admin + report.Path, g.admin + report.HealthzPath, g.admin + report.ReadyzPath, g.admin + report.MetricsPath, g.admin + "/nowhere"} {
		for _, method := range []string{"GET", "OPTIONS"} {
			r, _ := http.NewRequest(method, url, nil)
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			h := res.Header
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || !strings.HasPrefix(h.Get("Cache-Control"), "no-store") {
				t.Errorf("%s %s: %v", method, url, h)
			}
		}
	}
}
