package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// drain ends a pod without a storm: not ready at once, still serving until the
// endpoints know, then clients are asked to move one after the other, and who
// is still there at the timeout is closed. Events are taken until the end.
func (s *Server) drain() error {
	d := s.cold.Drain
	s.draining.Store(true)
	if s.own != nil {
		s.own.quit()
	}
	spread, known := s.standby.end()
	if known {
		d.PreStopDelay = 0 // the endpoints have known for a while
	}
	s.log.Info("draining", "preStopDelay", d.PreStopDelay.String(), "timeout", d.Timeout.String(), "connections", s.engine.Stats().Connections.Active)
	time.Sleep(d.PreStopDelay)
	ctx, stop := context.WithTimeout(context.Background(), d.Timeout+finishTimeout)
	defer stop()
	drained := s.engine.Drain(ctx, engine.Drain{Reason: wire.DrainRollout, Spread: spread, Timeout: d.Timeout})
	finish, stop := context.WithTimeout(context.Background(), finishTimeout)
	defer stop()
	err := s.mainHTTP.Shutdown(finish)
	if errors.Is(err, context.DeadlineExceeded) {
		// Somebody holds a request open; the process ends anyway.
		err = s.mainHTTP.Close()
	}
	s.log.Info("drained", "connections", s.engine.Stats().Connections.Active)
	if err := errors.Join(drained, err); err != nil {
		return fmt.Errorf("draining: %w", err)
	}
	return nil
}

// standby is whether the config has this pod stand by: the first steps of a
// drain, without the end. Not ready at once; after preStopDelay, when the
// endpoints know, clients are asked to move, and those that come by a way that
// is still open are served and moved a little later.
type standby struct {
	mu     sync.Mutex
	spread time.Duration
	stand  bool
	asked  bool        // clients have been
	ask    *time.Timer // asks them; nil = it did, or is not to
	http   *http.Server
	ended  bool // the pod drains for good
}

// set follows the config.
func (b *standby) set(s *Server, stand bool, spread time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spread = spread
	if stand == b.stand || b.ended {
		return
	}
	b.stand = stand
	b.keepAlive()
	if !stand {
		b.ask.Stop()
		b.asked = false
		s.engine.StandBy(nil)
		s.log.Info("standing by is over")
		return
	}
	s.log.Info("standing by", "preStopDelay", s.cold.Drain.PreStopDelay.String())
	var ask *time.Timer
	ask = time.AfterFunc(s.cold.Drain.PreStopDelay, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.stand && b.ask == ask && !b.ended {
			b.asked = true
			s.engine.StandBy(&engine.Drain{Reason: wire.DrainRollout, Spread: b.spread, Timeout: s.cold.Drain.Timeout})
		}
	})
	b.ask = ask
}

// keepAlive closes idle connections while the pod stands by, and the others
// after their request: publishers and readers by poll find their way anew.
func (b *standby) keepAlive() {
	if b.http != nil {
		b.http.SetKeepAlivesEnabled(!b.stand)
	}
}

// serves hands over the server of the port for clients.
func (b *standby) serves(h *http.Server) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.http = h
	b.keepAlive()
}

func (b *standby) stands() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stand
}

// end says over how much time clients are moved when the pod ends, and whether
// they have been asked to already. The config changes neither from then on.
func (b *standby) end() (spread time.Duration, asked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	return b.spread, b.asked
}
