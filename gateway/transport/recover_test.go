package transport

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAHandlerThatPanicsIsA500WithTheRequestsID(t *testing.T) {
	var logged strings.Builder
	routes, _ := newRoutes(&scriptedLog{}, verdict{})
	routes.Log = slog.New(slog.NewJSONHandler(&logged, nil))
	routes.Stream = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("out of luck") })
	server := httptest.NewServer(routes.Handler())
	defer server.Close()
	for range 2 { // it goes on
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+Base+"/stream?token=secret", nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("X-Request-Id", "r-7")
		res, err := server.Client().Do(q)
		if err != nil {
			t.Fatal(err)
		}
		var p problem
		err = errors.Join(json.NewDecoder(res.Body).Decode(&p), res.Body.Close())
		if err != nil || res.StatusCode != 500 || p.Type != problemType+KindInternal || p.RequestID != "r-7" || p.Title == "" {
			t.Errorf("%d %+v %v", res.StatusCode, p, err)
		}
	}
	if text := logged.String(); !strings.Contains(text, "out of luck") || !strings.Contains(text, `"requestId":"r-7"`) ||
		!strings.Contains(text, "recover_test.go") || strings.Contains(text, "secret") {
		t.Errorf("logged %s", text)
	}
}

func TestAnAnswerThatHasBegunIsCutWhenItsHandlerPanics(t *testing.T) {
	routes, _ := newRoutes(&scriptedLog{}, verdict{})
	routes.Log = slog.New(slog.DiscardHandler)
	routes.Stream = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		streamHeader(w)
		_, _ = w.Write([]byte("data: 1\n\n"))
		panic("out of luck")
	})
	defer func() {
		if cause := recover(); cause != http.ErrAbortHandler { //nolint:errorlint // as net/http does
			t.Errorf("panicked with %v", cause)
		}
	}()
	w := httptest.NewRecorder()
	routes.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, Base+"/stream", nil))
	t.Errorf("it was answered whole: %d %s", w.Code, w.Body)
}
