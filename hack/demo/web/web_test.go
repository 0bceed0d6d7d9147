package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/hack/demo/answer"
	"github.com/streamgateway/streamgateway/hack/demo/ledger"
)

const token = "a-token"

type site struct {
	*httptest.Server
	book    *ledger.Ledger
	closing chan struct{}
}

func serve(t *testing.T, gateway http.Handler) *site {
	t.Helper()
	book, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "l.db"))
	if err != nil {
		t.Fatal(err)
	}
	behind := httptest.NewServer(gateway)
	target, err := url.Parse(behind.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{book: book, closing: make(chan struct{})}
	s.Server = httptest.NewServer(Handler(Options{
		Store: book, Gateway: target, Token: token, NewID: func() string { return "new" },
		Closing: s.closing, Log: slog.New(slog.DiscardHandler),
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
		behind.CloseClientConnections()
		behind.Close()
		_ = book.Close()
	})
	return s
}

func (s *site) post(t *testing.T, authorization, kind, body string) (*http.Response, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/finance/revenue", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	return resp, got
}

func TestRevenueIsStoredWithItsEventAndAnswered(t *testing.T) {
	s := serve(t, http.NotFoundHandler())
	before := time.Now().UnixMilli()
	resp, got := s.post(t, "Bearer "+token, "application/json; charset=utf-8", `{"amount":10000,"propertyId":1}`)
	if resp.StatusCode != http.StatusCreated || got["id"] != "new" || got["amount"] != 10000.0 || got["propertyId"] != 1.0 {
		t.Errorf("answer = %d %v", resp.StatusCode, got)
	}
	if at := int64(got["committedMs"].(float64)); at < before || at > time.Now().UnixMilli() || at < int64(got["createdMs"].(float64)) {
		t.Errorf("committed at %d", at)
	}
	if c, err := s.book.Count(t.Context()); err != nil || c != (ledger.Counts{Revenues: 1, Waiting: 1}) {
		t.Errorf("counts = %+v, %v", c, err)
	}
}

func TestRefusalsAreProblemsAndStoreNothing(t *testing.T) {
	s := serve(t, http.NotFoundHandler())
	const ok, js, good = "Bearer " + token, "application/json", `{"amount":10000,"propertyId":1}`
	for name, c := range map[string]struct {
		authorization, kind, body string
		status                    int
		problem                   string
	}{
		"no token":            {"", js, good, 401, "unauthenticated"},
		"a wrong token":       {"Bearer a-token2", js, good, 401, "unauthenticated"},
		"an empty token":      {"Bearer ", js, good, 401, "unauthenticated"},
		"another scheme":      {"Basic " + token, js, good, 401, "unauthenticated"},
		"a form":              {ok, "application/x-www-form-urlencoded", good, 415, "unsupported-media-type"},
		"no JSON":             {ok, js, `{"amount":`, 400, "invalid-json"},
		"two values":          {ok, js, good + good, 400, "invalid-json"},
		"an unknown field":    {ok, js, `{"amount":1,"propertyId":1,"x":1}`, 400, "invalid-json"},
		"a fraction":          {ok, js, `{"amount":1.5,"propertyId":1}`, 400, "invalid-json"},
		"nothing":             {ok, js, `{}`, 422, "invalid-revenue"},
		"an amount of zero":   {ok, js, `{"amount":0,"propertyId":1}`, 422, "invalid-revenue"},
		"a negative property": {ok, js, `{"amount":1,"propertyId":-1}`, 422, "invalid-revenue"},
		"too many bytes":      {ok, js, `{"amount":1,` + strings.Repeat(" ", bodyBytes) + `"propertyId":1}`, 413, "too-large"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, got := s.post(t, c.authorization, c.kind, c.body)
			if resp.StatusCode != c.status || got["type"] != "urn:finance-demo:problem:"+c.problem || got["status"] != float64(c.status) {
				t.Errorf("answer = %d %v, want %d %s", resp.StatusCode, got, c.status, c.problem)
			}
			if kind := resp.Header.Get("Content-Type"); kind != "application/problem+json" {
				t.Errorf("Content-Type = %s", kind)
			}
			if (c.status == 401) != (resp.Header.Get("WWW-Authenticate") != "") {
				t.Errorf("WWW-Authenticate = %q", resp.Header.Get("WWW-Authenticate"))
			}
		})
	}
	if c, err := s.book.Count(t.Context()); err != nil || c != (ledger.Counts{}) {
		t.Errorf("counts = %+v, %v", c, err)
	}
}

// TestStreamPassesThroughPieceByPiece holds the gateway's answer open: a piece
// that is not flushed would never arrive.
func TestStreamPassesThroughPieceByPiece(t *testing.T) {
	next, left := make(chan string), make(chan struct{})
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.String() != "/v2/realtime/stream?channels=a,b" || r.Header.Get("Last-Event-ID") != "abcd.7" {
			t.Errorf("gateway was asked for %s from %q", r.URL, r.Header.Get("Last-Event-ID"))
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			select {
			case piece := <-next:
				_, _ = io.WriteString(w, piece)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				close(left)
				return
			}
		}
	}))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v2/realtime/stream?channels=a,b", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Last-Event-ID", "abcd.7")
	go func() { next <- "data: 0\n" }()
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for _, want := range []string{"data: 0\n", "data: 1\n", "data: 2\n"} {
		if got, err := lines.ReadString('\n'); err != nil || got != want {
			t.Fatalf("line = %q, %v, want %q", got, err, want)
		}
		if want != "data: 2\n" {
			next <- map[string]string{"data: 0\n": "data: 1\n", "data: 1\n": "data: 2\n"}[want]
		}
	}
	close(s.closing)
	if _, err := lines.ReadString('\n'); err == nil {
		t.Error("the stream went on after the demo was told to stop")
	}
	select {
	case <-left:
	case <-time.After(time.Minute):
		t.Error("the gateway still holds the stream that its reader left")
	}
}

