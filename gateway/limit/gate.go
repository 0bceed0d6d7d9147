package limit

import (
	"context"
	"sync/atomic"
	"time"
)

// Gate lets so many handshakes work at once that a storm of new streams leaves
// the processors to those that are open. The others wait their turn.
type Gate struct {
	slots   chan struct{}
	refused atomic.Uint64
}

// gateWait is how long a handshake waits. A client that waited longer would
// rather have come later.
const gateWait = 2 * time.Second

// NewGate makes a gate for width handshakes at once.
func NewGate(width int) *Gate { return &Gate{slots: make(chan struct{}, width)} }

// Enter waits for a turn, 2 s at most, or until ctx is done. Each success needs
// one Leave; anything else is a refusal.
func (g *Gate) Enter(ctx context.Context) *Refusal {
	select {
	case g.slots <- struct{}{}:
		return nil
	default:
	}
	late := time.NewTimer(gateWait)
	defer late.Stop()
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-late.C:
	case <-ctx.Done():
	}
	g.refused.Add(1)
	return &Refusal{NameHandshakes, ScopePod, cap(g.slots)}
}

// Leave ends a turn.
func (g *Gate) Leave() { <-g.slots }

// Refused counts those that got no turn, since the start.
func (g *Gate) Refused() uint64 { return g.refused.Load() }
