package jetstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/broker/keys"
)

var errFull = errors.New("too many events wait")

// Headers of a batch that servers store as one, or not at all.
const (
	batchHeader    = "Nats-Batch-Id"
	sequenceHeader = "Nats-Batch-Sequence"
	commitHeader   = "Nats-Batch-Commit"
	maxBatch       = 1000 // messages; the servers' own bound
)

// Codes of the servers.
const (
	codeDuplicate natsjs.ErrorCode = 10201 // the batch holds an id that is known
	codeInflight  natsjs.ErrorCode = 10210 // too many batches at once
	codeBatchGone natsjs.ErrorCode = 10176 // the batch did not come whole
	codeNotNow    natsjs.ErrorCode = 10008 // servers have no leader
)

// publish writes entries in order. After an error none of those without an ack
// may have been overtaken by a later one.
//
// One server takes what comes on one connection in order, so that messages can
// follow each other at once. With several, a new leader may take a message whose
// predecessor the old one has not taken: these are written as a batch.
func (l *Log) publish(entries []*entry) error {
	if l.shape.Load().copies == 1 || len(entries) == 1 {
		return l.each(entries)
	}
	for len(entries) > 0 {
		n := min(len(entries), maxBatch)
		err := l.batch(entries[:n])
		if codeOf(err) == codeDuplicate {
			err = l.oneByOne(entries[:n])
		}
		if err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// oneByOne is for entries of which the servers know some.
func (l *Log) oneByOne(entries []*entry) error {
	for _, e := range unacked(entries) {
		if e.of.err != nil {
			continue
		}
		if err := l.each([]*entry{e}); err != nil {
			return err
		}
	}
	return nil
}

// each writes every entry by itself, all of them before the first answer.
func (l *Log) each(entries []*entry) error {
	answers := make([]natsjs.PubAckFuture, 0, len(entries))
	var failed error
	for _, e := range entries {
		a, err := l.js.PublishMsgAsync(e.msg, natsjs.WithRetryAttempts(0))
		if err != nil {
			failed = err
			break
		}
		answers = append(answers, a)
	}
	for i, a := range answers {
		e := entries[i]
		select {
		case ack := <-a.Ok():
			if failed == nil {
				failed = l.accept(e, ack.Sequence, ack.Duplicate)
			}
		case err := <-a.Err():
			if failed == nil {
				failed = err
			}
		}
		if failed != nil {
			e.tried = true
		}
	}
	return failed
}

// accept notes an ack. A repeat is looked at: it may be this very event, of a
// try whose answer was lost, or an earlier one of the publisher, or another.
func (l *Log) accept(e *entry, seq uint64, duplicate bool) error {
	event := &e.of.events[e.index]
	if !duplicate {
		l.acked(e, seq, event.Time, false)
		return nil
	}
	ctx, stop := context.WithTimeout(l.closing, answerTime)
	defer stop()
	raw, err := l.message(ctx, seq)
	if err != nil {
		return err
	}
	if bytes.Equal(raw.Data, e.msg.Data) && e.tried {
		l.acked(e, seq, event.Time, false)
		return nil
	}
	first := l.read(raw.Subject, raw.Data, seq, raw.Time)
	if !keys.Same(&first.Event, event) {
		e.of.err = &broker.MismatchError{Index: e.index}
		return nil
	}
	l.acked(e, seq, first.Time, true)
	return nil
}

// message reads one of the stream. It may be answered by a server that has not
// got it yet.
func (l *Log) message(ctx context.Context, seq uint64) (*natsjs.RawStreamMsg, error) {
	stream, err := l.js.Stream(ctx, l.name)
	for try := 0; err == nil; try++ {
		var raw *natsjs.RawStreamMsg
		if raw, err = stream.GetMsg(ctx, seq); err == nil {
			return raw, nil
		}
		if !errors.Is(err, natsjs.ErrMsgNotFound) {
			break
		}
		err = l.pause(ctx, try)
	}
	return nil, fmt.Errorf("reading event %d: %w", seq, err)
}

// batch writes all entries or none. The answer to the last one tells.
func (l *Log) batch(entries []*entry) error {
	id := nats.NewInbox()
	for i, e := range entries {
		m := nats.NewMsg(e.msg.Subject)
		m.Data = e.msg.Data
		m.Header[natsjs.MsgIDHeader] = e.msg.Header[natsjs.MsgIDHeader]
		m.Header[batchHeader] = []string{id}
		m.Header[sequenceHeader] = []string{strconv.Itoa(i + 1)}
		e.tried = true
		if i+1 < len(entries) {
			if err := l.conn.PublishMsg(m); err != nil {
				return err
			}
			continue
		}
		m.Header[commitHeader] = []string{"1"}
		last, err := l.commit(m)
		if err != nil {
			return err
		}
		for j, e := range entries {
			l.acked(e, last-uint64(len(entries)-1-j), e.of.events[e.index].Time, false)
		}
	}
	return nil
}

// commit sends the last message of a batch and gives its number in the stream;
// those of the others are right before.
func (l *Log) commit(m *nats.Msg) (seq uint64, err error) {
	ctx, stop := context.WithTimeout(l.closing, answerTime)
	defer stop()
	reply, err := l.conn.RequestMsgWithContext(ctx, m)
	if err != nil {
		return 0, err
	}
	var answer struct {
		Seq   uint64           `json:"seq"`
		Error *natsjs.APIError `json:"error"`
	}
	switch err := json.Unmarshal(reply.Data, &answer); {
	case err != nil:
		return 0, fmt.Errorf("reading the answer to a batch: %w", err)
	case answer.Error != nil:
		return 0, answer.Error
	case answer.Seq == 0:
		return 0, errors.New("reading the answer to a batch: it has no number")
	}
	return answer.Seq, nil
}

// again tells whether another try may succeed: nobody answered, or somebody who
// could not know.
func again(err error) bool {
	if errors.Is(err, nats.ErrMaxPayload) {
		return false
	}
	switch codeOf(err) {
	case 0, codeInflight, codeBatchGone, codeNotNow, codeDuplicate:
		return true
	}
	return false
}

func codeOf(err error) natsjs.ErrorCode {
	if refused, ok := errors.AsType[*natsjs.APIError](err); ok {
		return refused.ErrorCode
	}
	return 0
}