func TestGatewayAwayLeavesEventSourceTrying(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	for accept, want := range map[string]struct {
		status int
		kind   string
	}{
		"text/event-stream": {200, "text/event-stream"}, // any other status would stop it for good
		"*/*":               {502, "application/problem+json"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v2/realtime/stream?channels=a", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want.status || resp.Header.Get("Content-Type") != want.kind {
			t.Errorf("Accept %s: answer = %d %s %s", accept, resp.StatusCode, resp.Header.Get("Content-Type"), text)
		}
	}
}

type brokenStore struct{ Store }

func (brokenStore) Record(context.Context, ledger.Revenue) error { return errors.New("disk full") }
func (brokenStore) Count(context.Context) (ledger.Counts, error) {
	return ledger.Counts{}, errors.New("disk full")
}

func TestBrokenStorageIsSaidAndNotAnsweredAsStored(t *testing.T) {
	h := Handler(Options{Store: brokenStore{}, Gateway: &url.URL{}, Token: token, NewID: func() string { return "x" }, Log: slog.New(slog.DiscardHandler)})
	for _, r := range []*http.Request{
		httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", nil),
		httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/finance/revenue", strings.NewReader(`{"amount":1,"propertyId":1}`)),
	} {
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 503 || strings.Contains(w.Body.String(), "disk") {
			t.Errorf("%s %s: %d %s", r.Method, r.URL, w.Code, w.Body)
		}
	}
}

// speaker gives one answer and is then busy.
type speaker struct{ said, running string }

func (s *speaker) Start(_ context.Context, id, text string) (string, error) {
	if s.running != "" {
		return "", answer.ErrBusy
	}
	s.said, s.running = text, id
	return "answers." + id, nil
}

func (s *speaker) Cancel(id string) bool { return id == s.running }

func TestAnswersAreBegunByWhoHasTheTokenAndCancelledByWhoKnowsThem(t *testing.T) {
	var said speaker
	h := Handler(Options{Store: stored{}, Speaker: &said, Gateway: &url.URL{}, Token: token, NewID: func() string { return "x" }, Log: slog.New(slog.DiscardHandler)})
	for _, c := range []struct {
		method, path, token string
		status              int
	}{
		{"POST", "/finance/answers", "wrong", 401},
		{"DELETE", "/finance/answers/x", "", 404},
		{"POST", "/finance/answers", token, 202},
		{"POST", "/finance/answers", token, 503},
		{"DELETE", "/finance/answers/x", "", 204},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, http.NoBody)
		r.Header.Set("Authorization", "Bearer "+c.token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || c.status == 202 && w.Body.String() != `{"id":"x","channel":"answers.x"}`+"\n" {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
	if !strings.HasPrefix(said.said, "So far 7 revenues") {
		t.Errorf("said %.40q", said.said)
	}
}

type stored struct{ Store }

func (stored) Count(context.Context) (ledger.Counts, error) { return ledger.Counts{Revenues: 7}, nil }

func TestTrafficIsCountedByTheWayOfReading(t *testing.T) {
	body := strings.Repeat("x", 1000)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
	for _, path := range []string{"stream?wait=1&channels=a", "stream?channels=a&wait=0", "stream?channels=a", "channels/a/last", "time"} {
		resp, err := s.Client().Get(s.URL + "/v2/realtime/" + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body) // its length is known
		_ = resp.Body.Close()
	}
	resp, err := s.Client().Get(s.URL + "/finance/traffic")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got map[string]struct{ Requests, Bytes int }
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	// Headers are what is above the bodies.
	if got["poll"].Requests != 2 || got["stream"].Requests != 1 ||
		got["poll"].Bytes < 2200 || got["poll"].Bytes > 3200 || got["stream"].Bytes < 1100 || got["stream"].Bytes > 1600 {
		t.Errorf("counted %v", got)
	}
}

// TestPageLoadsNothingForeign reads the page as its policy would: no address of
// another host, no inline script or style. What the generated script loads is
// the policy's business alone.
func TestPageLoadsNothingForeign(t *testing.T) {
	s := serve(t, http.NotFoundHandler())
	foreign := regexp.MustCompile(`(?i)(src|href|url\()\s*=?\s*["']?(https?:)?//|<script>|<style| on[a-z]+=|style="`)
	for _, path := range []string{"/", "/app.js", "/tokens.html", "/tokens.js", "/style.css", "/icon.svg"} {
		resp, err := s.Client().Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || len(text) == 0 {
			t.Fatalf("GET %s: %d, %v", path, resp.StatusCode, err)
		}
		if found := foreign.Find(text); found != nil && path != "/app.js" {
			t.Errorf("%s has %q", path, found)
		}
		if !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("%s has no policy", path)
		}
	}
}
