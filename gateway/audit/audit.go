// Package audit proves, from inside a gateway pod and all the time, that the
// gateway keeps its promise: it publishes a numbered event every second, reads
// it back over HTTP as a client would, breaks the connection now and then and
// resumes, and finds out whether any event was lost without a word, came twice
// or out of order.
//
// It knows the wire and nothing behind it: like the check from outside
// (gateway/noloss, whose parser it uses), it shares no code with what it
// judges. How its requests get past rights and limits, and are kept out of every
// number, is gateway/server's affair, which runs it.
package audit

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Options is how to audit.
type Options struct {
	URL     func() string // of the gateway, as scheme://host:port
	Channel string        // that nobody else publishes to
	// Identity and Gzip send requests; the first must not ask for compressed
	// answers, the second must take them.
	Identity, Gzip *http.Client
	Every          time.Duration // between two events
	CutEvery       time.Duration // about how long a connection lives
	Rand           *rand.Rand    // for when and where connections are cut; of the reader alone
	Log            *slog.Logger
}

// State is what was found so far.
type State struct {
	Checked uint64 // events read back, each in its place
	// Lost counts events that were lost without a word, came twice or out of
	// order.
	Lost      uint64
	LastProof time.Time // when an event was read back last; zero = never
	LastLoss  time.Time // zero = never
	Message   string    // of the last loss
}

// Auditor audits one gateway. Make it with New and call Run once.
type Auditor struct {
	options Options
	ledger  ledger
	live    chan struct{} // closed when the reader hears of what is published
	once    sync.Once

	mu      sync.Mutex
	trouble map[string]string // what keeps publisher and reader from their work, as it was logged
}

// New makes an auditor that does nothing yet.
func New(o Options) *Auditor {
	return &Auditor{options: o, ledger: newLedger(), live: make(chan struct{}), trouble: map[string]string{}}
}

// State tells what was found so far. It may be called at any time.
func (a *Auditor) State() State { return a.ledger.now() }

// Run audits until ctx ends.
func (a *Auditor) Run(ctx context.Context) {
	var reader sync.WaitGroup
	reader.Go(func() { a.read(ctx) })
	select {
	case <-a.live:
		a.publish(ctx)
	case <-ctx.Done():
	}
	reader.Wait()
}

// tell logs what keeps a part from its work, once for each cause, and that it
// works again.
func (a *Auditor) tell(part string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	a.mu.Lock()
	before := a.trouble[part]
	a.trouble[part] = text
	a.mu.Unlock()
	switch {
	case text == before:
	case err == nil:
		a.options.Log.Info("auditing again", "part", part)
	default:
		a.options.Log.Warn("auditing is not possible", "part", part, "error", text)
	}
}

// broken logs a promise that was not kept.
func (a *Auditor) broken(found string) {
	if found != "" {
		a.options.Log.Error("the auditor found a broken promise", "found", found)
	}
}

// wait returns after d, or false when ctx ends before.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
