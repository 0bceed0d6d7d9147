package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/report"
)

func pod(t *testing.T, handler http.HandlerFunc) Target {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return Target{Pod: "p", Address: server.Listener.Addr().String()}
}

func answers(r report.Report) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(r) }
}

// rawPod answers every connection with these bytes and then does as told.
func rawPod(t *testing.T, after func(net.Conn), text string) Target {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				if _, err := connection.Read(make([]byte, 4096)); err == nil {
					io.WriteString(connection, text)
				}
				after(connection)
			}()
		}
	}()
	return Target{Pod: "p", Address: listener.Addr().String()}
}

func TestAskReturnsTheReportOfEachPodInOrder(t *testing.T) {
	targets := make([]Target, 40)
	for i := range targets {
		name := fmt.Sprintf("pod-%d", i)
		targets[i] = pod(t, answers(report.Report{Pod: name, Serial: int64(i)}))
		targets[i].Pod = name
	}
	for i, a := range NewClient().Ask(t.Context(), targets, 0, 5*time.Second) {
		if a.Err != nil || a.Report.Serial != int64(i) || a.Pod != targets[i].Pod {
			t.Errorf("answer %d is %+v", i, a)
		}
	}
}

func TestAskWaitsForASerialOnlyWhenToldTo(t *testing.T) {
	var query atomic.Value
	target := pod(t, func(w http.ResponseWriter, r *http.Request) {
		query.Store(r.URL.Path + "?" + r.URL.RawQuery)
		json.NewEncoder(w).Encode(report.Report{Pod: "p"})
	})
	for serial, want := range map[int64]string{0: "/status?", 57: "/status?waitFor=57"} {
		if a := NewClient().Ask(t.Context(), []Target{target}, serial, time.Second); a[0].Err != nil || query.Load() != want {
			t.Errorf("serial %d: asked for %v (%v), want %s", serial, query.Load(), a[0].Err, want)
		}
	}
}

