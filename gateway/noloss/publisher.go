package noloss

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxBatch       = 8 // events of one request
	publishTimeout = 10 * time.Second
	eventType      = "noloss.counted"
)

// publisher sends events in every way the gateway takes them, one request after
// the other, and repeats each until it is acknowledged.
type publisher struct {
	index    int
	options  *Options
	book     *book
	channels []string
	rand     *rand.Rand

	retries, duplicates, unknown int
}

// request is one publish request that can be repeated.
type request struct {
	path, contentType string
	header            http.Header
	body              []byte
	events            []event
}

// run publishes at the wanted rate until ctx ends. The request under way is
// still brought to its end.
func (p *publisher) run(ctx context.Context, eventsPerSecond float64) error {
	next := time.Now()
	for ctx.Err() == nil {
		r := p.make()
		if err := p.deliver(context.WithoutCancel(ctx), r); err != nil {
			return err
		}
		next = next.Add(time.Duration(float64(len(r.events)) / eventsPerSecond * (0.5 + p.rand.Float64()) * float64(time.Second)))
		if behind := time.Since(next); behind > time.Second {
			next = time.Now() // an outage is not made up for by a flood
		}
		select {
		case <-time.After(time.Until(next)):
		case <-ctx.Done():
		}
	}
	return nil
}

// make draws the next request: its form, its channels, its events.
func (p *publisher) make() request {
	switch p.rand.IntN(6) {
	case 0:
		return p.batch("application/cloudevents-batch+json", "[", ",", "]", p.cloudEvent)
	case 1:
		return p.batch("application/x-ndjson", "", "\n", "\n", p.short)
	case 2:
		return p.binaryMode()
	case 3:
		return p.plain(kindText, "text/plain; charset=utf-8")
	case 4:
		return p.plain(kindBinary, "application/octet-stream")
	}
	return p.plain(kindJSON, "application/json")
}

func (p *publisher) next(k kind) (event, string) {
	channel := p.channels[p.rand.IntN(len(p.channels))]
	return p.book.send(p.index, channel, k), channel
}

func (p *publisher) batch(contentType, open, between, end string, text func(event, string) string) request {
	r := request{path: "/v2/realtime/events", contentType: contentType}
	var parts []string
	for range 1 + p.rand.IntN(maxBatch) {
		e, channel := p.next(kindJSON)
		r.events = append(r.events, e)
		parts = append(parts, text(e, channel))
	}
	r.body = []byte(open + strings.Join(parts, between) + end)
	return r
}

func (p *publisher) cloudEvent(e event, channel string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":%q,"type":%q,"channel":%q,"data":%s}`,
		e.id(), p.source(), eventType, channel, e.data(kindJSON))
}

func (p *publisher) short(e event, channel string) string {
	return fmt.Sprintf(`{"channel":%q,"id":%q,"type":%q,"data":%s}`, channel, e.id(), eventType, e.data(kindJSON))
}

func (p *publisher) source() string { return "/noloss/" + strconv.Itoa(p.index) }

func (p *publisher) binaryMode() request {
	e, channel := p.next(kindJSON)
	return request{
		path: "/v2/realtime/events", contentType: "application/json", body: []byte(e.data(kindJSON)), events: []event{e},
		header: http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {e.id()}, "Ce-Source": {p.source()}, "Ce-Type": {eventType}, "Ce-Channel": {channel}},
	}
}

func (p *publisher) plain(k kind, contentType string) request {
	e, channel := p.next(k)
	return request{
		path: "/v2/realtime/channels/" + url.PathEscape(channel) + "/events?type=" + eventType, contentType: contentType,
		header: http.Header{"Idempotency-Key": {e.id()}}, body: []byte(e.data(k)), events: []event{e},
	}
}

// deliver sends r until it is acknowledged. After the options' patience its
// outcome stays unknown, which is no fault: nothing was promised. A refusal that
// repeating cannot help is an error.
func (p *publisher) deliver(ctx context.Context, r request) error {
	giveUp := time.Now().Add(p.options.Settle)
	for attempt := 0; ; attempt++ {
		err := p.send(ctx, r, attempt > 0)
		if err == nil {
			return nil
		}
		refusal, ok := errors.AsType[*Refusal](err)
		switch {
		case ok && refusal.Status < 500 && refusal.Status != http.StatusTooManyRequests && refusal.Status != http.StatusConflict:
			return fmt.Errorf("publishing to %s: %w", r.path, err)
		case time.Now().After(giveUp):
			p.unknown += len(r.events)
			return nil
		}
		p.retries++
		time.Sleep(time.Duration(p.rand.Int64N(int64(min(20*time.Millisecond<<min(attempt, 6), time.Second)))))
	}
}

func (p *publisher) send(ctx context.Context, r request, repeated bool) error {
	ctx, stop := context.WithTimeout(ctx, publishTimeout)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(p.options.URL, "/")+r.path, bytes.NewReader(r.body))
	if err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	if r.header != nil {
		req.Header = r.header.Clone()
	}
	req.Header.Set("Content-Type", r.contentType)
	if p.options.Token != nil {
		token, err := p.options.Token()
		if err != nil {
			return fmt.Errorf("publishing: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := p.options.Client.Do(req)
	if err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("reading acknowledgement: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return &Refusal{resp.StatusCode, strings.TrimSpace(string(text[:min(len(text), answerBytes)]))}
	}
	return p.acknowledge(text, r, repeated)
}

// acknowledge notes every promise of the answer, and checks its form.
func (p *publisher) acknowledge(text []byte, r request, repeated bool) error {
	var ack struct {
		Accepted, Duplicates int
		Results              []struct {
			ID, Cursor string
			Duplicate  bool
		}
	}
	if err := json.Unmarshal(text, &ack); err != nil {
		return fmt.Errorf("reading acknowledgement: %w", err)
	}
	if len(ack.Results) != len(r.events) || ack.Accepted != len(r.events) || ack.Duplicates > ack.Accepted {
		p.book.fault("acknowledgement", "%d events were answered by %.200s", len(r.events), text)
	}
	last := Cursor{}
	for i, result := range ack.Results[:min(len(ack.Results), len(r.events))] {
		at, err := ParseCursor(result.Cursor)
		if err != nil || result.ID != r.events[i].id() || (result.Duplicate && !repeated) || (at.Epoch == last.Epoch && at.Seq <= last.Seq) {
			p.book.fault("acknowledgement", "%s, sent after %s, was answered by %+v", r.events[i].id(), last, result)
			continue
		}
		if result.Duplicate {
			p.duplicates++
		}
		last = at
		p.book.ack(r.events[i], at)
	}
	return nil
}
