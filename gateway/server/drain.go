package server

import (
	"context"
	"errors"
	"fmt"
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
	s.log.Info("draining", "preStopDelay", d.PreStopDelay.String(), "timeout", d.Timeout.String(), "connections", s.engine.Stats().Connections.Active)
	time.Sleep(d.PreStopDelay)
	ctx, stop := context.WithTimeout(context.Background(), d.Timeout+finishTimeout)
	defer stop()
	drained := s.engine.Drain(ctx, engine.Drain{Reason: wire.DrainRollout, Spread: d.ReconnectSpread, Timeout: d.Timeout})
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
