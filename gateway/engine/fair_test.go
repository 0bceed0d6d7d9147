package engine_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// ledger writes down whose streams are written to, in order.
type ledger struct {
	mu     sync.Mutex
	writes []string
}

func (l *ledger) add(tenant string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes = append(l.writes, tenant)
}

// begin forgets what was written.
func (l *ledger) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes = l.writes[:0]
}

// before counts the writes to others before all n of a tenant's are done; -1 =
// they are not.
func (l *ledger) before(tenant string, n int) (others int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, of := range l.writes {
		if of != tenant {
			others++
		} else if n--; n == 0 {
			return others
		}
	}
	return -1
}

// noted is a client that is written down.
type noted struct {
	client
	tenant string
	in     *ledger
}

func (c *noted) TryWrite(b []byte) (int, bool, error) {
	c.in.add(c.tenant)
	return c.client.TryWrite(b)
}

// read opens streams of a tenant on channel x, each with a group of its own, or
// all in one.
func (r *rig) read(t *testing.T, in *ledger, tenant string, streams int, together bool) {
	t.Helper()
	for i := range streams {
		names := []string{tenant + "/x"}
		if !together {
			names = append(names, fmt.Sprintf("%s/own.%d", tenant, i))
		}
		set, err := wire.QualifiedSubSet(names)
		if err != nil {
			t.Fatal(err)
		}
		c := &noted{tenant: tenant, in: in}
		s, err := r.Open(engine.Request{Subs: set, Identity: engine.Identity{Owner: engine.Owner{Tenant: tenant}}})
		if err != nil {
			t.Fatal(err)
		}
		c.stream = s
		s.Start(c)
	}
	synctest.Wait()
}

// TestATenantWaitsForOneTurnOfEachOther has a noisy tenant with a thousand
// streams and much to write before a quiet one gets its event.
func TestATenantWaitsForOneTurnOfEachOther(t *testing.T) {
	const turn = 64
	for name, c := range map[string]struct {
		noisy, streams int
		together       bool
	}{
		"many groups":        {1, 1000, false},
		"one large group":    {1, 1000, true},
		"ten noisy tenants":  {10, 200, false},
		"ten crowds of them": {10, 200, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, in := newRig(t, 1, func(tun *engine.Tuning) { tun.Batching.Window = 0 }), &ledger{}
				events := []wire.Event{}
				for i := range c.noisy {
					tenant := fmt.Sprintf("noisy-%d", i)
					r.read(t, in, tenant, c.streams, c.together)
					events = append(events, wire.Event{Channel: tenant + "/x", Data: []byte("1")})
				}
				r.read(t, in, "quiet", 3, false)
				in.begin()
				r.append(append(events, wire.Event{Channel: "quiet/x", Data: []byte("1")})...)
				synctest.Wait()
				others := in.before("quiet", 3)
				t.Logf("%d of %d writes to others came before", others, c.noisy*c.streams)
				if most := c.noisy*turn + turn; others < 0 || others > most {
					t.Errorf("%d writes to others came before, want %d at most", others, most)
				}
				for i := range c.noisy {
					if in.before(fmt.Sprintf("noisy-%d", i), c.streams) < 0 {
						t.Errorf("tenant %d lacks events", i)
					}
				}
			})
		})
	}
}

// TestTenantsWithMuchToWriteShareAlike lets one tenant have ten times the
// streams of another: while both wait, both get as much.
func TestTenantsWithMuchToWriteShareAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, in := newRig(t, 1, func(tun *engine.Tuning) { tun.Batching.Window = 0 }), &ledger{}
		r.read(t, in, "large", 3000, false)
		r.read(t, in, "small", 300, false)
		in.begin()
		r.append(wire.Event{Channel: "large/x", Data: []byte("1")}, wire.Event{Channel: "small/x", Data: []byte("1")})
		synctest.Wait()
		others := in.before("small", 300)
		t.Logf("300 writes of the small one are done after %d of the large one", others)
		if others < 200 || others > 300+2*64 {
			t.Errorf("the small tenant is done after %d writes of the large one", others)
		}
	})
}
