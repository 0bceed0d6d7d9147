package noloss

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	cutPatience = 100 * time.Millisecond // a cut comes at the latest after this, however quiet the stream is
	cutBytes    = 3000                   // a cut comes after at most so many more bytes
	longestWait = 5 * time.Second        // between two connections, whatever the server asks for

	receiveBytes = 128 << 10       // of the kernel's buffer of a connection
	readTime     = time.Second     // a slow subscriber reads for about so long,
	stallTime    = 4 * time.Second // then stops for about so long
)

// subscriber reads one set of channels over as many connections as it takes,
// by the rules for clients (protocol §5.4), and remembers what came.
type subscriber struct {
	index    int
	format   string
	patterns []string
	options  *Options
	book     *book
	rand     *rand.Rand // of run's goroutine alone

	stalls   func() bool   // it is one that stops reading now and then
	stallAt  time.Time     // of run's goroutine alone
	live     chan struct{} // closed at the first sg.caught-up
	liveOnce sync.Once

	mu      sync.Mutex // guards all below against the cutter and the verdict
	stream  *Stream
	seen    [][]bool // by publisher and number
	losses  []loss
	gaps    []gapClaim
	highest map[string]Cursor // newest event processed, by channel
	floor   map[string]Cursor // resumeAt of the last reset, by channel; has every channel asked for

	last        Cursor // of the newest element on the current log
	lastID      string
	current     bool // the present connection has caught up
	deliveries  int
	connections int
	cuts        int
	resumes     map[string]int
	controls    map[string]int
	latencies   []time.Duration
}

// gapClaim is a number that the gateway gave and that the verdict can check.
type gapClaim struct {
	loss loss
	gapCount
}

// run reads until ctx ends. Only a refusal that coming back cannot help is an error.
func (s *subscriber) run(ctx context.Context) error {
	address := StreamURL(s.options.URL, s.patterns, s.format)
	if s.index < s.options.Slow {
		address += "&compress=off" // what a run publishes shrinks so much that no queue would ever fill
	}
	for ctx.Err() == nil {
		stream, err := Open(ctx, s.options.Client, address, s.lastID)
		wait := time.Duration(s.rand.Int64N(int64(s.options.Away)))
		if err == nil {
			wait = max(wait, s.read(ctx, stream))
		} else if r, ok := errors.AsType[*Refusal](err); ok && r.Status < 500 && r.Status != http.StatusTooManyRequests {
			return err
		}
		select {
		case <-time.After(min(wait, longestWait)):
		case <-ctx.Done():
		}
	}
	return nil
}

// read takes one connection to its end and returns the wait that the server
// asked for; none after a cut of this side's own.
func (s *subscriber) read(ctx context.Context, stream *Stream) time.Duration {
	defer stream.Close()
	stream.piece = func(limit int) int { return 1 + s.rand.IntN(limit) }
	s.mu.Lock()
	s.stream, s.current = stream, false
	if s.connections++; s.cuts > 0 && s.rand.IntN(4) == 0 {
		s.cutLocked(s.rand.IntN(cutBytes)) // some connections break while they are still catching up
	}
	s.mu.Unlock()
	for {
		m, err := stream.Next()
		if err != nil {
			s.mu.Lock()
			s.stream, s.lastID = nil, stream.LastEventID()
			s.mu.Unlock()
			if errors.Is(err, ErrCut) || ctx.Err() != nil {
				return 0
			}
			return stream.Retry()
		}
		s.take(m)
		if s.stalls() && time.Now().After(s.stallAt) {
			time.Sleep(s.about(stallTime))
			s.stallAt = time.Now().Add(s.about(readTime))
		}
	}
}

// about is d, give or take a half.
func (s *subscriber) about(d time.Duration) time.Duration {
	return d/2 + time.Duration(s.rand.Int64N(int64(d)))
}

// cut breaks the present connection after so many more bytes. False: there is
// none, or it is being cut already.
func (s *subscriber) cut(after int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cutLocked(after)
}

func (s *subscriber) cutLocked(after int) bool {
	if s.stream == nil || s.stream.cutAfter.Load() >= 0 {
		return false
	}
	s.cuts++
	s.stream.Cut(after, cutPatience)
	return true
}

