package server

import (
	"strings"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
)

// TestStreamsAreToldWhenAnotherPodWithALogOfItsOwnStandsByOrServesNoLonger has a
// pod see another one stand by, and stand by itself and come back. Each time its
// streams are told once, when publishers have left the other pod, and not when
// the document says the same again or the other one is gone from it.
func TestStreamsAreToldWhenAnotherPodWithALogOfItsOwnStandsByOrServesNoLonger(t *testing.T) {
	t.Parallel()
	g := start(t, func(o *Options) { o.TemplateHash = "abc" })
	g.cold.Drain = config.Drain{Timeout: 30 * time.Second, PreStopDelay: 100 * time.Millisecond}
	s := g.open("channels=a")
	s.next("sg.caught-up")
	told := func() string {
		t.Helper()
		asked := time.Now()
		f := s.next("sg.reset")
		if took := f.at.Sub(asked); !strings.Contains(f.data, `"reason":"log-hole"`) || !strings.Contains(f.data, `"all":true`) || took < readyFollows {
			t.Errorf("after %s it was told %s", took, f.data)
		}
		return f.data
	}
	g.config.take(g.listed([]string{"prices-1"}, nil))
	first := told()
	g.config.take(g.listed([]string{"prices-1"}, nil)) // says nothing new
	g.config.take(g.listed(nil, nil))                  // prices-1 is gone
	g.config.take(g.listed(nil, []string{"other"}))
	g.config.take(g.listed(nil, []string{"other"}))
	if second := told(); second == first {
		t.Errorf("told twice of %s", first)
	}
	head := g.engine.Head().Seq
	if head != 2 {
		t.Errorf("%d records in the log, want those of two holes", head)
	}
}

func TestStreamsThatStayAreToldWhenStandingByIsOver(t *testing.T) {
	t.Parallel()
	g := start(t, func(o *Options) { o.TemplateHash = "abc" })
	g.cold.Drain = config.Drain{Timeout: 30 * time.Second, PreStopDelay: time.Hour} // nobody is asked to move
	s := g.open("channels=a")
	s.next("sg.caught-up")
	g.config.take(g.listed(nil, []string{"abc", "other"}))
	g.cold.Drain.PreStopDelay = 0
	g.config.take(g.listed(nil, []string{"other"}))
	if f := s.next("sg.reset"); !strings.Contains(f.data, `"reason":"log-hole"`) {
		t.Errorf("it was told %s", f.data)
	}
	g.post("a", "2")
	if f := s.next(""); f.data != "2" {
		t.Errorf("then it got %+v", f)
	}
}
