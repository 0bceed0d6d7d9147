package server

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// holes marks this pod's log where another pod, with a log of its own, has taken
// events that streams here should have had. That is over when publishers have
// left the other pod: some time after the config has it stand by, or has this
// one do so no longer. One mark at that time is enough, since nobody passes it
// without being told; one before it would have pages reload what is about to be
// incomplete again.
type holes struct {
	mu     sync.Mutex
	others []string // that stand by
	stood  bool     // this pod did
	mark   *time.Timer
	ended  bool
}

// readyFollows is how long publishers may find a pod that is not ready any more,
// beyond its preStopDelay: two probes, a second apart, and a second for the
// endpoints.
const readyFollows = 3 * time.Second

// follow looks at the next document. Whoever stands by itself moves its streams
// to another epoch, which tells them enough.
func (h *holes) follow(s *Server, d config.Document, stands bool) {
	if s.stream != nil {
		return // there is one log
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	others := h.listed(s, d)
	back := h.stood && !stands
	more := slices.ContainsFunc(others, func(name string) bool { return !slices.Contains(h.others, name) })
	h.others, h.stood = others, stands
	if h.ended || stands || !back && !more {
		return
	}
	in := s.cold.Drain.PreStopDelay + readyFollows
	if h.mark == nil {
		h.mark = time.AfterFunc(in, func() { s.markHole() })
		return
	}
	h.mark.Reset(in)
}

// listed gives the pods and templates that stand by beside this one.
func (h *holes) listed(s *Server, d config.Document) []string {
	others := slices.DeleteFunc(slices.Clone(d.DrainPods), func(pod string) bool { return pod == s.options.Pod })
	for _, template := range d.DrainTemplates {
		if template != s.options.TemplateHash {
			others = append(others, "template "+template)
		}
	}
	return others
}

// end stops marking: the log ends.
func (h *holes) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	if h.mark != nil {
		h.mark.Stop()
	}
}

// markHole appends the record that the engine knows as a hole.
func (s *Server) markHole() {
	mark := []wire.Event{{Channel: wire.HoleChannel, Data: []byte("null")}}
	if _, err := s.events.Append(context.Background(), mark, broker.AppendOptions{}); err != nil {
		s.log.Error("streams are not told of what another pod took", "error", fmt.Errorf("marking a hole: %w", err))
		return
	}
	s.engine.Deliver()
	s.log.Info("streams are told to reload: another pod may have taken events until now", "at", s.engine.Head().String())
}
