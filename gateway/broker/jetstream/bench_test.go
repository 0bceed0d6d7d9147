package jetstream

import (
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/broker/jetstream/natstest"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// BenchmarkAppendToTail is the time from Append to the record in a tail, one
// event after the other, beside that to a copy which the server republishes,
// and to the ack.
func BenchmarkAppendToTail(b *testing.B) {
	for _, way := range []string{"feed", "republished", "ack"} {
		b.Run(way, func(b *testing.B) {
			l, conn := benched(b)
			arrived := make(chan struct{}, 1)
			switch way {
			case "feed":
				go func() {
					_ = l.Tail(b.Context(), 0, func([]wire.Record) error { arrived <- struct{}{}; return nil })
				}()
			case "republished":
				_, err := conn.Subscribe("copy.>", func(*nats.Msg) { arrived <- struct{}{} })
				if err == nil {
					err = conn.Flush() // before the first event
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			one := func() {
				if _, err := l.Append(b.Context(), []wire.Event{{Channel: "a", Data: []byte("1")}}, broker.AppendOptions{}); err != nil {
					b.Fatal(err)
				}
				if way != "ack" {
					<-arrived
				}
			}
			one()
			for b.Loop() {
				one()
			}
		})
	}
}

// benched is a log whose stream republishes.
func benched(b *testing.B) (*Log, *nats.Conn) {
	b.Helper()
	s := natstest.Start(b, 1)
	conn, err := nats.Connect(s.URL())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	js, err := natsjs.New(conn)
	if err == nil {
		_, err = js.CreateStream(b.Context(), natsjs.StreamConfig{
			Name: "BENCH", Subjects: []string{"bench.e.>"}, AllowDirect: true, Duplicates: 5 * time.Minute,
			RePublish: &natsjs.RePublish{Source: "bench.e.>", Destination: "copy.>"},
		})
	}
	if err != nil {
		b.Fatal(err)
	}
	l, err := Open(b.Context(), Options{URL: s.URL(), Stream: "BENCH", SubjectPrefix: "bench", Name: "bench", Retention: time.Minute, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	return l, conn
}
