// Package answer says something token by token, at the pace of a language model,
// as events that the gateway may merge: how to stream text that nobody knows the
// end of. It thinks of nothing by itself; the words are given.
//
// Web starts and cancels answers; main makes the Speaker and waits for it.
package answer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/streamgateway/streamgateway/hack/demo/publish"
)

// Types of the events on an answer's channel. The last one tells that no more
// will come, because all is said or somebody cancelled.
const (
	TypeToken = "token"
	TypeDone  = "done"
)

const (
	channel    = "answers."
	maxAtOnce  = 8
	tokenPause = 35 * time.Millisecond
	retryPause = 500 * time.Millisecond
	patience   = time.Minute // with a gateway that does not take a token
)

// ErrBusy is returned when as many answers as may be are under way.
var ErrBusy = errors.New("too many answers are being given")

// Speaker gives answers. All exported fields are required.
type Speaker struct {
	Gateway *publish.Gateway
	Log     *slog.Logger

	mu      sync.Mutex
	running map[string]context.CancelFunc // by id
	wait    sync.WaitGroup
}

// Start begins to say text and returns the channel that it is said on. It ends
// with ctx.
func (s *Speaker) Start(ctx context.Context, id, text string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.running) >= maxAtOnce {
		return "", ErrBusy
	}
	if s.running == nil {
		s.running = map[string]context.CancelFunc{}
	}
	spoken, cancel := context.WithCancel(ctx)
	s.running[id] = cancel
	s.wait.Go(func() {
		defer s.Cancel(id)
		if err := s.say(spoken, ctx, id, tokens(text)); err != nil {
			s.Log.Warn("giving an answer", "id", id, "error", err)
		}
	})
	return channel + id, nil
}

// Cancel ends an answer; it says no when there is none of this id.
func (s *Speaker) Cancel(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	cancel, ok := s.running[id]
	delete(s.running, id)
	if ok {
		cancel()
	}
	return ok
}

// Wait returns when no answer is being given any more.
func (s *Speaker) Wait() { s.wait.Wait() }

// tokens cuts a text into words with the space before them.
func tokens(text string) (all []string) {
	for text != "" {
		end := strings.IndexByte(text[1:], ' ') + 1
		if end == 0 {
			end = len(text)
		}
		all = append(all, text[:end])
		text = text[end:]
	}
	return all
}

// say publishes one token after the other, those that came due meanwhile in one
// request. Cancelling spoken ends it with the last event; with ctx all ends.
func (s *Speaker) say(spoken, ctx context.Context, id string, words []string) error {
	tick := time.NewTicker(tokenPause)
	defer tick.Stop()
	began, said := time.Now(), 0
	for said < len(words) {
		select {
		case <-tick.C:
		case <-spoken.Done():
			words = words[:said]
		}
		due := min(len(words), int(time.Since(began)/tokenPause)+1)
		if due <= said {
			continue
		}
		batch := make([]event, 0, due-said)
		for n := said; n < due; n++ {
			batch = append(batch, newEvent(id, n, TypeToken, words[n]))
		}
		if err := s.publish(ctx, batch); err != nil {
			return err
		}
		said = due
	}
	return s.publish(ctx, []event{newEvent(id, said, TypeDone, "")})
}

// event is a CloudEvent. Tokens that wait for the same client may be merged.
type event struct {
	SpecVersion string `json:"specversion"`
	ID          string `json:"id"`
	Source      string `json:"source"`
	Type        string `json:"type"`
	Channel     string `json:"channel"`
	Coalesce    string `json:"sgcoalesce,omitempty"`
	Key         string `json:"sgkey,omitempty"`
	Data        string `json:"data"`
}

func newEvent(id string, n int, kind, text string) event {
	e := event{SpecVersion: "1.0", ID: fmt.Sprintf("%s.%d", id, n), Source: "/finance/answers", Type: kind, Channel: channel + id, Data: text}
	if kind == TypeToken {
		e.Coalesce, e.Key = "concat", "text"
	}
	return e
}

// publish tries until the gateway has the events; their ids make a repeat safe.
func (s *Speaker) publish(ctx context.Context, batch []event) error {
	body, err := json.Marshal(batch)
	if err != nil {
		return fmt.Errorf("writing tokens: %w", err)
	}
	for end := time.Now().Add(patience); ; {
		_, err := s.Gateway.Post(ctx, body)
		if err == nil || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
		}
	}
}
