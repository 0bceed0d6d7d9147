package noloss

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// answerBytes is how much of a refusal's text is kept.
const answerBytes = 2 << 10

// ErrCut ends a stream that Cut was called for.
var ErrCut = errors.New("cut by this side")

// Refusal is an answer to a stream request that is not a stream.
type Refusal struct {
	Status int
	Text   string
}

func (r *Refusal) Error() string { return fmt.Sprintf("answered %d: %s", r.Status, r.Text) }

// Stream is one open SSE response. Next is for one goroutine; Cut and Close may
// be called from others.
type Stream struct {
	Header http.Header

	body     io.ReadCloser
	cancel   context.CancelFunc
	cutAfter atomic.Int64 // bytes still to be read before the cut; negative: none asked for
	parser   parser
	queue    []Message
	err      error // what ended the stream; told when the queue is empty
	buf      []byte
	piece    func(limit int) int // how many bytes the next read may take
}

// StreamURL is the address of a stream of these channels and patterns.
func StreamURL(base string, channels []string, format string) string {
	q := url.Values{"channels": {strings.Join(channels, ",")}, "format": {format}}
	return strings.TrimSuffix(base, "/") + "/v2/realtime/stream?" + q.Encode()
}

// Open opens the stream at address. A lastEventID that is not empty is sent as a
// browser would when it reconnects. The error is a *Refusal when the answer is
// no event stream.
func Open(ctx context.Context, client *http.Client, address, lastEventID string) (*Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("opening stream: %w", err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-store")
	if lastEventID != "" {
		req.Header.Set("Last-Event-ID", lastEventID)
	}
	resp, err := client.Do(req)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("opening stream: %w", err)
	}
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		defer cancel()
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, answerBytes))
		return nil, fmt.Errorf("opening stream: %w", &Refusal{resp.StatusCode, strings.TrimSpace(string(text))})
	}
	s := &Stream{Header: resp.Header, body: resp.Body, cancel: cancel, buf: make([]byte, 16<<10), piece: func(n int) int { return n }}
	s.parser.id, s.parser.lastID = lastEventID, lastEventID
	s.cutAfter.Store(-1)
	return s, nil
}

// Next returns the next event. After an error the stream is over: io.EOF for an
// orderly end, ErrCut for one that Cut ended.
func (s *Stream) Next() (Message, error) {
	for len(s.queue) == 0 {
		if s.err != nil {
			return Message{}, s.err
		}
		s.err = s.read()
	}
	m := s.queue[0]
	s.queue = s.queue[1:]
	return m, nil
}

func (s *Stream) read() error {
	n, err := s.body.Read(s.buf[:s.piece(len(s.buf))])
	left := s.cutAfter.Load()
	if left >= 0 && int64(n) >= left {
		n, err = int(left), ErrCut // bytes behind the cut never came
	} else if left >= 0 {
		s.cutAfter.CompareAndSwap(left, left-int64(n))
	}
	s.parser.feed(s.buf[:n], func(m Message) { s.queue = append(s.queue, m) })
	if err != nil {
		s.Close()
	}
	if err != nil && s.cutAfter.Load() >= 0 {
		return ErrCut
	}
	return err
}

// Cut breaks the connection after so many more bytes, in the middle of whatever
// is on its way, or once the patience is over.
func (s *Stream) Cut(after int, patience time.Duration) {
	s.cutAfter.Store(int64(after))
	time.AfterFunc(patience, s.Close)
}

// Close ends the stream from this side. It may be called repeatedly.
func (s *Stream) Close() {
	s.cancel()
	_ = s.body.Close() // nothing is written that could be lost
}

// LastEventID is what a browser would send if the stream broke now.
func (s *Stream) LastEventID() string { return s.parser.lastID }

// Retry is the wait that the server asked for before a reconnect, 0 for none.
func (s *Stream) Retry() time.Duration { return s.parser.retry }

// Comments counts the comment lines so far; a heartbeat is one.
func (s *Stream) Comments() int { return s.parser.comments }
