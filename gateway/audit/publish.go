package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/streamgateway/streamgateway/gateway/noloss"
)

const (
	publishTimeout = 5 * time.Second
	answerBytes    = 4 << 10
	longestPause   = 30 * time.Second // between two tries while publishing fails
)

// canary is what an event holds.
type canary struct {
	N uint64 `json:"n"`
}

// publish sends an event now and then, one after the other, until ctx ends. A
// number is never sent twice. While it fails, it tries less and less often.
func (a *Auditor) publish(ctx context.Context) {
	pause := a.options.Every
	for n := uint64(1); wait(ctx, pause); n++ {
		at, err := a.send(ctx, n)
		if ctx.Err() != nil {
			return
		}
		a.tell("publisher", err)
		if err != nil {
			a.ledger.unanswered(n)
			pause = min(2*pause, longestPause)
			continue
		}
		a.ledger.acked(n, at)
		pause = a.options.Every
	}
}

func (a *Auditor) send(ctx context.Context, n uint64) (at noloss.Cursor, err error) {
	ctx, stop := context.WithTimeout(ctx, publishTimeout)
	defer stop()
	body, err := json.Marshal(canary{n})
	if err != nil {
		return at, err
	}
	url := a.options.URL() + "/v2/realtime/channels/" + a.options.Channel + "/events"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(string(body)))
	if err != nil {
		return at, err
	}
	r.Header.Set("Content-Type", "application/json")
	var ack struct{ Results []struct{ Cursor string } }
	if err := a.ask(a.options.Identity, r, answerBytes, &ack); err != nil {
		return at, fmt.Errorf("publishing: %w", err)
	}
	if len(ack.Results) != 1 {
		return at, fmt.Errorf("publishing: %d results for one event", len(ack.Results))
	}
	return noloss.ParseCursor(ack.Results[0].Cursor)
}

// ask sends a request and reads its JSON answer of at most so many bytes.
func (a *Auditor) ask(client *http.Client, r *http.Request, limit int64, into any) error {
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, limit))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %d: %.200s", res.StatusCode, text)
	}
	return json.Unmarshal(text, into)
}
