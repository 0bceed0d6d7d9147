// Package publisher publishes to a real gateway with the CloudEvents SDK for
// Go, as another team's service would. It has no code but tests, in a module of
// its own so that the SDK stays out of the product's. `make clients` calls it.
package publisher

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/google/go-cmp/cmp"
)

// startGateway runs the binary that `make clients` builds, and returns the URL
// of its base.
func startGateway(t *testing.T) string {
	t.Helper()
	command := exec.CommandContext(context.WithoutCancel(t.Context()), "../../../bin/clients/gateway", "--dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	logs, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("starting the gateway that `make clients` builds: %v", err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		if err := command.Wait(); err != nil {
			t.Errorf("the gateway ended with %v", err)
		}
	})
	for lines := bufio.NewScanner(logs); lines.Scan(); {
		var said struct{ Msg, Listen string }
		if json.Unmarshal(lines.Bytes(), &said) == nil && said.Msg == "gateway serves" {
			return "http://" + said.Listen + "/v2/realtime"
		}
	}
	t.Fatal("the gateway does not serve")
	return ""
}

// element is what a reader gets of an event in the format envelope.
type element struct {
	Channel, ID, Type, Data64 string
	Data                      any
}

// read gives the first count events that the gateway has of a pattern.
func read(t *testing.T, base, pattern string, count int) (got []element) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/stream?format=envelope&cursor=earliest&channels="+pattern, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); len(got) < count && lines.Scan(); {
		var e element
		data, found := strings.CutPrefix(lines.Text(), `data: {"seq"`)
		if !found {
			continue
		}
		if err := json.Unmarshal([]byte(`{"seq"`+data), &e); err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	return got
}

func invoice(t *testing.T, id string, data any) cloudevents.Event {
	t.Helper()
	e := cloudevents.NewEvent()
	e.SetID(id)
	e.SetSource("/billing/größe 7")
	e.SetType("invoice.paid")
	e.SetExtension("channel", "billing.eu")
	kind := cloudevents.ApplicationJSON
	if _, ok := data.([]byte); ok {
		kind = "application/octet-stream"
	}
	if err := e.SetData(kind, data); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEventsOfTheSDKArriveInBothModes(t *testing.T) {
	base := startGateway(t)
	client, err := cloudevents.NewClientHTTP(cloudevents.WithTarget(base + "/events"))
	if err != nil {
		t.Fatal(err)
	}
	for _, send := range []struct {
		in    context.Context
		event cloudevents.Event
	}{
		{cloudevents.WithEncodingBinary(t.Context()), invoice(t, "ü 1", map[string]any{"cents": 1299})},
		{cloudevents.WithEncodingStructured(t.Context()), invoice(t, "2", map[string]any{"cents": 2.5})},
		{cloudevents.WithEncodingBinary(t.Context()), invoice(t, "3", []byte{0, 10, 255})},
		{cloudevents.WithEncodingStructured(t.Context()), invoice(t, "4", []byte{0, 10, 255})},
	} {
		if result := client.Send(send.in, send.event); !cloudevents.IsACK(result) {
			t.Errorf("event %s: %v", send.event.ID(), result)
		}
	}
	want := []element{
		{Channel: "billing.eu", ID: "ü 1", Type: "invoice.paid", Data: map[string]any{"cents": 1299.0}},
		{Channel: "billing.eu", ID: "2", Type: "invoice.paid", Data: map[string]any{"cents": 2.5}},
		{Channel: "billing.eu", ID: "3", Type: "invoice.paid", Data64: "AAr/"},
		{Channel: "billing.eu", ID: "4", Type: "invoice.paid", Data64: "AAr/"},
	}
	if d := cmp.Diff(want, read(t, base, "billing.*", len(want))); d != "" {
		t.Error(d)
	}
}

// ack is the answer to a publish.
type ack struct {
	Accepted, Duplicates int
	Results              []struct {
		ID, Cursor string
		Duplicate  bool
	}
}

func sendBatch(t *testing.T, base string, events ...cloudevents.Event) (a ack) {
	t.Helper()
	request, err := cloudevents.NewHTTPRequestFromEvents(t.Context(), base+"/events", events)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("the batch was answered with %s", response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestABatchIsTakenOnceHoweverOftenItIsSent(t *testing.T) {
	base := startGateway(t)
	batch := []cloudevents.Event{invoice(t, "1", "one"), invoice(t, "2", "two"), invoice(t, "3", "three")}
	first := sendBatch(t, base, batch...)
	if first.Accepted != 3 || first.Duplicates != 0 || len(first.Results) != 3 {
		t.Fatalf("first: %+v", first)
	}
	again := sendBatch(t, base, append(batch, invoice(t, "4", "four"))...)
	if again.Duplicates != 3 || len(again.Results) != 4 || again.Results[3].Duplicate {
		t.Fatalf("again: %+v", again)
	}
	for i := range batch {
		if r := again.Results[i]; !r.Duplicate || r.ID != batch[i].ID() || r.Cursor != first.Results[i].Cursor {
			t.Errorf("result %d = %+v, at first %+v", i, r, first.Results[i])
		}
	}
	got := read(t, base, "billing.eu", 4)
	for i, want := range []string{"one", "two", "three", "four"} {
		if len(got) <= i || got[i].Data != want {
			t.Fatalf("read %+v", got)
		}
	}
}

func TestRefusalsReachTheSDKAsStatuses(t *testing.T) {
	base := startGateway(t)
	client, err := cloudevents.NewClientHTTP(cloudevents.WithTarget(base + "/events"))
	if err != nil {
		t.Fatal(err)
	}
	nowhere, reserved, changed := invoice(t, "1", 1), invoice(t, "2", 1), invoice(t, "3", 2)
	nowhere.SetExtension("channel", nil)
	reserved.SetExtension("channel", "$sg.x")
	if result := client.Send(t.Context(), invoice(t, "3", 1)); !cloudevents.IsACK(result) {
		t.Fatal(result)
	}
	for name, c := range map[string]struct {
		event  cloudevents.Event
		status int
	}{
		"an event without a channel":                         {nowhere, http.StatusBadRequest},
		"a channel that is reserved":                         {reserved, http.StatusBadRequest},
		"the same id with another payload":                   {changed, http.StatusUnprocessableEntity},
		"a bare percent sign, which the SDK does not encode": {invoice(t, "50%", 1), http.StatusUnprocessableEntity},
	} {
		result := client.Send(t.Context(), c.event)
		var answer *cehttp.Result
		if cloudevents.IsACK(result) || !cloudevents.ResultAs(result, &answer) || answer.StatusCode != c.status {
			t.Errorf("%s: %v, want %d", name, result, c.status)
		}
	}
	if got := read(t, base, "billing.eu", 1); len(got) != 1 || got[0].ID != "3" || got[0].Data != 1.0 {
		t.Errorf("read %+v", got)
	}
}
