package transport

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// BenchmarkAResume opens a stream that missed three events, over loopback,
// reads it to sg.caught-up and leaves, one after the other: what a client costs
// that a drain moved. The processor time is that of the kernel, the gateway and
// a client that does next to nothing; the allocations are the gateway's.
func BenchmarkAResume(b *testing.B) {
	for _, transport := range transports {
		b.Run(transport, func(b *testing.B) {
			p := newPod(b)
			url := p.serve(b, transport)
			p.publish(wire.Event{Channel: "a", Data: []byte("0")})
			first := newReader(url + "?channels=a")
			position := ""
			if err := first.read(b.Context(), func(f map[string]string) bool {
				position = f["id"]
				return f["event"] != wire.ControlCaughtUp
			}); err != nil {
				b.Fatal(err)
			}
			for range 3 {
				p.publish(wire.Event{Channel: "a", Data: []byte(`{"amount":1299,"currency":"EUR"}`)})
			}
			host, path, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
			ask := fmt.Appendf(nil, "GET /%s?channels=a HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\nLast-Event-ID: %s\r\n\r\n", path, host, position)
			b.ReportAllocs()
			before := cpuTime()
			for b.Loop() {
				resume(b, host, ask)
			}
			b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

func resume(b *testing.B, host string, ask []byte) {
	conn, err := net.Dial("tcp", host)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(ask); err != nil {
		b.Fatal(err)
	}
	var room [8 << 10]byte
	got := 0
	for !bytes.Contains(room[:got], []byte(wire.ControlCaughtUp)) {
		n, err := conn.Read(room[got:])
		if err != nil {
			b.Fatalf("%v after %q", err, room[:got])
		}
		got += n
	}
}