func (s *subscriber) take(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(m.Event, "sg.") {
		s.controls[m.Event]++
		s.control(m)
		return
	}
	elements, err := Elements(m, s.format)
	if err != nil {
		s.book.fault("unreadable", "subscriber %d, %s: %v in %.200q", s.index, s.format, err, m.Data)
		return
	}
	for _, e := range elements {
		s.element(e, m.At)
	}
}

func (s *subscriber) control(m Message) {
	switch m.Event {
	case "sg.open":
		var in struct{ Resume string }
		if err := json.Unmarshal([]byte(m.Data), &in); err != nil {
			s.book.fault("unreadable", "sg.open: %v in %.200q", err, m.Data)
		}
		s.resumes[in.Resume]++
	case "sg.caught-up":
		s.current = true
		s.liveOnce.Do(func() { close(s.live) })
	case "sg.reset":
		l, err := readReset(m.Data, m.At, s.book)
		if err != nil {
			s.book.fault("unreadable", "%v in %.200q", err, m.Data)
			return
		}
		s.reset(l)
	case "sg.gap":
		l, counts, err := readGap(m.Data, s.book)
		if err != nil || m.ID != (Cursor{l.epoch, l.upto}).String() {
			s.book.fault("unreadable", "sg.gap with id %s: %v in %.200q", m.ID, err, m.Data)
			return
		}
		s.losses = append(s.losses, l)
		for _, c := range counts {
			s.gaps = append(s.gaps, gapClaim{l, c})
		}
	}
}

// reset drops what was before: older events of the named channels may still
// come, but an application has their state reloaded by then.
func (s *subscriber) reset(l loss) {
	s.losses = append(s.losses, l)
	if l.epoch != s.last.Epoch {
		s.last = Cursor{l.epoch, 0}
	}
	for channel := range s.floor {
		if l.covers(channel, Cursor{l.epoch, l.upto}, l.age) {
			s.floor[channel] = Cursor{l.epoch, l.upto}
		}
	}
}

func (s *subscriber) element(e Element, at time.Time) {
	name, ok := recognise(e.Data)
	if !ok {
		s.book.fault("damaged", "subscriber %d, %s: data %.80q at %s", s.index, s.format, e.Data, e.Cursor)
		return
	}
	highest, known := s.highest[e.Channel], e.Cursor.Seq > 0
	switch {
	case !known:
	case e.Cursor.Epoch == highest.Epoch && e.Cursor.Seq <= highest.Seq:
		s.book.fault("repeated", "subscriber %d, %s: %s at %s, already at %s", s.index, s.format, name.id(), e.Cursor, highest)
		return
	case e.Cursor.Epoch == s.last.Epoch && e.Cursor.Seq <= s.last.Seq:
		s.book.fault("disordered", "subscriber %d, %s: %s after %s", s.index, s.format, e.Cursor, s.last)
	case e.Cursor.Epoch != s.last.Epoch && s.last.Epoch != "":
		s.book.fault("unannounced", "subscriber %d, %s: epoch %s after %s without sg.reset", s.index, s.format, e.Cursor.Epoch, s.last.Epoch)
	}
	if known {
		s.last, s.highest[e.Channel] = e.Cursor, e.Cursor
	}
	if !slices.ContainsFunc(s.patterns, func(p string) bool { return matches(p, e.Channel) }) {
		s.book.fault("unasked", "subscriber %d gets channel %s", s.index, e.Channel)
	}
	if floor := s.floor[e.Channel]; known && e.Cursor.Epoch == floor.Epoch && e.Cursor.Seq <= floor.Seq {
		return // older than the state that an application reloaded at the reset
	}
	sent, ok := s.book.deliver(name, e)
	if !ok {
		return
	}
	if s.mark(name) {
		// The id is known from an older epoch: dropped by the rule, and right
		// only if the publisher repeated it into the new log.
		if !known {
			s.book.fault("repeated", "subscriber %d, %s: %s came twice", s.index, s.format, name.id())
		}
		return
	}
	s.deliveries++
	if s.current {
		s.latencies = append(s.latencies, at.Sub(sent))
	}
}

// mark notes the event as seen and tells whether it was already.
func (s *subscriber) mark(e event) (before bool) {
	row := s.seen[e.publisher]
	if e.n >= len(row) {
		row = append(row, make([]bool, e.n+1-len(row)+1024)...)
		s.seen[e.publisher] = row
	}
	before, row[e.n] = row[e.n], true
	return before
}
