package try

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	streamPath = "/v2/realtime/stream?channels=finance.revenue"
	postPath   = "/finance/revenue"
	postBody   = `{"amount":10000,"propertyId":1}`
	answerMax  = 4 << 10 // bytes of an answer that are read
)

// event is one frame of the stream that carries data.
type event struct {
	name, cursor, data string
	at                 time.Time // when its last byte was read
}

type stream struct {
	cursor string
	events chan event
	failed chan error
	close  func()
}

// open connects and waits until the gateway says that the stream is live, so
// that a revenue posted afterwards cannot be missed.
func open(ctx context.Context, base string, timeout time.Duration) (*stream, error) {
	ctx, stop := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+streamPath, nil)
	if err != nil {
		stop()
		return nil, fmt.Errorf("opening stream: %w", err)
	}
	late := time.AfterFunc(timeout, stop)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		stop()
		return nil, fmt.Errorf("opening stream: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		defer stop()
		defer resp.Body.Close()
		return nil, fmt.Errorf("opening stream: %w", status(resp))
	}
	s := &stream{events: make(chan event, 1000), failed: make(chan error, 1), close: stop}
	go s.read(resp.Body)
	for {
		e, err := s.next(ctx, timeout)
		if err != nil {
			stop()
			return nil, fmt.Errorf("waiting for the stream to be live: %w", err)
		}
		if e.name == "sg.caught-up" {
			s.cursor = e.cursor
			late.Stop()
			return s, nil
		}
	}
}

// read hands on every frame that has data, until the stream ends.
func (s *stream) read(body io.ReadCloser) {
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	var e event
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "":
			if lines.Text() == "" && e.data != "" {
				e.at = time.Now()
				s.events <- e
			}
			if lines.Text() == "" {
				e = event{cursor: e.cursor}
			}
		case "id":
			e.cursor = value
		case "event":
			e.name = value
		case "data":
			e.data += value
		}
	}
	err := lines.Err()
	if err == nil {
		err = errors.New("the gateway closed it")
	}
	s.failed <- fmt.Errorf("reading stream: %w", err)
}

func (s *stream) next(ctx context.Context, timeout time.Duration) (event, error) {
	select {
	case e := <-s.events:
		return e, nil
	case err := <-s.failed:
		return event{}, err
	case <-ctx.Done():
		return event{}, context.Cause(ctx)
	case <-time.After(timeout):
		return event{}, fmt.Errorf("nothing came in %s", timeout)
	}
}

// wait returns the event of the revenue with this id.
func (s *stream) wait(ctx context.Context, id string, timeout time.Duration) (event, error) {
	for {
		e, err := s.next(ctx, timeout)
		if err != nil {
			return event{}, fmt.Errorf("waiting for the event of revenue %s: %w", id, err)
		}
		var revenue struct{ ID string }
		if e.name == "" && json.Unmarshal([]byte(e.data), &revenue) == nil && revenue.ID == id {
			return e, nil
		}
	}
}

type posted struct {
	id, body        string
	began, answered time.Time
	committedMs     int64
}

func post(ctx context.Context, s settings) (posted, error) {
	ctx, stop := context.WithTimeout(ctx, s.timeout)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+postPath, strings.NewReader(postBody))
	if err != nil {
		return posted{}, fmt.Errorf("posting revenue: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.token)
	p := posted{body: postBody, began: time.Now()}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return posted{}, fmt.Errorf("posting revenue: %w", err)
	}
	defer resp.Body.Close()
	p.answered = time.Now()
	if resp.StatusCode != http.StatusCreated {
		return posted{}, fmt.Errorf("posting revenue: %w", status(resp))
	}
	var answer struct {
		ID          string `json:"id"`
		CommittedMs int64  `json:"committedMs"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, answerMax)).Decode(&answer); err != nil {
		return posted{}, fmt.Errorf("reading the answer to a post: %w", err)
	}
	p.id, p.committedMs = answer.ID, answer.CommittedMs
	return p, nil
}

// status turns an answer that is not the wanted one into an error with its text.
func status(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if err != nil {
		return fmt.Errorf("answered %s, and its text was cut: %w", resp.Status, err)
	}
	return fmt.Errorf("answered %s: %s", resp.Status, bytes.TrimSpace(text))
}