func TestAskUsesOneConnectionForManyRounds(t *testing.T) {
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(answers(report.Report{Pod: "p"}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	client := NewClient()
	for range 20 {
		client.Ask(t.Context(), []Target{{Pod: "p", Address: server.Listener.Addr().String()}}, 0, time.Second)
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections for 20 rounds, want 1", n)
	}
}

func TestHostilePodIsAnErrorAndHoldsUpNobody(t *testing.T) {
	// Those that keep silent are waited for; all others are errors long before.
	const silent, patience = 2 * time.Second, 30 * time.Second
	held := make(chan struct{})
	t.Cleanup(func() { close(held) })
	stall := func(net.Conn) { <-held }
	leave := func(net.Conn) {}
	ok := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	elsewhere := pod(t, func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	cases := map[string]struct {
		target Target
		want   string
	}{
		"never answers":                {rawPod(t, stall, ""), "deadline exceeded"},
		"stops inside its headers":     {rawPod(t, stall, "HTTP/1.1 200 OK\r\nX-"), "deadline exceeded"},
		"stops inside its body":        {rawPod(t, stall, ok+"Content-Length: 100\r\n\r\n{\"pod\":"), "deadline exceeded"},
		"hangs up inside its body":     {rawPod(t, leave, ok+"Content-Length: 100\r\n\r\n{\"pod\":"), "unexpected EOF"},
		"hangs up at once":             {rawPod(t, leave, ""), "EOF"},
		"speaks no HTTP":               {rawPod(t, leave, "220 smtp ready\r\n"), "malformed"},
		"sends endless headers":        {rawPod(t, leave, "HTTP/1.1 200 OK\r\n"+strings.Repeat("X-A: b\r\n", 20000)), "header"},
		"sends an endless body":        {pod(t, endless), "longer than"},
		"refuses the connection":       {Target{Pod: "p", Address: closed.Addr().String()}, "refused"},
		"redirects elsewhere":          {pod(t, http.RedirectHandler("http://"+elsewhere.Address, http.StatusFound).ServeHTTP), "status 302"},
		"answers 500":                  {pod(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }), "status 500"},
		"sends no JSON":                {pod(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }), "reading the report"},
		"nests JSON deeply":            {pod(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("[", 100000)) }), "reading the report"},
		"is another pod":               {pod(t, answers(report.Report{Pod: "q"})), `pod "q" answered in its place`},
		"reports negative connections": {pod(t, answers(report.Report{Pod: "p", Connections: report.Connections{Active: -1}})), "negative"},
		"reports an impossible lag":    {pod(t, answers(report.Report{Pod: "p", Queue: report.Queue{LagPercent: 1e9}})), "lag"},
		"reports trouble nobody knows": {pod(t, answers(report.Report{Pod: "p", TLS: &report.TLS{Reason: strings.Repeat("R", 99)}})), "trouble with TLS"},
		"reports an endless revision":  {pod(t, answers(report.Report{Pod: "p", Nack: &report.Nack{Revision: strings.Repeat("x", 64)}})), "revision"},
		"reports too many of browsers": {pod(t, answers(report.Report{Pod: "p", Browsers: report.Browsers{Latency: report.Histogram{Counts: make([]uint64, 10000)}}})), "buckets"},
		"reports too many buckets":     {pod(t, answers(report.Report{Pod: "p", Latency: report.Histogram{Counts: make([]uint64, 10000)}})), "buckets"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good := pod(t, answers(report.Report{Pod: "good"}))
			good.Pod = "good"
			timeout, most := patience, patience
			if c.want == "deadline exceeded" {
				timeout, most = silent, 5*silent
			}
			start := time.Now()
			got := NewClient().Ask(t.Context(), []Target{c.target, good}, 0, timeout)
			if took := time.Since(start); took >= most {
				t.Errorf("took %s with a timeout of %s", took, timeout)
			}
			if got[0].Report != nil || got[0].Err == nil || !strings.Contains(got[0].Err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", got[0].Err, c.want)
			}
			if got[1].Err != nil {
				t.Errorf("the good pod beside it: %v", got[1].Err)
			}
		})
	}
}

func endless(w http.ResponseWriter, _ *http.Request) {
	for chunk := []byte(strings.Repeat(" ", 4096)); ; {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func TestManySilentPodsTakeOneTimeoutForEachRoundOfSlots(t *testing.T) {
	const timeout = 500 * time.Millisecond
	held := make(chan struct{})
	defer close(held)
	targets := make([]Target, 2*maxAsksAtOnce)
	for i := range targets {
		targets[i] = rawPod(t, func(net.Conn) { <-held }, "")
	}
	start := time.Now()
	NewClient().Ask(t.Context(), targets, 0, timeout)
	if took := time.Since(start); took < 2*timeout || took > time.Duration(len(targets))*timeout/2 {
		t.Errorf("took %s, want about %s; one after the other they would take %s", took, 2*timeout, time.Duration(len(targets))*timeout)
	}
}

func TestLongRefusalIsCut(t *testing.T) {
	long := report.Report{Pod: "p", TLS: &report.TLS{Reason: report.SecretNotFound, Message: strings.Repeat("é", 5000)}, Nack: &report.Nack{Serial: 1, Message: "x" + strings.Repeat("é", 5000)}}
	a := NewClient().Ask(context.Background(), []Target{pod(t, answers(long))}, 0, time.Second)
	if a[0].Err == nil && len(a[0].Report.TLS.Message) > maxMessageLength {
		t.Errorf("a message of %d bytes", len(a[0].Report.TLS.Message))
	}
	if a[0].Err != nil || len(a[0].Report.Nack.Message) > maxMessageLength || strings.ContainsRune(a[0].Report.Nack.Message, '\uFFFD') {
		t.Errorf("got %v, %d bytes", a[0].Err, len(a[0].Report.Nack.Message))
	}
}
