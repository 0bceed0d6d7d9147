// Package publish hands CloudEvents to the gateway: one request, one answer. When
// to try again, and what an answer must say, is up to its callers: relay and
// answer.
package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	answerBytes = 1 << 20
	timeout     = 10 * time.Second
	batchType   = "application/cloudevents-batch+json"
	reasonBytes = 500
)

// Gateway is where events go. All fields are required.
type Gateway struct {
	Endpoint string // URL of the gateway's POST /v2/realtime/events
	Client   *http.Client
	Token    func() (string, error) // bearer token, "" for none; asked before every request
}

// Refusal is an HTTP answer that is not a success.
type Refusal struct {
	Status     int
	RetryAfter time.Duration // 0 = the gateway does not say
	Detail     string
}

func (r *Refusal) Error() string { return fmt.Sprintf("gateway answered %d: %s", r.Status, r.Detail) }

// Final tells whether the same request would be refused for ever. A missing
// right or gateway (401, 403, 404) is not final: it comes with a Role or a Service.
func (r *Refusal) Final() bool {
	return r.Status == http.StatusBadRequest || r.Status == http.StatusRequestEntityTooLarge || r.Status == http.StatusUnprocessableEntity
}

// Post sends a JSON array of CloudEvents and gives what the gateway says of them.
// The error is a *Refusal where there was an answer.
func (g *Gateway) Post(ctx context.Context, batch []byte) ([]byte, error) {
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.Endpoint, bytes.NewReader(batch))
	if err != nil {
		return nil, fmt.Errorf("making publish request: %w", err)
	}
	req.Header.Set("Content-Type", batchType)
	token, err := g.Token()
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := g.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("publishing: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerBytes))
	if err != nil {
		return nil, fmt.Errorf("reading publish answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp, text)
	}
	return text, nil
}

func refusal(resp *http.Response, text []byte) error {
	var problem struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	r := &Refusal{Status: resp.StatusCode, Detail: string(text)}
	if json.Unmarshal(text, &problem) == nil && problem.Title != "" {
		r.Detail = problem.Title + ": " + problem.Detail
	}
	r.Detail = r.Detail[:min(len(r.Detail), reasonBytes)]
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		r.RetryAfter = min(time.Duration(s)*time.Second, time.Minute)
	}
	return r
}
