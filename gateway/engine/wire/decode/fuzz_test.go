package decode_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/engine/wire/decode"
)

// accepted checks what must hold for every event that is let in, whatever the
// mode, and that nothing else comes of a request than events or an *Error.
func accepted(t *testing.T, r decode.Request) {
	t.Helper()
	events, err := decode.Events(r)
	if err != nil {
		var bad *decode.Error
		if !errors.As(err, &bad) || events != nil || bad.Detail == "" {
			t.Fatalf("%v, %v", events, err)
		}
		return
	}
	if len(events) == 0 || len(events) > decode.MaxEvents {
		t.Fatalf("%d events", len(events))
	}
	for i := range events {
		e := &events[i]
		if wire.CheckChannel(e.Channel) != nil || len(e.Data) > decode.MaxEventBytes || strings.HasPrefix(e.Type, "sg.") {
			t.Fatalf("let in: %+v", e)
		}
		for _, a := range []string{e.ID, e.Type, e.Source} {
			if len(a) > decode.MaxAttributeBytes || !utf8.ValidString(a) || strings.ContainsFunc(a, unicode.IsControl) {
				t.Fatalf("let in attribute %q", a)
			}
		}
		if e.Kind == wire.JSON && len(e.Data) > 0 && !json.Valid(e.Data) || e.Kind == wire.Text && !utf8.Valid(e.Data) {
			t.Fatalf("let in data %q of kind %d", e.Data, e.Kind)
		}
		rec := wire.Record{Event: *e, Seq: 1}
		element := wire.ElementOf("abcd", &rec)
		if !json.Valid(element.JSON) || bytes.ContainsFunc(element.JSON, func(c rune) bool { return c < ' ' }) {
			t.Fatalf("element %q", element.JSON)
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add(uint8(0), cloudEvent(`,"data":{"a":[1,2.5e-3,"\u00e9\ud83d"]}`))
	f.Add(uint8(0), cloudEvent(`,"datacontenttype":"text/plain","data":"a\r\nb","sgflush":false`))
	f.Add(uint8(1), []byte(`[{"specversion":"1.0","id":"1","source":"s","type":"t","channel":"a","data_base64":"AAE="}]`))
	f.Add(uint8(2), []byte("{\"channel\":\"a\",\"data\":1}\r\n\n{\"channel\":\"a\",\"data\":\"x\",\"id\":\"i\",\"type\":\"t\"}"))
	f.Add(uint8(3), []byte(`{"a": "b"}`))
	f.Add(uint8(4), []byte("a\r\n\x00b"))
	f.Add(uint8(0), []byte(`{"id":"1","\u0069d":"2"}`))
	modes := []string{structured, batch, ndjson, "application/json", "text/plain", "application/octet-stream"}
	f.Fuzz(func(t *testing.T, mode uint8, body []byte) {
		m := int(mode) % len(modes)
		accepted(t, decode.Request{Header: typed(modes[m], "Idempotency-Key", "k"), Plain: m > 2, Channel: "fallback", Body: body})
	})
}

func FuzzBinaryHeaders(f *testing.F) {
	f.Add("1.0", "inv-991", "/billing", "revenue.created", "revenue.eu", "true", "application/json", []byte(`{"a":1}`))
	f.Add("1.0", `"quoted \" id"`, "s%20s", "%E2%82%AC", "", "", "text/plain", []byte("a\nb"))
	f.Add("1.0", "%", "s", "sg.x", "a.>", "1", "", []byte{0xff})
	f.Fuzz(func(t *testing.T, version, id, source, typ, channel, flush, contentType string, body []byte) {
		accepted(t, decode.Request{Channel: "fallback", Body: body, Header: typed(contentType, "Ce-Specversion", version, "Ce-Id", id,
			"Ce-Source", source, "Ce-Type", typ, "Ce-Channel", channel, "Ce-Sgflush", flush)})
	})
}

// FuzzJSONAgreesWithTheStandardLibrary holds the scanner to encoding/json: it
// lets through what that does, in UTF-8 and not too deep, and nothing else.
func FuzzJSONAgreesWithTheStandardLibrary(f *testing.F) {
	for _, seed := range []string{`{"a":[1,-0.5e+10,true,false,null,"\u12aB\\\""]}`, `[]`, `{}`, ` 0 `, `01`, `1.`, `-`, `"\x"`, `"`, `{"a":1,}`, `[1 2]`, `tru`, "\"\t\"", `{"a"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		_, err := decode.Events(decode.Request{Plain: true, Channel: "a", Header: typed("application/json"), Body: body})
		depth := bytes.Count(body, []byte("[")) + bytes.Count(body, []byte("{"))
		if depth > 100 || len(body) > decode.MaxEventBytes {
			return
		}
		if want := json.Valid(body) && utf8.Valid(body); (err == nil) != want {
			t.Fatalf("%q: %v, encoding/json says %v", body, err, want)
		}
	})
}

func BenchmarkStructured(b *testing.B) {
	r := decode.Request{Header: typed(structured), Body: cloudEvent(`,"data":{"revenueId":4711,"amount":10000,"propertyId":1,"currency":"EUR"}`)}
	b.SetBytes(int64(len(r.Body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode.Events(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNDJSON(b *testing.B) {
	line := "{\"channel\":\"finance.revenue\",\"id\":\"018f-2c\",\"data\":{\"revenueId\":4711,\"amount\":10000,\"propertyId\":1}}\n"
	r := decode.Request{Header: typed(ndjson), Body: []byte(strings.Repeat(line, 100))}
	b.SetBytes(int64(len(r.Body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode.Events(r); err != nil {
			b.Fatal(err)
		}
	}
}
