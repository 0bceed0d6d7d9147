package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/report"
)

func TestAPostedEventArrivesInAnOpenStream(t *testing.T) {
	g := start(t, nil)
	s := g.open("channels=finance.revenue")
	s.next("sg.caught-up")
	status, body := g.post("finance.revenue", `{"amount": 10000}`)
	var ack struct {
		Accepted   int
		Durability string
		Results    []struct{ Cursor string }
	}
	if err := json.Unmarshal([]byte(body), &ack); err != nil || status != 200 || ack.Accepted != 1 || ack.Durability != "memory" {
		t.Fatalf("%d %s (%v)", status, body, err)
	}
	if f := s.next(""); f.data != `{"amount":10000}` || f.id != ack.Results[0].Cursor {
		t.Errorf("got %+v, acknowledged %s", f, body)
	}
}

func TestAStreamResumesWhereItWasCut(t *testing.T) {
	g := start(t, nil)
	s := g.open("channels=a")
	s.next("sg.caught-up")
	g.post("a", "1")
	id := s.next("").id
	s.close()
	g.post("a", "2")
	g.post("b", "3")
	g.post("a", "4")
	again := g.open("channels=a", "Last-Event-ID", id)
	if f := again.next(""); f.data != "2" {
		t.Errorf("resumed with %+v", f)
	}
	if f := again.next(""); f.data != "4" {
		t.Errorf("then %+v", f)
	}
}

func TestHotConfigChangesARunningStreamWithoutAReconnect(t *testing.T) {
	g := start(t, nil)
	g.config.take(g.document(func(h *config.Hot) { h.Batching.Window = 0 }))
	s := g.open("channels=a")
	s.next("sg.caught-up")
	// waited counts, after two events in a row, those that waited for a window.
	waited := func() uint64 {
		for _, data := range []string{"1", "2"} {
			g.post("a", data)
		}
		s.next("")
		s.next("")
		return g.engine.Stats().Batches.ByTime
	}
	if n := waited(); n != 0 {
		t.Errorf("%d events waited without a window", n)
	}
	g.config.take(g.document(func(h *config.Hot) { h.Batching.Window = 400 * time.Millisecond }))
	// Not in the first round where the second event comes late itself.
	g.eventually("an event waits for its window", func() bool { return waited() > 0 })
	g.config.take(g.document(func(h *config.Hot) { h.Batching.Window = 0 }))
	if before := g.engine.Stats().Batches.ByTime; waited() != before {
		t.Error("an event waits although there is no window any more")
	}
	if r := g.report(); r.Serial != 4 || r.Connections.Opened != 1 || r.Connections.Active != 1 {
		t.Errorf("report %+v", r)
	}
}

func TestAFlagSwitchesInARunningStream(t *testing.T) {
	g := start(t, nil)
	s := g.open("channels=a")
	s.next("sg.caught-up")
	g.config.take(g.document(func(h *config.Hot) {
		h.Features = []config.Feature{{Name: "newChart", Mode: config.Enabled}}
	}))
	if f := s.next("sg.flags"); f.data != `{"flagsRev":2,"flags":{"batching":true,"beacon":true,"coalesce":true,"compression":true,"newChart":true,"replay":true,"sharedConnection":true,"sse":true,"unifiedStream":true},"beaconMs":60000}` {
		t.Errorf("got %s", f.data)
	}
	g.config.take(g.document(func(h *config.Hot) { // another knob: no news for browsers
		h.Features = []config.Feature{{Name: "newChart", Mode: config.Enabled}}
		h.Batching.MaxEvents = 7
	}))
	g.config.take(g.document(func(h *config.Hot) {
		h.Features = []config.Feature{{Name: "unifiedStream", Mode: config.Disabled}}
	}))
	if f := s.next("sg.end"); f.data != `{"reason":"flag-off","status":503,"retryMs":null}` {
		t.Errorf("got %s", f.data)
	}
	s.closed()
	if last := g.open("channels=a").closed(); last.event != "sg.end" || !strings.Contains(last.data, `"retryMs":null`) {
		t.Errorf("a new stream ended with %+v", last)
	}
	g.config.take(g.document(func(*config.Hot) {}))
	g.open("channels=a").next("sg.caught-up")
}

