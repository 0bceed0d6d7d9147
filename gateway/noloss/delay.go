package noloss

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Delay publishes n events, one after the other with a pause between, and
// measures how long each takes to one subscriber.
func Delay(ctx context.Context, o Options, n int, pause time.Duration) (Latency, error) {
	if o.Client == nil {
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		o.Client = &http.Client{Transport: transport}
	}
	channel := "noloss." + strconv.FormatInt(time.Now().UnixNano(), 36) + ".delay"
	stream, err := Open(ctx, o.Client, StreamURL(o.URL, []string{channel}, "plain"), "")
	if err != nil {
		return Latency{}, err
	}
	defer stream.Close()
	if err := await(stream, func(m Message) bool { return m.Event == "sg.caught-up" }); err != nil {
		return Latency{}, fmt.Errorf("waiting for the stream to be live: %w", err)
	}
	p := &publisher{options: &o, book: newBook(1), channels: []string{channel}, rand: rand.New(rand.NewPCG(o.Seed, 0))}
	took := make([]time.Duration, n)
	for i := range took {
		r := p.plain(kindJSON, "application/json")
		began := time.Now()
		if err := p.send(ctx, r, false); err != nil {
			return Latency{}, err
		}
		err := await(stream, func(m Message) bool {
			took[i] = m.At.Sub(began)
			e, ok := recognise(m.Data)
			return ok && e == r.events[0]
		})
		if err != nil {
			return Latency{}, fmt.Errorf("waiting for event %d: %w", i, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return Latency{}, ctx.Err()
		}
	}
	return Summarize(took), nil
}

// await reads until a message is the wanted one, for 10 s at most.
func await(s *Stream, wanted func(Message) bool) error {
	late := time.AfterFunc(publishTimeout, s.Close)
	defer late.Stop()
	for {
		m, err := s.Next()
		if err != nil {
			return err
		}
		if wanted(m) {
			return nil
		}
	}
}
