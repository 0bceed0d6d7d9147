// Package jetstream is the log that gateways share: one stream of NATS servers,
// whose sequence numbers are the positions of events.
//
// It knows records and one stream, neither subscribers nor what kind of servers
// these are or who runs them. gateway/server opens it when broker.type is NATS.
// What an acknowledgement means is what the stream's settings give: three
// replicas are a quorum, one is a copy.
package jetstream

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/broker/keys"
)

// Options say which stream of which servers.
type Options struct {
	URL           string // servers, parted by commas
	Stream        string // "" = SubjectPrefix with _ for each dot
	SubjectPrefix string // of all subjects of this log
	// Credentials is a folder with nats.creds, or token, or username and
	// password, read at every connection; "" = the servers ask for nothing.
	Credentials string
	// CA is a folder with ca.crt, read at every connection; with one nothing
	// but TLS is spoken.
	CA string
	// Name tells the servers' operators who is connected.
	Name string
	// Retention is how long the stream keeps events; a stream that keeps them
	// for less is changed.
	Retention time.Duration
	Log       *slog.Logger
}

const (
	// maxKeys bounds the keys known, about 90 bytes each. Repeats of events
	// beyond them are still found, by the servers.
	maxKeys = 1 << 20
	// patience is how long an Append tries. Servers need about as long to agree
	// on a new leader.
	patience = 5 * time.Second
	// answerTime is how long one question or one publish may take.
	answerTime = 2 * time.Second
	// maxQueued bounds the events that wait to be published.
	maxQueued = 8192
)

// Log is the log of one stream. Open makes it.
type Log struct {
	options Options
	name    string // of the stream
	conn    *nats.Conn
	js      natsjs.JetStream
	start   time.Time // of the monotonic clock that keys age by
	epoch   string
	shape   atomic.Pointer[shape]

	mu     sync.Mutex // guards what follows; no other lock is taken under it
	keys   *keys.Window
	lastMs int64 // newest time known, of a record or of an event on its way
	tailMs int64 // time of the newest record that Tail handed on

	queue   chan *request
	queued  atomic.Int64 // events
	tailing atomic.Bool
	lag     atomic.Uint64 // of Tail, in events
	repairs atomic.Uint64
	foreign atomic.Uint64                      // messages that no gateway wrote
	kick    atomic.Pointer[context.CancelFunc] // begins the running Tail's feed anew
	downAt  atomic.Int64                       // when the connection broke, ns of start; 0 = it stands
	full    atomic.Bool                        // the newest publish found no room

	closing context.Context // ends with Close
	close   context.CancelFunc
	writer  sync.WaitGroup
}

var _ broker.Log = (*Log)(nil)

// shape is what follows from the settings of the stream.
type shape struct {
	durability broker.Durability
	copies     int
}

// Open connects and finds the stream, or makes it. It fails when no server
// answers, and when there is a stream that would not keep what a log promises;
// the error says what to change.
func Open(ctx context.Context, o Options) (*Log, error) {
	l := &Log{
		options: o, name: o.stream(), start: time.Now(), keys: keys.New(keys.Span, maxKeys),
		queue: make(chan *request, maxQueued),
	}
	l.closing, l.close = context.WithCancel(context.Background())
	var err error
	if l.conn, err = nats.Connect(o.URL, l.dialling()...); err != nil {
		return nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	l.js, err = natsjs.New(l.conn, natsjs.WithPublishAsyncTimeout(answerTime), natsjs.WithPublishAsyncMaxPending(maxQueued))
	if err == nil {
		err = l.openStream(ctx)
	}
	if err != nil {
		l.conn.Close()
		return nil, err
	}
	l.writer.Go(l.write)
	return l, nil
}

// Info asks the stream's leader.
func (l *Log) Info(ctx context.Context) (broker.Info, error) {
	state, err := l.state(ctx)
	if err != nil {
		return broker.Info{}, err
	}
	shape := l.shape.Load()
	return broker.Info{
		Epoch: state.epoch, First: state.first, Tail: state.last,
		Durability: shape.durability, Copies: shape.copies, Contiguous: true,
	}, nil
}

// Close ends Tail and what waits in Append, and leaves the stream alone.
func (l *Log) Close() error {
	l.close()
	l.writer.Wait()
	l.conn.Close()
	return nil
}

// Stats tells how the log does.
type Stats struct {
	Connected  bool
	Reconnects uint64
	Repairs    uint64 // times that Tail had to ask for records again
	Keys       int    // known for repeats
	Lag        uint64 // events that Tail has not got yet, as far as it was told
	// Down is for how long there has been no connection; 0 = there is one.
	Down    time.Duration
	Refused bool // the servers do not let this log in
	Full    bool // the servers had no room for the newest event
}

// Stats reads them at one moment; it asks no server.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	var down time.Duration
	if at := l.downAt.Load(); at != 0 {
		down = l.now() - time.Duration(at)
	}
	return Stats{
		Down: down, Refused: down > 0 && Refused(l.conn.LastError()), Full: l.full.Load(),
		Connected: l.conn.IsConnected(), Reconnects: l.conn.Stats().Reconnects,
		Repairs: l.repairs.Load(), Keys: l.keys.Len(), Lag: l.lag.Load(),
	}
}

// now is the time since the start; keys age by it.
func (l *Log) now() time.Duration { return time.Since(l.start) }

// unavailable marks an error after which the outcome is unknown.
func unavailable(doing string, err error) error {
	return fmt.Errorf("%w: %s: %w", broker.ErrUnavailable, doing, err)
}

// pause waits between two tries, longer each time, up to half a second and a
// third of it at random: after an outage not all gateways come at once.
func (l *Log) pause(ctx context.Context, try int) error {
	const shortest, longest = 10 * time.Millisecond, 500 * time.Millisecond
	d := min(shortest<<min(try, 10), longest)
	d += time.Duration(rand.Int64N(int64(d)/3 + 1))
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.closing.Done():
		return broker.ErrClosed
	}
}

// isClosed tells whether Close was called.
func (l *Log) isClosed() bool { return l.closing.Err() != nil }