func TestAListOfOpenChannelsActsOnRunningStreams(t *testing.T) {
	g := start(t, nil)
	both, open := g.open("channels=secrets,prices"), g.open("channels=prices")
	both.next("sg.caught-up")
	open.next("sg.caught-up")
	g.config.take(g.document(func(h *config.Hot) { h.Auth.Subscribers.AnonymousChannels = []string{"prices"} }))
	if f := both.closed(); f.event != "sg.end" || !strings.Contains(f.data, `"reason":"auth-revoked","status":403`) {
		t.Errorf("ended with %+v", f)
	}
	g.post("secrets", "1")
	g.post("prices", "2")
	if f := open.next(""); f.data != "2" {
		t.Errorf("got %+v", f)
	}
	again := g.open("channels=secrets,prices")
	if f := again.next("sg.open"); !strings.Contains(f.data, `"denied":[{"channel":"secrets","reason":"not-allowed"}]`) {
		t.Errorf("opened with %s", f.data)
	}
	g.config.take(g.document(func(*config.Hot) {}))
	g.open("channels=secrets").next("sg.caught-up")
}

func TestARefusedDocumentLeavesTheOldOneServing(t *testing.T) {
	g := start(t, nil)
	s := g.open("channels=a")
	s.next("sg.caught-up")
	before, _ := g.Server.config.now()
	bad := g.document(func(h *config.Hot) { h.Queue.MaxEvents = 1 })
	g.config.take(bad)
	r := g.report()
	if r.Nack == nil || r.Nack.Serial != 2 || r.Nack.Revision != "r2" || !strings.Contains(r.Nack.Message, "stable.hot.queue.maxEvents: 1 is below batching.maxEvents (100)") {
		t.Fatalf("nack %+v", r.Nack)
	}
	if after, _ := g.Server.config.now(); r.Serial != 1 || !r.Ready || after.revision.Name != before.revision.Name {
		t.Errorf("runs %+v", r)
	}
	g.post("a", "1")
	if f := s.next(""); f.data != "1" {
		t.Errorf("got %+v", f)
	}
	g.config.take(g.document(func(*config.Hot) {}))
	if r := g.report(); r.Nack != nil || r.Serial != 3 {
		t.Errorf("after a good one: %+v", r)
	}
}

func TestStatusAnswersWhenTheSerialRunsOrIsRefused(t *testing.T) {
	g := start(t, nil)
	for _, change := range []func(*config.Hot){
		func(h *config.Hot) { h.Batching.MaxEvents = 9 },
		func(h *config.Hot) { h.Batching.MaxEvents = 0 },
	} {
		text := g.document(change)
		answered := make(chan time.Duration)
		asked := time.Now()
		go func() {
			var r report.Report
			g.get(fmt.Sprintf("%s%s?%s=%d", g.admin, report.Path, report.WaitParameter, g.serial), &r)
			answered <- time.Since(asked)
		}()
		time.Sleep(100 * time.Millisecond)
		g.config.take(text)
		if d := <-answered; d < 100*time.Millisecond || d >= report.WaitLimit {
			t.Errorf("answered after %s", d)
		}
	}
	if code := g.status(g.admin + report.Path + "?waitFor=soon"); code != 400 {
		t.Errorf("waitFor=soon: %d", code)
	}
}

func TestDrainUnderLoadTellsEveryClientAndAcknowledgesToTheEnd(t *testing.T) {
	drain := config.Drain{Timeout: 3 * time.Second, PreStopDelay: 2 * time.Second}
	cold, hot := config.Default()
	cold.Drain = drain
	coldText, err := config.Encode(cold)
	if err != nil {
		t.Fatal(err)
	}
	folder := inFolder(t, "cold.abc.json", coldText)
	hot.Auth.Publishers.Mode = config.ModeAnonymous
	hot.Drain.ReconnectSpread = time.Second
	text, err := config.Encode(config.Document{Serial: 1, Stable: config.Revision{Name: "r1", Hot: hot}})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(folder, config.HotKey), text)
	g := start(t, func(o *Options) { o.Dev, o.Config, o.TemplateHash = false, folder, "abc" })
	var streams []*stream
	for range 50 {
		s := g.open("channels=a")
		s.next("sg.caught-up")
		streams = append(streams, s)
	}
	var acked, refused atomic.Int64
	stop := make(chan struct{})
	var publishers sync.WaitGroup
	publishers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			res, err := http.Post(g.base+"/channels/a/events", "application/json", strings.NewReader("1"))
			if err != nil {
				return // the port is closed
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode == 200 {
				acked.Add(1)
			} else {
				refused.Add(1)
			}
		}
	})
	time.Sleep(50 * time.Millisecond)
	began := time.Now()
	g.stop()
	g.eventually("not ready", func() bool { return g.status(g.admin+report.ReadyzPath) == 503 })
	if d := time.Since(began); d > drain.PreStopDelay {
		t.Errorf("unready after %s", d)
	}
	g.open("channels=a").next("sg.open") // not ready, still serving
	for i, s := range streams {
		told := s.next("sg.drain")
		last := s.closed()
		if last.event != "sg.end" || !strings.Contains(last.data, `"reason":"drain"`) {
			t.Errorf("stream %d was told %s and ended with %+v", i, told.data, last)
		}
	}
	if err := <-g.ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	g.ended <- nil
	took := time.Since(began)
	close(stop)
	publishers.Wait()
	// A client that dialled ahead holds a connection on which it said nothing: it
	// is waited for as somebody's request is.
	if latest := drain.PreStopDelay + drain.Timeout + finishTimeout; took < drain.PreStopDelay || took > latest || acked.Load() == 0 || refused.Load() > 0 {
		t.Errorf("drained in %s, %d acked, %d refused", took, acked.Load(), refused.Load())
	}
	t.Logf("drained 51 streams in %s while %d events were acknowledged", took.Round(time.Millisecond), acked.Load())
}

