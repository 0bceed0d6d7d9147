package server

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/trace/tracetest"
)

// traced starts a gateway that sends spans to a collector.
func traced(t *testing.T, samplePercent float64) (*gateway, *tracetest.Collector) {
	t.Helper()
	c := tracetest.Start(t)
	g := &gateway{t: t}
	folder := inFolder(t, config.HotKey, g.document(func(h *config.Hot) { h.Observability.Tracing.SamplePercent = samplePercent }))
	writeFile(t, filepath.Join(folder, "cold.json"), fmt.Appendf(nil, `{"observability":{"tracing":{"endpoint":%q}}}`, c.Address))
	started := start(t, func(o *Options) { o.Config = folder })
	started.serial = g.serial
	return started, c
}

func (g *gateway) publish(contentType, body string, header ...string) {
	g.t.Helper()
	r, err := http.NewRequest("POST", g.base+"/events", strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		g.t.Fatalf("publishing: %d", res.StatusCode)
	}
}

func traceparentOf(t *testing.T, f frame) string {
	t.Helper()
	var e struct{ Traceparent string }
	if err := json.Unmarshal([]byte(f.data), &e); err != nil {
		t.Fatalf("%v: %s", err, f.data)
	}
	return e.Traceparent
}

func TestATraceGoesFromThePublisherToTheFirstWrite(t *testing.T) {
	g, c := traced(t, 1)
	other := g.open("channels=b&format=envelope")
	other.next("sg.caught-up")
	first, second := g.open("channels=a&format=envelope"), g.open("channels=a&format=envelope")
	first.next("sg.caught-up")
	second.next("sg.caught-up")
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	g.publish("application/x-ndjson", `{"channel":"a","data":1}`, "Traceparent", "00-"+id+"-00f067aa0ba902b7-01", "X-Request-Id", "r-1")
	carried := traceparentOf(t, first.next(""))
	spans := c.Await(t, id, 4)
	publish, stored, ring, write := spans["publish"], spans["append"], spans["ring"], spans["first write"]
	if publish == nil || stored == nil || ring == nil || write == nil {
		t.Fatalf("spans %v", spans)
	}
	for name, s := range spans {
		t.Logf("%-12s span %x under %x, from %4d µs, %4d µs long", name, s.GetSpanId(), s.GetParentSpanId(),
			(s.GetStartTimeUnixNano()-publish.GetStartTimeUnixNano())/1000, (s.GetEndTimeUnixNano()-s.GetStartTimeUnixNano())/1000)
	}
	if hex.EncodeToString(publish.GetParentSpanId()) != "00f067aa0ba902b7" {
		t.Errorf("the publisher's span is not the parent: %v", publish)
	}
	for _, s := range []interface {
		GetParentSpanId() []byte
		GetStartTimeUnixNano() uint64
		GetEndTimeUnixNano() uint64
	}{stored, ring, write} {
		if !bytes.Equal(s.GetParentSpanId(), publish.GetSpanId()) || s.GetStartTimeUnixNano() < publish.GetStartTimeUnixNano() || s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
			t.Errorf("%v is not below %v", s, publish)
		}
	}
	if write.GetStartTimeUnixNano() < ring.GetEndTimeUnixNano() {
		t.Errorf("written before it was stored: %v, %v", ring, write)
	}
	if want := "00-" + id + "-" + hex.EncodeToString(publish.GetSpanId()) + "-01"; carried != want {
		t.Errorf("the subscriber got %q, want %q", carried, want)
	}
	if r := c.Resource(); r["service.name"] != "streamgateway" || r["service.instance.id"] != "prices-0" || r["service.version"] != "test" {
		t.Errorf("resource %v", r)
	}
	if !strings.Contains(fmt.Sprint(publish.GetAttributes()), "r-1") || strings.Contains(fmt.Sprint(c.Spans()), `"a"`) {
		t.Errorf("attributes %v", publish.GetAttributes())
	}
	g.eventually("an exemplar leads to the trace", func() bool {
		text := g.scrape("application/openmetrics-text; version=1.0.0")
		exemplars := 0
		for line := range strings.Lines(text) {
			if strings.Contains(line, `# {trace_id="`+id+`"}`) {
				exemplars++
			}
		}
		return exemplars == 2 && strings.Contains(text, `sg_spans_total{result="sent"} 4`)
	})
	if n := len(c.Spans()); n != 4 {
		t.Errorf("%d spans of one event with two readers", n)
	}
}

// The context reaches subscribers whether or not this gateway traces, as it
// reached the gateway: in a header for the request or in each event.
func TestATraceIsCarriedInTheEvent(t *testing.T) {
	g := start(t, nil)
	s := g.open("channels=a&format=envelope")
	s.next("sg.caught-up")
	const header, own = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-00f067aa0ba902b7-01", "00-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-00f067aa0ba902b7-01"
	event := func(more string) string {
		return `{"specversion":"1.0","id":"1","source":"s","type":"t","channel":"a"` + more + `}`
	}
	for _, c := range []struct{ name, contentType, body, header, want string }{
		{"a header", "application/x-ndjson", `{"channel":"a","data":1}`, header, header},
		{"none", "application/x-ndjson", `{"channel":"a","data":1}`, "", ""},
		{"not sampled", "application/x-ndjson", `{"channel":"a","data":1}`, strings.TrimSuffix(header, "1") + "0", ""},
		{"nonsense", "application/x-ndjson", `{"channel":"a","data":1}`, "00-4bf9", ""},
		{"an event's own", "application/cloudevents+json", event(`,"traceparent":"` + own + `"`), "", own},
		{"an event's own beside a header", "application/cloudevents-batch+json", "[" + strings.Replace(event(`,"traceparent":"`+own+`"`), `"1"`, `"2"`, 1) + "]", header, own},
		{"an extension that is no text", "application/cloudevents-batch+json", "[" + strings.Replace(event(`,"traceparent":7`), `"id":"1"`, `"id":"3"`, 1) + "]", "", ""},
	} {
		more := []string{}
		if c.header != "" {
			more = append(more, "Traceparent", c.header)
		}
		g.publish(c.contentType, c.body, more...)
		if got := traceparentOf(t, s.next("")); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestTheShareOfTracesIsChangedWhileTheGatewayRuns(t *testing.T) {
	g, c := traced(t, 0)
	s := g.open("channels=a&format=envelope")
	s.next("sg.caught-up")
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	g.publish("application/x-ndjson", `{"channel":"a","data":1}`, "Traceparent", parent)
	if got := traceparentOf(t, s.next("")); got != parent {
		t.Errorf("without tracing the event carries %q", got)
	}
	g.config.take(g.document(func(h *config.Hot) { h.Observability.Tracing.SamplePercent = 100 }))
	g.publish("application/x-ndjson", `{"channel":"a","data":1}`)
	carried := traceparentOf(t, s.next(""))
	if len(carried) != 55 {
		t.Fatalf("the event carries %q", carried)
	}
	spans := c.Await(t, carried[3:35], 4)
	if len(spans["publish"].GetParentSpanId()) != 0 || len(c.Spans()) != 4 {
		t.Errorf("spans %v", c.Spans())
	}
}
