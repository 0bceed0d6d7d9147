package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/report"
)

// listed is the next document, which has these pods and templates stand by.
func (g *gateway) listed(pods, templates []string) []byte {
	g.t.Helper()
	text := g.document(func(h *config.Hot) { h.Drain.ReconnectSpread = 0 })
	d, _, err := config.Decode[config.Document](text)
	if err != nil {
		g.t.Fatal(err)
	}
	d.DrainPods, d.DrainTemplates = pods, templates
	if text, err = config.Encode(d); err != nil {
		g.t.Fatal(err)
	}
	return text
}

func TestAPodThatStandsByMovesItsClientsAndServesWhoComes(t *testing.T) {
	g := start(t, nil)
	g.cold.Drain = config.Drain{Timeout: 30 * time.Second, PreStopDelay: 300 * time.Millisecond}
	g.config.take(g.listed([]string{"prices-1"}, []string{"other"}))
	if r := g.report(); !r.Ready || r.Draining {
		t.Fatalf("another pod's name: %+v", r)
	}
	s := g.open("channels=a")
	s.next("sg.caught-up")
	asked := time.Now()
	g.config.take(g.listed([]string{"prices-1", "prices-0"}, nil))
	if r := g.report(); r.Ready || !r.Draining || r.Serial != 3 || g.status(g.admin+report.ReadyzPath) != 503 {
		t.Errorf("listed: %+v", r)
	}
	if f := s.next("sg.drain"); !strings.Contains(f.data, `"reason":"rollout"`) || f.at.Sub(asked) < 300*time.Millisecond {
		t.Errorf("after %s it was told %s", f.at.Sub(asked), f.data)
	}
	if f := s.closed(); f.event != "sg.end" || !strings.Contains(f.data, `"reason":"drain"`) {
		t.Errorf("ended with %+v", f)
	}
	res, err := http.Post(g.base+"/channels/a/events", "application/json", strings.NewReader("1"))
	if err != nil || res.StatusCode != 200 || !res.Close {
		t.Fatalf("a publisher: %+v, %v", res, err)
	}
	_ = res.Body.Close()
	late := g.open("channels=a")
	opened := time.Now()
	if f := late.next("sg.drain"); f.data != `{"reason":"rollout","inMs":2000,"closeMs":2000}` {
		t.Errorf("a late stream was told %s", f.data)
	}
	g.config.take(g.listed(nil, nil))
	if r := g.report(); !r.Ready || r.Draining || g.status(g.admin+report.ReadyzPath) != 200 {
		t.Errorf("listed no more: %+v", r)
	}
	time.Sleep(2500*time.Millisecond - time.Since(opened))
	g.post("a", "2")
	if f := late.next(""); f.data != "2" {
		t.Errorf("the stream whose time had not come got %+v", f)
	}
}

func TestAPodThatStoodByEndsWithoutDelay(t *testing.T) {
	g := start(t, func(o *Options) { o.TemplateHash = "abc" })
	g.cold.Drain = config.Drain{Timeout: time.Second, PreStopDelay: 1200 * time.Millisecond}
	s := g.open("channels=a")
	s.next("sg.caught-up")
	g.config.take(g.listed(nil, []string{"abc"}))
	s.next("sg.drain")
	s.closed()
	g.cold.Drain.PreStopDelay = time.Hour // who waits for what has passed does not come back from it
	g.stop()
	select {
	case err := <-g.ended:
		if err != nil {
			t.Error(err)
		}
		g.ended <- nil
	case <-time.After(patience):
		t.Error("it waits for a preStopDelay that had passed")
	}
}