func TestLimitsRefuseInTheFormThatTheClientUnderstands(t *testing.T) {
	g := start(t, nil)
	g.config.take(g.document(func(h *config.Hot) { h.Connections.MaxPerPod = 2; h.Connections.MaxPerAddress = 1 }))
	held := g.open("channels=a")
	held.next("sg.open")
	ask := func(header ...string) (*http.Response, string) {
		r, _ := http.NewRequest("GET", g.base+"/stream?channels=a", nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res, string(body)
	}
	if res, body := ask(); res.StatusCode != 429 || !strings.Contains(body, `"limit":{"name":"connections","value":1,"scope":"address"}`) || res.Header.Get("Retry-After") == "" {
		t.Errorf("second of an address: %d %s", res.StatusCode, body)
	}
	g.config.take(g.document(func(h *config.Hot) { h.Connections.MaxPerPod = 1 }))
	if res, body := ask(); res.StatusCode != 503 || !strings.Contains(body, "urn:streamgateway:problem:overload") {
		t.Errorf("second of the pod: %d %s", res.StatusCode, body)
	}
	if res, body := ask("Accept", "text/event-stream"); res.StatusCode != 200 || !strings.Contains(body, `"status":503`) || !strings.HasPrefix(body, "retry: ") {
		t.Errorf("an EventSource: %d %s", res.StatusCode, body)
	}
	if r := g.report(); r.Connections.Active != 1 || r.Connections.Rejected != 3 {
		t.Errorf("report %+v", r.Connections)
	}
	held.close()
	g.eventually("room again", func() bool { return g.report().Connections.Active == 0 })
	g.open("channels=a").next("sg.open")
}

func TestAFileIsReReadAndAFolderToo(t *testing.T) {
	for _, folder := range []bool{false, true} {
		g := &gateway{t: t, serial: 4}
		path := inFolder(t, config.HotKey, g.document(func(*config.Hot) {}))
		hot := filepath.Join(path, config.HotKey)
		if !folder {
			path = hot
		}
		g = start(t, func(o *Options) { o.Dev, o.Config = false, path })
		g.serial = 4
		if r := g.report(); r.Serial != 5 {
			t.Errorf("runs serial %d", r.Serial)
		}
		// The same serial: a person edits and does not count.
		writeFile(t, hot, g.document(func(h *config.Hot) { h.Batching.MaxEvents = 5 }))
		g.eventually("the edited file runs", func() bool {
			now, _ := g.Server.config.now()
			return now.revision.Hot.Batching.MaxEvents == 5
		})
	}
}

func TestHTTP2WithoutTLSCarriesStreams(t *testing.T) {
	g := start(t, nil)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	res, err := client.Get(g.base + "/stream?channels=a")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	s := &stream{t: t, frames: make(chan frame, 100), body: res.Body}
	go s.read(res.Body)
	s.next("sg.caught-up")
	g.post("a", "7")
	if f := s.next(""); res.ProtoMajor != 2 || f.data != "7" {
		t.Errorf("HTTP/%d: %+v", res.ProtoMajor, f)
	}
}

func TestFiveHundredStreamsLearnOfAFlagAndNoneIsDropped(t *testing.T) {
	g := start(t, nil)
	streams := make([]*stream, 500)
	for i := range streams {
		streams[i] = g.open(fmt.Sprintf("channels=a%d", i%50))
		streams[i].next("sg.caught-up")
	}
	text := g.document(func(h *config.Hot) {
		h.Batching.Window = 20 * time.Millisecond
		h.Features = []config.Feature{{Name: "newChart", Mode: config.Enabled}}
	})
	began := time.Now()
	g.config.take(text)
	acked := time.Since(began)
	var last time.Time
	for _, s := range streams {
		if f := s.next("sg.flags"); f.at.After(last) {
			last = f.at
		}
	}
	if r := g.report(); r.Serial != 2 || r.Connections.Active != 500 || r.Connections.Opened != 500 || r.Connections.Lost != 0 {
		t.Errorf("report %+v", r)
	}
	t.Logf("acknowledged after %s, in the last of 500 streams after %s", acked, last.Sub(began))
}
