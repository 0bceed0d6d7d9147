package decode_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/engine/wire/decode"
)

type headers = map[string][]string

func typed(contentType string, more ...string) headers {
	h := headers{"Content-Type": {contentType}}
	for i := 0; i < len(more); i += 2 {
		h[more[i]] = []string{more[i+1]}
	}
	return h
}

const (
	structured = "application/cloudevents+json; charset=utf-8"
	batch      = "application/cloudevents-batch+json"
	ndjson     = "application/x-ndjson"
)

func cloudEvent(more string) []byte {
	return []byte(`{"specversion":"1.0","id":"inv-991","source":"/billing","type":"revenue.created","channel":"revenue.eu"` + more + `}`)
}

func TestEveryModeBecomesTheSameEvent(t *testing.T) {
	want := []wire.Event{{
		Channel: "revenue.eu", ID: "inv-991", Type: "revenue.created", Source: "/billing", Data: []byte(`{"amount":1}`), Flush: true,
	}}
	for _, tc := range []struct {
		name string
		in   decode.Request
	}{
		{"structured", decode.Request{Header: typed(structured), Body: cloudEvent(`,"sgflush":true,"data":{"amount":1}`)}},
		{"structured with the flag as text", decode.Request{Header: typed(structured), Body: cloudEvent(`,"sgflush":"true","data":{"amount":1}`)}},
		{"structured with JSON in base64", decode.Request{Header: typed(structured), Body: cloudEvent(
			`,"sgflush":true,"datacontenttype":"application/json","data_base64":"` + base64.StdEncoding.EncodeToString([]byte(`{"amount":1}`)) + `"`)}},
		{"batch", decode.Request{Header: typed(batch), Body: []byte("[ " + string(cloudEvent(`,"sgflush":true,"data":{"amount":1}`)) + " ]")}},
		{"NDJSON", decode.Request{Header: typed(ndjson), Body: append(cloudEvent(`,"sgflush":true,"data":{"amount":1}`), "\r\n\n"...)}},
		{"binary", decode.Request{Header: typed("application/json", "Ce-Specversion", "1.0", "Ce-Id", "inv-991", "Ce-Source", "/billing",
			"Ce-Type", "revenue.created", "Ce-Channel", "revenue.eu", "Ce-Sgflush", "true"), Body: []byte(`{"amount":1}`)}},
		{"binary with the channel as parameter", decode.Request{Channel: "revenue.eu", Header: typed("application/json", "Ce-Specversion", "1.0",
			"Ce-Id", "inv-991", "Ce-Source", "/billing", "Ce-Type", `"revenue.created"`, "Ce-Sgflush", "true"), Body: []byte(`{"amount":1}`)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := decode.Events(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

func TestDataIsCarriedAsItsTypeAsks(t *testing.T) {
	text := func(contentType, data string) decode.Request {
		return decode.Request{Header: typed(structured), Body: cloudEvent(`,"datacontenttype":"` + contentType + `",` + data)}
	}
	plain := func(contentType, body string) decode.Request {
		return decode.Request{Plain: true, Channel: "a", Header: typed(contentType), Body: []byte(body)}
	}
	for _, tc := range []struct {
		name string
		in   decode.Request
		kind wire.DataKind
		data string
	}{
		{"no data is null", decode.Request{Header: typed(structured), Body: cloudEvent("")}, wire.JSON, ""},
		{"a JSON string stays JSON", decode.Request{Header: typed(structured), Body: cloudEvent(`,"data":"a"`)}, wire.JSON, `"a"`},
		{"a string of a text type is text", text("text/plain", `"data":"a\nb"`), wire.Text, "a\nb"},
		{"an object of a text type stays JSON", text("text/plain", `"data":{"a":1}`), wire.JSON, `{"a":1}`},
		{"base64 of a text type is text", text("text/plain", `"data_base64":"YQo="`), wire.Text, "a\n"},
		{"base64 of any type is binary", text("image/png", `"data_base64":"AAE="`), wire.Binary, "\x00\x01"},
		{"a +json type is JSON", text("application/vnd.x+json", `"data_base64":"e30="`), wire.JSON, "{}"},
		{"a plain JSON body", plain("application/json", " [1] "), wire.JSON, " [1] "},
		{"a plain text body", plain("text/html; charset=utf-8", "<b>"), wire.Text, "<b>"},
		{"a plain empty text", plain("text/plain", ""), wire.Text, ""},
		{"a plain body of another type", plain("application/octet-stream", "\xff"), wire.Binary, "\xff"},
		{"a plain body of no type", decode.Request{Plain: true, Channel: "a", Body: []byte("\xff")}, wire.Binary, "\xff"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := decode.Events(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if got[0].Kind != tc.kind || string(got[0].Data) != tc.data {
				t.Fatalf("kind %d, data %q", got[0].Kind, got[0].Data)
			}
		})
	}
}

func TestIdempotencyKeysBecomeIds(t *testing.T) {
	keyed := func(key string) headers { return typed(ndjson, "Idempotency-Key", key) }
	lines := []byte("{\"channel\":\"a\",\"data\":1}\n{\"channel\":\"a\",\"data\":2,\"id\":\"own\",\"type\":\"t\"}\n{\"channel\":\"a\",\"data\":null}\n")
	got, err := decode.Events(decode.Request{Header: keyed(`"k 1"`), Body: lines})
	if err == nil {
		t.Fatalf("a key with a space was taken: %v", got)
	}
	got, err = decode.Events(decode.Request{Header: keyed(`"k1"`), Body: lines})
	if err != nil {
		t.Fatal(err)
	}
	if ids := []string{got[0].ID, got[1].ID, got[2].ID}; !cmp.Equal(ids, []string{"k1#0", "own", "k1#2"}) {
		t.Fatalf("ids %q", ids)
	}
	got, err = decode.Events(decode.Request{Header: typed(ndjson), Body: lines})
	if err != nil || got[0].ID != "" {
		t.Fatalf("without the header: %+v, %v", got, err)
	}
	got, err = decode.Events(decode.Request{Plain: true, Channel: "a", Type: "t", Header: typed("application/json", "Idempotency-Key", "k2"), Body: []byte("1")})
	if err != nil || got[0].ID != "k2" || got[0].Type != "t" || got[0].Source != "" {
		t.Fatalf("plain: %+v, %v", got, err)
	}
}

func TestBadRequestsAreRefusedWhole(t *testing.T) {
	big := strings.Repeat("x", decode.MaxEventBytes+1)
	binary := func(name, value string) decode.Request {
		h := typed("application/json", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "s", "Ce-Type", "t", "Ce-Channel", "a")
		h[name] = []string{value}
		return decode.Request{Header: h, Body: []byte("1")}
	}
	one := func(body string) decode.Request {
		return decode.Request{Header: typed(structured), Body: []byte(body)}
	}
	line := func(body string) decode.Request {
		return decode.Request{Header: typed(ndjson), Body: []byte(body)}
	}
	for _, tc := range []struct {
		name  string
		in    decode.Request
		kind  decode.Kind
		items []int
	}{
		{"no media type", decode.Request{Body: []byte("{}")}, decode.UnsupportedMediaType, nil},
		{"plain JSON without a channel's path", decode.Request{Header: typed("application/json"), Body: []byte("{}")}, decode.UnsupportedMediaType, nil},
		{"CloudEvents in XML", decode.Request{Header: typed("application/cloudevents+xml")}, decode.UnsupportedMediaType, nil},
		{"a CloudEvent on a channel's path", decode.Request{Plain: true, Channel: "a", Header: typed(structured), Body: cloudEvent("")}, decode.UnsupportedMediaType, nil},
		{"ce- headers on a channel's path", decode.Request{Plain: true, Channel: "a", Header: typed("text/plain", "Ce-Specversion", "1.0")}, decode.UnsupportedMediaType, nil},
		{"a body above a MiB", decode.Request{Header: typed(ndjson), Body: make([]byte, decode.MaxBatchBytes+1)}, decode.BatchTooLarge, nil},
		{"a thousand and one events", line(strings.Repeat("{\"channel\":\"a\",\"data\":1}\n", decode.MaxEvents+1)), decode.BatchTooLarge, nil},
		{"no event", line("\n\n"), decode.InvalidEvent, nil},
		{"an empty batch", decode.Request{Header: typed(batch), Body: []byte("[]")}, decode.InvalidEvent, nil},
		{"a batch that is no array", decode.Request{Header: typed(batch), Body: cloudEvent("")}, decode.InvalidJSON, nil},
		{"broken JSON", one(`{"specversion":`), decode.InvalidJSON, nil},
		{"two values", one(`{} {}`), decode.InvalidJSON, nil},
		{"bad UTF-8", one("{\"id\":\"\xff\"}"), decode.InvalidJSON, nil},
		{"a depth bomb", one(strings.Repeat("[", 500) + strings.Repeat("]", 500)), decode.InvalidJSON, nil},
		{"a repeated member", one(`{"specversion":"1.0","id":"1","source":"s","type":"t","channel":"a","\u0069d":"2"}`), decode.InvalidEvent, []int{0}},
		{"an array as event", one(`[]`), decode.InvalidEvent, []int{0}},
		{"another version", one(`{"specversion":"0.3","id":"1","source":"s","type":"t","channel":"a"}`), decode.InvalidEvent, []int{0}},
		{"no id", one(`{"specversion":"1.0","source":"s","type":"t","channel":"a"}`), decode.InvalidEvent, []int{0}},
		{"a null id", one(`{"specversion":"1.0","id":null,"source":"s","type":"t","channel":"a"}`), decode.InvalidEvent, []int{0}},
		{"a number as id", one(`{"specversion":"1.0","id":1,"source":"s","type":"t","channel":"a"}`), decode.InvalidEvent, []int{0}},
		{"no channel", one(`{"specversion":"1.0","id":"1","source":"s","type":"t"}`), decode.InvalidChannel, []int{0}},
		{"a pattern as channel", one(`{"specversion":"1.0","id":"1","source":"s","type":"t","channel":"a.>"}`), decode.InvalidChannel, []int{0}},
		{"a reserved channel", one(`{"specversion":"1.0","id":"1","source":"s","type":"t","channel":"$sg.canary"}`), decode.InvalidChannel, []int{0}},
		{"a type of the gateway's own", one(`{"specversion":"1.0","id":"1","source":"s","type":"sg.end","channel":"a"}`), decode.InvalidEvent, []int{0}},
		{"a line feed in the type", one(`{"specversion":"1.0","id":"1","source":"s","type":"t\ndata: x","channel":"a"}`), decode.InvalidEvent, []int{0}},
		{"a C1 control in the id", one(`{"specversion":"1.0","id":"\u0085","source":"s","type":"t","channel":"a"}`), decode.InvalidEvent, []int{0}},
		{"an id of 257 bytes", one(`{"specversion":"1.0","id":"` + strings.Repeat("x", 257) + `","source":"s","type":"t","channel":"a"}`), decode.InvalidEvent, []int{0}},
		{"both kinds of data", decode.Request{Header: typed(structured), Body: cloudEvent(`,"data":1,"data_base64":""`)}, decode.InvalidEvent, []int{0}},
		{"base64 that is none", decode.Request{Header: typed(structured), Body: cloudEvent(`,"data_base64":"-"`)}, decode.InvalidEvent, []int{0}},
		{"base64 of broken JSON", decode.Request{Header: typed(structured), Body: cloudEvent(`,"datacontenttype":"application/json","data_base64":"ew=="`)}, decode.InvalidJSON, []int{0}},
		{"a way of coalescing that is none", decode.Request{Header: typed(structured), Body: cloudEvent(`,"sgcoalesce":"join","sgkey":"k"`)}, decode.InvalidEvent, []int{0}},
		{"coalescing without a key", decode.Request{Header: typed(structured), Body: cloudEvent(`,"sgcoalesce":"last"`)}, decode.InvalidEvent, []int{0}},
		{"a key of 129 bytes", decode.Request{Header: typed(structured), Body: cloudEvent(`,"sgcoalesce":"last","sgkey":"` + strings.Repeat("k", 129) + `"`)}, decode.InvalidEvent, []int{0}},
		{"a flush that is neither", decode.Request{Header: typed(structured), Body: cloudEvent(`,"sgflush":"yes"`)}, decode.InvalidEvent, []int{0}},
		{"data above 64 KiB", decode.Request{Header: typed(structured), Body: cloudEvent(`,"data":"` + big + `"`)}, decode.EventTooLarge, []int{0}},
		{"binary data above 64 KiB", decode.Request{Plain: true, Channel: "a", Body: []byte(big)}, decode.EventTooLarge, []int{0}},
		{"a header that is not percent-encoded", binary("Ce-Id", "100%"), decode.InvalidEvent, []int{0}},
		{"an encoded line feed in a header", binary("Ce-Type", "a%0Ab"), decode.InvalidEvent, []int{0}},
		{"encoded bad UTF-8 in a header", binary("Ce-Id", "%ff"), decode.InvalidEvent, []int{0}},
		{"plain JSON that is broken", decode.Request{Plain: true, Channel: "a", Header: typed("application/json"), Body: []byte("{")}, decode.InvalidJSON, []int{0}},
		{"plain text in bad UTF-8", decode.Request{Plain: true, Channel: "a", Header: typed("text/plain"), Body: []byte("\xff")}, decode.InvalidEvent, []int{0}},
		{"two idempotency keys", decode.Request{Plain: true, Channel: "a", Header: headers{"Idempotency-Key": {"a", "b"}}}, decode.InvalidParameter, nil},
		{"an empty idempotency key", decode.Request{Plain: true, Channel: "a", Header: headers{"Idempotency-Key": {`""`}}}, decode.InvalidParameter, nil},
		{"an unknown member of the short form", line(`{"channel":"a","data":1,"idd":"x"}`), decode.InvalidEvent, []int{0}},
		{"a short form without data", line(`{"channel":"a"}`), decode.InvalidEvent, []int{0}},
		{"two bad lines among good ones", line("{\"channel\":\"a\",\"data\":1}\n{\"channel\":\"b c\",\"data\":1}\n{\"channel\":\"a\",\"data\":1}\n{"), decode.InvalidChannel, []int{1, 3}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			refused(t, tc.in, tc.kind, tc.items)
		})
	}
}

// refused checks that a request becomes one error, of a kind and about certain
// events.
func refused(t *testing.T, in decode.Request, kind decode.Kind, want []int) {
	t.Helper()
	events, err := decode.Events(in)
	var bad *decode.Error
	if !errors.As(err, &bad) || events != nil {
		t.Fatalf("got %v, %v", events, err)
	}
	var items []int
	for _, it := range bad.Items {
		items = append(items, it.Index)
		if it.Detail == "" {
			t.Error("an item without detail")
		}
	}
	if bad.Kind != kind || !cmp.Equal(items, want) {
		t.Fatalf("%s (%s) at %v, want %s at %v", bad.Kind, bad.Detail, items, kind, want)
	}
}

func TestErrorListsAHundredItemsAtMost(t *testing.T) {
	var body strings.Builder
	for i := range 300 {
		fmt.Fprintf(&body, "{\"channel\":\"\",\"data\":%d}\n", i)
	}
	_, err := decode.Events(decode.Request{Header: typed(ndjson), Body: []byte(body.String())})
	var bad *decode.Error
	if !errors.As(err, &bad) || len(bad.Items) != 100 {
		t.Fatalf("%v", err)
	}
}

func TestARequestMayBoundEventsOtherwise(t *testing.T) {
	request := func(bytes, limit int) decode.Request {
		return decode.Request{Plain: true, Channel: "a", Header: typed("text/plain"), Body: []byte(strings.Repeat("x", bytes)), MaxEventBytes: limit}
	}
	for _, bytes := range []int{64, decode.MaxEventBytes + 1, decode.MaxBatchBytes} {
		if _, err := decode.Events(request(bytes, bytes)); err != nil {
			t.Errorf("%d bytes at their limit: %v", bytes, err)
		}
		var bad *decode.Error
		if _, err := decode.Events(request(bytes, bytes-1)); !errors.As(err, &bad) || bad.Kind != decode.EventTooLarge {
			t.Errorf("%d bytes above their limit: %v", bytes, err)
		}
	}
	lines := decode.Request{Header: typed(ndjson), MaxEventBytes: 4, Body: []byte(`{"channel":"a","data":1}` + "\n" +
		`{"channel":"a","data":12345}` + "\n" + `{"channel":"a","data":123456}`)}
	var bad *decode.Error
	if _, err := decode.Events(lines); !errors.As(err, &bad) || len(bad.Items) != 2 || bad.Items[0].Index != 1 {
		t.Errorf("got %v, want both large events named", err)
	}
}

func TestTokensNameTheirWayAndKey(t *testing.T) {
	for _, r := range []decode.Request{
		{Header: typed(structured), Body: cloudEvent(`,"sgcoalesce":"concat","sgkey":"m 1"`)},
		{Header: typed("", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "s", "Ce-Type", "t", "Ce-Channel", "a", "Ce-Sgcoalesce", "concat", "Ce-Sgkey", "m%201")},
	} {
		events, err := decode.Events(r)
		if err != nil || len(events) != 1 || events[0].Coalesce != wire.Concat || events[0].Key != "m 1" {
			t.Errorf("%+v, %v", events, err)
		}
	}
}
