package server

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/report"
	"github.com/streamgateway/streamgateway/gateway/transport"
)

func TestReportAndMetricsTellWhatHappened(t *testing.T) {
	g := start(t, nil)
	s := g.open("channels=a,b")
	s.next("sg.caught-up")
	for i := range 3 {
		g.post("a", fmt.Sprint(i))
		s.next("")
	}
	g.post("b", "{")
	g.eventually("the last write is counted", func() bool { return g.report().Events.Delivered == 3 })
	r := g.report()
	if r.Pod != "prices-0" || r.Version != "test" || r.Serial != 1 || r.Revision != "default" || !r.Ready || r.Draining {
		t.Errorf("report %+v", r)
	}
	if r.Connections != (report.Connections{Active: 1, Opened: 1}) || r.Events != (report.Events{Published: 3, PublishRejected: 1, Delivered: 3}) {
		t.Errorf("report %+v %+v", r.Connections, r.Events)
	}
	if r.Latency.Count() != 3 || r.Latency.Quantile(0.95) > 0.5 || r.Replay.Events != 3 || r.Replay.Bytes == 0 {
		t.Errorf("report %+v %+v", r.Latency, r.Replay)
	}
	var m transport.Metrics
	g.get(g.base+"/metrics", &m)
	if m.Events.Published != 3 || m.Events.PublishRejected != 1 || m.Connections.Active != 1 || m.Subscriptions.Channels != 2 ||
		m.Batching.Batches != 3 || m.Replay.Events != 3 || m.Replay.Head != m.Broker.Epoch+".3" || m.LatencyMs.PublishToWrite.P95 <= 0 || m.Events.PublishRate <= 0 {
		t.Errorf("metrics %+v", m)
	}
	g.config.take(g.document(func(h *config.Hot) { h.Features = []config.Feature{{Name: "batching", Mode: config.Disabled}} }))
	g.get(g.base+"/metrics", &m)
	if m.Batching.WindowMs != 0 || m.Flags.Values["batching"] || m.Flags.Rev != 2 {
		t.Errorf("with batching switched off: %+v %+v", m.Batching, m.Flags)
	}
}

func TestAPodWhoseJanitorHangsIsNotAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pulse
		p.beat()
		time.Sleep(stuckAfter)
		if p.stuck() {
			t.Error("stuck too early")
		}
		time.Sleep(time.Millisecond)
		if !p.stuck() {
			t.Error("not found out")
		}
		p.beat()
		if p.stuck() {
			t.Error("did not recover")
		}
	})
}

func TestHistoryHoldsTheLastMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h history
		for i := range 100 {
			h.add(sample{at: time.Now(), published: uint64(i)})
			time.Sleep(samplePeriod)
		}
		if age := h.newest().Sub(h.oldest().at); age != historySpan || len(h.samples) != 13 {
			t.Errorf("%d samples over %s", len(h.samples), age)
		}
	})
}

func TestSizeQuantileIsOfTheTimeBetween(t *testing.T) {
	past := []uint64{100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	now := []uint64{190, 5, 0, 5, 0, 0, 0, 0, 0, 0, 0}
	if got := sizeQuantile(now, past, 0.95); got != 2 {
		t.Errorf("p95 %d", got)
	}
	if got := sizeQuantile(now, past, 0.99); got != 10 {
		t.Errorf("p99 %d", got)
	}
	if got := sizeQuantile(past, past, 0.95); got != 0 {
		t.Errorf("of nothing %d", got)
	}
}

func TestCheckIsStrictAndNamesTheFile(t *testing.T) {
	cold, hot := config.Default()
	coldText, err := config.Encode(cold)
	if err != nil {
		t.Fatal(err)
	}
	hotText, err := config.Encode(config.Document{Serial: 1, Stable: config.Revision{Hot: hot}})
	if err != nil {
		t.Fatal(err)
	}
	folder := inFolder(t, config.HotKey, hotText)
	writeFile(t, filepath.Join(folder, config.ColdKey("abcd1234")), coldText)
	if err := Check(folder); err != nil {
		t.Errorf("a good folder: %v", err)
	}
	if err := Check(filepath.Join(folder, config.HotKey)); err != nil {
		t.Errorf("a good file: %v", err)
	}
	writeFile(t, filepath.Join(folder, config.HotKey), []byte(`{"serial":1,"stable":{"hot":{"batchnig":{},"queue":{"maxEvents":0}}}}`))
	writeFile(t, filepath.Join(folder, "cold.json"), []byte(`{"listener":{"port":0}}`))
	err = Check(folder)
	for _, want := range []string{"hot.json:", "stable.hot.batchnig: not a field of this version", "stable.hot.queue.maxEvents: 0 is not between", "cold.json:", "listener.port: 0 is not between"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
	if Check(filepath.Join(folder, "nowhere")) == nil {
		t.Error("a missing file is valid")
	}
}

func TestAGatewayDoesNotStartWithoutItsColdDocument(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{"cold.other.json": "{}", "cold.broken.json": "{", "cold.bad.json": `{"listener":{"port":-1}}`} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, hash := range []string{"missing", "broken", "bad"} {
		if _, err := New(Options{Config: folder, TemplateHash: hash, Log: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("started with %s", hash)
		}
	}
	for _, cold := range []string{`{}`, `{"gateway":{"namespace":"shop","name":"prices"}}`} {
		writeFile(t, filepath.Join(folder, "cold.other.json"), []byte(cold))
		if _, err := New(Options{Config: folder, TemplateHash: "other", Cluster: true, Log: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("started with --cluster outside of a cluster and %s", cold)
		}
	}
}

func TestThePageIsThereOnlyInDevelopment(t *testing.T) {
	g := start(t, nil)
	main, _ := g.Addresses()
	res, err := http.Get("http://" + main + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 200 || !strings.Contains(string(body), `from "/v2/realtime/client.js"`) || res.Header.Get("Content-Security-Policy") == "" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	script, err := http.Get("http://" + main + "/v2/realtime/client.js")
	if err != nil {
		t.Fatal(err)
	}
	defer script.Body.Close()
	code, _ := io.ReadAll(script.Body)
	if script.StatusCode != 200 || !strings.Contains(string(code), "as createClient") || !strings.Contains(string(code), "as readTokens") {
		t.Errorf("%d, %d bytes without a client in them", script.StatusCode, len(code))
	}
	lines := strings.Split(strings.TrimSpace(Try(main, false)), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], main+"/v2/realtime/stream?channels=demo") {
		t.Errorf("%q", lines)
	}
}

// A certificate that came late is not enough: between it and the open port,
// whoever is sent here would be refused.
func TestAPodIsNotReadyBeforeItsPortForClientsIsOpen(t *testing.T) {
	s, err := New(Options{Version: "test", Dev: true, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.engine.Close(); _ = s.events.Close() }()
	s.config.take((&gateway{t: t}).document(func(*config.Hot) {}))
	if s.ready() || s.unready() != "the port for clients is not open yet" {
		t.Errorf("ready: %t, %s", s.ready(), s.unready())
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.main.Load().Close(); _ = s.admin.Close() }()
	if !s.ready() {
		t.Error(s.unready())
	}
}
