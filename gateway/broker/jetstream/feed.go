package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

const (
	// heartbeatEvery is how often servers say that there is nothing new.
	heartbeatEvery = time.Second
	// silence is how long a feed may say nothing at all.
	silence = 2*heartbeatEvery + heartbeatEvery/2
	// feedLives is how long servers keep a feed that nobody reads.
	feedLives = 30 * time.Second
)

// errFeed tells that a feed has to be begun anew: it is broken, or something of
// it is lost.
var errFeed = errors.New("the feed is broken")

// feed is an ordered consumer: records from a position on, pushed as they come.
// What is lost on the way shows by the numbers, and ends it.
type feed struct {
	log    *Log
	ctx    context.Context
	cancel context.CancelFunc
	alive  *time.Timer // cancels when nothing comes
	sub    *nats.Subscription
	name   string
	count  uint64 // messages that the servers have sent to it
	behind uint64 // messages that were to come when the last one was sent
}

// stored is a record as the stream has it.
type stored struct {
	wire.Record
	stamp int64 // nanoseconds since 1970, by the servers; with seq it tells lives of a stream apart
}

// feed begins at a seq.
func (l *Log) feed(ctx context.Context, from uint64) (*feed, error) {
	f := &feed{log: l}
	f.ctx, f.cancel = context.WithCancel(ctx)
	inbox := l.conn.NewInbox()
	var err error
	if f.sub, err = l.conn.SubscribeSync(inbox); err != nil {
		f.cancel()
		return nil, fmt.Errorf("subscribing: %w", err)
	}
	// The servers wait for our answers, so that this bounds nothing but speed.
	_ = f.sub.SetPendingLimits(-1, -1) // fails for a closed one, which next tells
	ask, stop := context.WithTimeout(f.ctx, answerTime)
	defer stop()
	consumer, err := l.js.CreatePushConsumer(ask, l.name, natsjs.ConsumerConfig{
		DeliverSubject: inbox, DeliverPolicy: natsjs.DeliverByStartSequencePolicy, OptStartSeq: from,
		AckPolicy: natsjs.AckNonePolicy, MaxDeliver: 1, ReplayPolicy: natsjs.ReplayInstantPolicy,
		FlowControl: true, IdleHeartbeat: heartbeatEvery, InactiveThreshold: feedLives,
		Replicas: 1, MemoryStorage: true,
	})
	if err != nil {
		f.stop()
		return nil, fmt.Errorf("reading stream %s from %d: %w", l.name, from, err)
	}
	f.name = consumer.CachedInfo().Name
	f.alive = time.AfterFunc(silence, f.cancel)
	return f, nil
}

// next waits for a record. Its errors are ctx's and those that wrap errFeed.
func (f *feed) next(ctx context.Context) (stored, error) {
	for {
		m, err := f.sub.NextMsgWithContext(f.ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return stored{}, ctx.Err()
		case err != nil:
			return stored{}, fmt.Errorf("%w: %w", errFeed, err)
		}
		f.alive.Reset(silence)
		if status := m.Header.Get("Status"); status != "" && len(m.Data) == 0 {
			if err := f.control(m); err != nil {
				return stored{}, err
			}
			continue
		}
		about, err := m.Metadata()
		if err != nil {
			return stored{}, fmt.Errorf("%w: %w", errFeed, err)
		}
		if f.count++; about.Sequence.Consumer != f.count {
			return stored{}, fmt.Errorf("%w: message %d came, not %d", errFeed, about.Sequence.Consumer, f.count)
		}
		f.behind = about.NumPending
		return f.log.read(m.Subject, m.Data, about.Sequence.Stream, about.Timestamp), nil
	}
}

// control answers the servers, who wait for it before they send more, and finds
// out about messages that are lost when no later one tells of it.
func (f *feed) control(m *nats.Msg) error {
	if last := m.Header.Get("Nats-Last-Consumer"); last != "" && last != strconv.FormatUint(f.count, 10) {
		return fmt.Errorf("%w: %s messages were sent, %d came", errFeed, last, f.count)
	}
	reply := m.Reply
	if reply == "" {
		reply = m.Header.Get("Nats-Consumer-Stalled")
	}
	if reply == "" {
		return nil
	}
	if err := f.log.conn.Publish(reply, nil); err != nil {
		return fmt.Errorf("%w: %w", errFeed, err)
	}
	return nil
}

// waiting is how many messages are here already.
func (f *feed) waiting() int {
	n, _, err := f.sub.Pending()
	if err != nil {
		return 0 // it is closed, which next tells
	}
	return n
}

// stop lets go of the feed; servers that are not told in time forget it
// themselves.
func (f *feed) stop() {
	f.cancel()
	if f.alive != nil {
		f.alive.Stop()
	}
	_ = f.sub.Unsubscribe() // it may be closed with the connection
	if f.name == "" {
		return
	}
	subject := fmt.Sprintf("$JS.API.CONSUMER.DELETE.%s.%s", f.log.name, f.name)
	_ = f.log.conn.Publish(subject, nil) // see above
}

// read makes a record of a message. One that no gateway wrote is a record that
// nobody reads: the numbers go on.
func (l *Log) read(subject string, body []byte, seq uint64, at time.Time) stored {
	event, err := decode(l.options.channel(subject), body)
	if err == nil {
		_, err = wire.ParseQualified(event.Channel) // no subject of a message has a wildcard
	}
	if err != nil {
		if l.foreign.Add(1) == 1 {
			l.options.Log.Warn("the stream holds a message that no gateway wrote; it is passed over, as are later ones",
				"subject", subject, "seq", seq, "error", err)
		}
		event = wire.Event{Channel: wire.Qualify(wire.OwnTenant, "unreadable"), Time: at.UnixMilli()}
	}
	return stored{wire.Record{Event: event, Seq: seq}, at.UnixNano()}
}
