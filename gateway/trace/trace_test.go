package trace_test

import (
	"context"
	"encoding/hex"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/trace"
	"github.com/streamgateway/streamgateway/gateway/trace/tracetest"
)

// running makes a tracer that samples everything and runs until the test ends.
func running(t *testing.T, endpoint string, log *slog.Logger) *trace.Tracer {
	t.Helper()
	tracer, err := trace.New(trace.Options{
		Endpoint: endpoint, Resource: map[string]string{"service.name": "prices", "service.instance.id": "prices-0"},
		Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	tracer.Tune(100)
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { tracer.Run(ctx) })
	t.Cleanup(func() { stop(); done.Wait() })
	return tracer
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func TestARealCollectorReadsWhatIsSent(t *testing.T) {
	c := tracetest.Start(t)
	tracer := running(t, c.Address, slog.New(slog.DiscardHandler))
	parent := wire.ParseTrace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	start := time.Now().Add(-time.Second)
	s := tracer.Start("publish", parent, start)
	s.Text("http.request.method", "POST")
	s.Number("sg.events", -3)
	child := s.Child("append")
	child.Fail()
	child.End()
	s.EndAt(start.Add(1500 * time.Microsecond))
	got := c.Await(t, "4bf92f3577b34da6a3ce929d0e0e4736", 2)
	p, a := got["publish"], got["append"]
	if hex.EncodeToString(p.GetParentSpanId()) != "00f067aa0ba902b7" || string(a.GetParentSpanId()) != string(p.GetSpanId()) ||
		len(p.GetSpanId()) != 8 || p.GetKind() != v1.Span_SPAN_KIND_SERVER || a.GetKind() != v1.Span_SPAN_KIND_INTERNAL {
		t.Errorf("publish %v, append %v", p, a)
	}
	if p.GetStartTimeUnixNano() != uint64(start.UnixNano()) || p.GetEndTimeUnixNano()-p.GetStartTimeUnixNano() != 1_500_000 || p.GetFlags()&0xff != 1 {
		t.Errorf("publish %v", p)
	}
	if p.GetStatus().GetCode() != v1.Status_STATUS_CODE_UNSET || a.GetStatus().GetCode() != v1.Status_STATUS_CODE_ERROR {
		t.Errorf("status %v and %v", p.GetStatus(), a.GetStatus())
	}
	attributes := p.GetAttributes()
	if len(attributes) != 2 || attributes[0].GetKey() != "http.request.method" || attributes[0].GetValue().GetStringValue() != "POST" ||
		attributes[1].GetKey() != "sg.events" || attributes[1].GetValue().GetIntValue() != -3 {
		t.Errorf("attributes %v", attributes)
	}
	if r := c.Resource(); r["service.name"] != "prices" || r["service.instance.id"] != "prices-0" {
		t.Errorf("resource %v", r)
	}
	await(t, "they are counted", func() bool { return tracer.Counts() == trace.Counts{Sent: 2} })
}

func TestACollectorThatRefusesOrIsAwayCostsSpansAndNothingElse(t *testing.T) {
	var log lockedText
	c := tracetest.Start(t)
	c.Refuse(status.Error(codes.ResourceExhausted, "no room"))
	tracer := running(t, "http://"+c.Address, slog.New(slog.NewTextHandler(&log, nil)))
	tracer.Start("one", wire.Trace{}, time.Now()).End()
	await(t, "the refusal is counted", func() bool { return tracer.Counts() == trace.Counts{Failed: 1} })
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, `gRPC status \"8\"`) {
		t.Errorf("log %s", text)
	}
	c.Refuse(nil)
	tracer.Start("two", wire.Trace{}, time.Now()).End()
	await(t, "it goes on", func() bool { return tracer.Counts() == trace.Counts{Sent: 1, Failed: 1} })

	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mute := running(t, nobody.Addr().String(), slog.New(slog.DiscardHandler)) // the kernel takes connections, nobody answers
	for range 3000 {
		mute.Start("three", wire.Trace{}, time.Now()).End()
	}
	if n := mute.Counts(); n != (trace.Counts{Full: 3000 - 2048}) {
		t.Errorf("of 3000 spans for a collector that does not answer: %+v", n)
	}
	_ = nobody.Close()
	away := running(t, nobody.Addr().String(), slog.New(slog.DiscardHandler))
	for range 3000 {
		away.Start("four", wire.Trace{}, time.Now()).End()
	}
	await(t, "all are counted", func() bool { n := away.Counts(); return n.Failed > 0 && n.Failed+n.Full == 3000 })
}

func TestSamplingFollowsTheCallerAndDrawsForTheRest(t *testing.T) {
	tracer, err := trace.New(trace.Options{Endpoint: "127.0.0.1:4317", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	sampled := wire.ParseTrace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	not := sampled
	not.Sampled = false
	drawn := func() (n int) {
		for range 10000 {
			if tracer.Start("a", wire.Trace{}, time.Now()) != nil {
				n++
			}
		}
		return n
	}
	if tracer.Start("a", sampled, time.Now()) != nil || drawn() != 0 || tracer.Under("a", sampled, time.Now()) != nil {
		t.Error("sampled before it was tuned")
	}
	tracer.Tune(25)
	if n := drawn(); n < 2300 || n > 2700 {
		t.Errorf("25 %%: %d of 10000", n)
	}
	if s := tracer.Start("a", sampled, time.Now()); s.Context().ID != sampled.ID || s.Context().Span == sampled.Span || !s.Context().Sampled {
		t.Errorf("a sampled parent: %+v", s)
	}
	if tracer.Start("a", not, time.Now()) != nil || tracer.Under("a", not, time.Now()) != nil {
		t.Error("sampled what its caller does not")
	}
	tracer.Tune(100)
	if n := drawn(); n != 10000 {
		t.Errorf("100 %%: %d of 10000", n)
	}
	tracer.Tune(0.01)
	if n := drawn(); n > 10 {
		t.Errorf("0.01 %%: %d of 10000", n)
	}
}

func TestAGatewayThatDoesNotTraceCallsNothing(t *testing.T) {
	var tracer *trace.Tracer
	tracer.Tune(100)
	tracer.Run(t.Context())
	allocations := testing.AllocsPerRun(100, func() {
		s := tracer.Start("a", wire.Trace{}, time.Time{})
		s.Text("a", "b")
		s.Number("a", 1)
		s.Child("b").Fail()
		s.End()
	})
	if allocations != 0 || !(*trace.Span)(nil).Context().IsZero() || tracer.Counts() != (trace.Counts{}) {
		t.Errorf("%v allocations", allocations)
	}
}

func TestAnEndpointIsAHostAndAPort(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"otel:4317": true, "http://otel:4317": true, "https://otel.example.com": true, "https://otel.example.com:4317/": true, "[::1]:4317": true,
		"": false, "ftp://otel:4317": false, "http://user:secret@otel:4317": false, "otel:4317/v1/traces": false, "http://": false, "a b:1": false,
	} {
		_, err := trace.New(trace.Options{Endpoint: endpoint})
		if (err == nil) != ok {
			t.Errorf("%q: %v", endpoint, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error tells the secret: %v", endpoint, err)
		}
	}
}

type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// What a request pays: nothing when tracing is off, little when its trace is not
// sampled.
func BenchmarkRequest(b *testing.B) {
	on, err := trace.New(trace.Options{Endpoint: "127.0.0.1:4317", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	request := func(t *trace.Tracer) {
		s := t.Start("publish", wire.Trace{}, time.Time{})
		s.Number("sg.events", 1)
		s.Child("append").End()
		s.End()
	}
	for _, c := range []struct {
		name    string
		tracer  *trace.Tracer
		percent float64
	}{{"off", nil, 0}, {"0 percent", on, 0}, {"not sampled", on, 1e-9}, {"sampled", on, 100}} {
		b.Run(c.name, func(b *testing.B) {
			c.tracer.Tune(c.percent)
			b.ReportAllocs()
			for b.Loop() {
				request(c.tracer)
			}
		})
	}
}
