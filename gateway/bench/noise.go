//go:build linux

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/streamgateway/streamgateway/gateway/bench/contest"
	"github.com/streamgateway/streamgateway/gateway/bench/load"
)

// Noise is a tenant that publishes at its own pace, whatever it is told, to
// streams of its own. It is a process of its own, so that it takes none of the
// time of those who measure: they go before it on their core.
type Noise struct {
	Server  netip.AddrPort
	Token   string
	Streams int
	Rate    float64 // events per second
	Group   int     // events a request
}

// Heard is what became of it, from when it was loud.
type Heard struct {
	Seconds   float64 `json:"seconds"`
	Requests  uint64  `json:"requests"`
	Refused   uint64  `json:"refusedRequests"`
	Delivered uint64  `json:"deliveries"`
}

const (
	noiseChannel = "n.1"
	noiseLines   = 4
	// burstOver is when a tenant has used up what it may send at once.
	burstOver = 1500 * time.Millisecond
)

// Make is loud until its input ends: it writes a line when it is, and one with
// Heard at the end.
func (n Noise) Make(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	server := contest.Attach(n.Server).As(n.Token)
	crowd, err := load.NewCrowd(n.Streams)
	if err != nil {
		return err
	}
	defer crowd.Close()
	if err := crowd.Open(n.Server, 0, n.Streams, func(int) []byte { return server.Request([]string{"n.>"}, "") }); err != nil {
		return err
	}
	p, err := load.NewPublisher(server.Target(), func(dst []byte, number uint64, at int64) []byte { return load.AppendSized(dst, number, at, 120) }, noiseLines)
	if err != nil {
		return err
	}
	p.Presses = true
	defer func() { err = errors.Join(err, p.Close()) }()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	published := make(chan error, 1)
	go func() {
		const forEver = 1 << 40
		published <- p.Paced(ctx, n.Rate/float64(n.Group), forEver, n.Group, func(int) string { return noiseChannel })
	}()
	if err := sleep(ctx, burstOver); err != nil {
		return err
	}
	before, delivered, began := p.Published(), crowd.Counts().Received, time.Now()
	if _, err := fmt.Fprintln(out, "loud"); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	after := p.Published()
	heard := Heard{
		Seconds: time.Since(began).Seconds(), Requests: (after.Events - before.Events) / uint64(n.Group),
		Refused: after.Refused - before.Refused, Delivered: crowd.Counts().Received - delivered,
	}
	stop()
	if err := <-published; !errors.Is(err, context.Canceled) {
		return err
	}
	return json.NewEncoder(out).Encode(heard)
}
