package ring

import (
	"cmp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// channel is what the ring knows of one channel.
type channel struct {
	name    string
	id      uint32        // never used again
	last    atomic.Uint64 // newest event; 0 = none
	evicted atomic.Uint64 // newest event that is gone, or a bound above it
	used    time.Duration // arrival of the newest event; guarded by Ring.mu
	own     bool          // of the gateway itself
}

const pageSize = 256

type page [pageSize]atomic.Pointer[channel]

// table finds channels by name, by id and by pattern. It is written under
// Ring.mu only, so the writer itself reads it without a lock.
type table struct {
	// pages is replaced, never changed; a page without channels is nil.
	pages  atomic.Pointer[[]*page]
	nextID uint32

	mu     sync.RWMutex // guards what follows against readers
	byName map[string]*channel
	own    int              // of byName, channels of the gateway itself
	roots  map[string]*node // by tenant
}

func (t *table) init() {
	t.pages.Store(&[]*page{})
	t.byName = map[string]*channel{}
	t.roots = map[string]*node{}
}

// writable gives the channel of a name, made when it is new. A new channel may
// be one that was forgotten: the floor then stands for what it lost.
func (t *table) writable(name string, f *floors) *channel {
	if ch := t.byName[name]; ch != nil {
		return ch
	}
	ch := &channel{name: strings.Clone(name), id: t.nextID, own: wire.Own(name)}
	ch.evicted.Store(f.ofName(name))
	t.nextID++
	pages := *t.pages.Load()
	if int(ch.id/pageSize) == len(pages) {
		grown := make([]*page, len(pages)+1)
		copy(grown, pages)
		grown[len(pages)] = new(page)
		pages = grown
		t.pages.Store(&pages)
	}
	pages[ch.id/pageSize][ch.id%pageSize].Store(ch)
	t.mu.Lock()
	t.byName[ch.name] = ch
	if ch.own {
		t.own++
	}
	t.insert(ch)
	t.mu.Unlock()
	return ch
}

// byID gives a channel, nil when it has been forgotten.
func (t *table) byID(id uint32) *channel {
	p := (*t.pages.Load())[id/pageSize]
	if p == nil {
		return nil
	}
	return p[id%pageSize].Load()
}

// forget takes channels out of the table. Their floors must have been raised
// before, and their events must be gone.
func (t *table) forget(channels []*channel) {
	t.mu.Lock()
	for _, ch := range channels {
		delete(t.byName, ch.name)
		if ch.own {
			t.own--
		}
		t.remove(ch.name)
	}
	t.mu.Unlock()
	pages := *t.pages.Load()
	for _, ch := range channels {
		pages[ch.id/pageSize][ch.id%pageSize].Store(nil)
	}
}

// dropPage lets go of a page without channels, unless it still gets new ones.
func (t *table) dropPage(i int) {
	pages := *t.pages.Load()
	if i == len(pages)-1 {
		return
	}
	shrunk := make([]*page, len(pages))
	copy(shrunk, pages)
	shrunk[i] = nil
	t.pages.Store(&shrunk)
}

func (t *table) len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.byName)
}

func (t *table) insert(ch *channel) {
	plain := wire.Unqualified(ch.name)
	tenant := tenantOf(ch.name, plain)
	root := t.roots[tenant]
	if root == nil {
		root = &node{}
		t.roots[tenant] = root
	}
	root.insert(plain, ch)
}

func (t *table) remove(name string) {
	plain := wire.Unqualified(name)
	tenant := tenantOf(name, plain)
	if root := t.roots[tenant]; root != nil {
		root.remove(plain)
		if len(root.children) == 0 {
			delete(t.roots, tenant)
		}
	}
}

// tenantOf gives what stands before a name in its qualified form.
func tenantOf(name, plain string) string {
	return name[:max(0, len(name)-len(plain)-1)]
}

// node is a segment of a tenant's channel names; the way from the root spells
// them.
type node struct {
	children map[string]*node
	channel  *channel // of the name that ends here
}

func (n *node) insert(plain string, ch *channel) {
	for seg := range strings.SplitSeq(plain, ".") {
		child := n.children[seg]
		if child == nil {
			child = &node{}
			if n.children == nil {
				n.children = map[string]*node{}
			}
			n.children[seg] = child
		}
		n = child
	}
	n.channel = ch
}

// remove takes a name out, and the nodes that served only it.
func (n *node) remove(name string) {
	seg, rest, more := strings.Cut(name, ".")
	child := n.children[seg]
	if child == nil {
		return
	}
	if more {
		child.remove(rest)
	} else {
		child.channel = nil
	}
	if child.channel == nil && len(child.children) == 0 {
		delete(n.children, seg)
	}
}

// match calls visit with every channel that a pattern selects until visit says
// no, and tells whether it never did. The table must be locked for reading.
func (t *table) match(p wire.Pattern, visit func(*channel) bool) bool {
	root := t.roots[p.Tenant()]
	return root == nil || root.match(p.Unqualified(), true, visit)
}

// tip is a channel and its newest event at one moment.
type tip struct {
	*channel
	newest uint64
}

func byID(a, b tip) int         { return cmp.Compare(a.id, b.id) }
func sameChannel(a, b tip) bool { return a.id == b.id }

func (n *node) match(pattern string, first bool, visit func(*channel) bool) bool {
	seg, rest, more := strings.Cut(pattern, ".")
	if seg != "*" && seg != ">" {
		child := n.children[seg]
		return child == nil || child.step(rest, more, visit)
	}
	for name, child := range n.children {
		if first && strings.HasPrefix(name, "$") {
			continue // the gateway's own; no wildcard selects it
		}
		if seg == ">" && !child.all(visit) || seg == "*" && !child.step(rest, more, visit) {
			return false
		}
	}
	return true
}

func (n *node) step(rest string, more bool, visit func(*channel) bool) bool {
	if more {
		return n.match(rest, false, visit)
	}
	return n.channel == nil || visit(n.channel)
}

func (n *node) all(visit func(*channel) bool) bool {
	if n.channel != nil && !visit(n.channel) {
		return false
	}
	for _, child := range n.children {
		if !child.all(visit) {
			return false
		}
	}
	return true
}
