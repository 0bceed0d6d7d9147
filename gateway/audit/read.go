package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/streamgateway/streamgateway/gateway/noloss"
)

const (
	readPause   = time.Second // after a connection that failed
	longestWait = 5 * time.Second
	cutBytes    = 1000 // a connection is cut after at most so many more bytes
	cutPatience = 100 * time.Millisecond
	pollSeconds = "25"
	pollBytes   = 1 << 20
)

// way is how one connection reads.
type way struct {
	array, gzip, poll bool
}

// ways are all of them, in a row in which no two neighbours are alike in all.
func ways() []way {
	var all []way
	for i := range 8 {
		all = append(all, way{array: i&1 != 0, gzip: i&2 != 0, poll: i&4 != 0})
	}
	return all
}

// read reads over one connection after the other, each in another way and from
// where the one before ended, until ctx ends.
func (a *Auditor) read(ctx context.Context) {
	position := ""
	for i := 0; ctx.Err() == nil; i++ {
		w := ways()[i%len(ways())]
		life := a.options.CutEvery/2 + time.Duration(a.options.Rand.Int64N(int64(a.options.CutEvery)))
		pause := time.Duration(0)
		var err error
		if w.poll {
			position, err = a.poll(ctx, w, position, life)
		} else {
			position, pause, err = a.stream(ctx, w, position, life)
		}
		if ctx.Err() != nil {
			return
		}
		a.tell("reader", err)
		if err != nil {
			pause = readPause
		}
		wait(ctx, min(pause, longestWait))
	}
}

func (a *Auditor) client(w way) *http.Client {
	if w.gzip {
		return a.options.Gzip
	}
	return a.options.Identity
}

func (w way) format() string {
	if w.array {
		return "array"
	}
	return "plain"
}

// stream reads one stream until it ends, by itself or by a cut at a random
// place. It gives the position that the next connection begins at, and how long
// the gateway asks to wait before that.
func (a *Auditor) stream(ctx context.Context, w way, position string, life time.Duration) (next string, pause time.Duration, err error) {
	address := noloss.StreamURL(a.options.URL(), []string{a.options.Channel}, w.format())
	s, err := noloss.Open(ctx, a.client(w), address, position)
	if err != nil {
		return position, 0, err
	}
	defer s.Close()
	bytes := a.options.Rand.IntN(cutBytes)
	cut := time.AfterFunc(life, func() { s.Cut(bytes, cutPatience) })
	defer cut.Stop()
	for {
		m, err := s.Next()
		if err != nil {
			if !errors.Is(err, noloss.ErrCut) {
				pause = s.Retry()
			}
			return s.LastEventID(), pause, nil
		}
		a.tell("reader", nil)
		if err := a.take(m, w); err != nil {
			return position, 0, err // what cannot be read is read again
		}
		position = m.ID
	}
}

// take judges one message of a stream.
func (a *Auditor) take(m noloss.Message, w way) error {
	switch m.Event {
	case "sg.caught-up":
		a.once.Do(func() { close(a.live) })
	case "sg.reset", "sg.gap":
		return a.loss([]byte(m.Data))
	}
	if len(m.Event) > 3 && m.Event[:3] == "sg." {
		return nil
	}
	elements, err := noloss.Elements(m, w.format())
	if err != nil {
		return err
	}
	for _, e := range elements {
		if err := a.element([]byte(e.Data), e.Cursor); err != nil {
			return err
		}
	}
	return nil
}

// loss reads what the gateway names as lost. The stream has one channel, so
// whatever is named is that one.
func (a *Auditor) loss(data []byte) error {
	var in struct{ ResumeAt, Upto string }
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("reading a notice of loss: %w", err)
	}
	if in.Upto != "" {
		in.ResumeAt = in.Upto
	}
	at, err := noloss.ParseCursor(in.ResumeAt)
	if err != nil {
		return fmt.Errorf("reading a notice of loss: %w", err)
	}
	a.ledger.announced(at)
	return nil
}

func (a *Auditor) element(data []byte, at noloss.Cursor) error {
	var c canary
	if err := json.Unmarshal(data, &c); err != nil || c.N == 0 {
		return fmt.Errorf("reading an event at %s: %.80q is not what was sent: %w", at, data, err)
	}
	a.broken(a.ledger.got(c.N, at))
	return nil
}

// answer is one answer of a long-poll.
type answer struct {
	Cursor string
	Events []struct {
		Seq  uint64
		Data json.RawMessage
	}
	Controls []struct {
		Event string
		Data  json.RawMessage
	}
}

// poll asks again and again; the last request is broken off.
func (a *Auditor) poll(ctx context.Context, w way, position string, life time.Duration) (next string, err error) {
	living, stop := context.WithTimeout(ctx, life)
	defer stop()
	for living.Err() == nil {
		in, err := a.pollOnce(living, w, position)
		switch {
		case living.Err() != nil:
			return position, nil
		case err != nil:
			return position, err
		}
		a.tell("reader", nil)
		if err := a.takeAnswer(in); err != nil {
			return position, err
		}
		position = in.Cursor
		a.once.Do(func() { close(a.live) })
	}
	return position, nil
}

func (a *Auditor) pollOnce(ctx context.Context, w way, position string) (*answer, error) {
	query := url.Values{"channels": {a.options.Channel}, "wait": {pollSeconds}}
	if position != "" {
		query.Set("cursor", position)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.options.URL()+"/v2/realtime/stream?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	in := &answer{}
	if err := a.ask(a.client(w), r, pollBytes, in); err != nil {
		return nil, fmt.Errorf("polling: %w", err)
	}
	return in, nil
}

func (a *Auditor) takeAnswer(in *answer) error {
	at, err := noloss.ParseCursor(in.Cursor)
	if err != nil {
		return fmt.Errorf("polling: %w", err)
	}
	for _, c := range in.Controls {
		if c.Event == "sg.reset" || c.Event == "sg.gap" {
			if err := a.loss(c.Data); err != nil {
				return err
			}
		}
	}
	for _, e := range in.Events {
		if err := a.element(e.Data, noloss.Cursor{Epoch: at.Epoch, Seq: e.Seq}); err != nil {
			return err
		}
	}
	return nil
}
