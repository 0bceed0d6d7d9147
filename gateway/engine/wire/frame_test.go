package wire_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

var update = flag.Bool("update", false, "rewrite golden files")

const epoch = "k3f9x2"

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", path, diff)
	}
}

// example is the batch that the protocol shows byte for byte.
func example() []wire.Element {
	return elements(
		wire.Record{Seq: 1042, Event: wire.Event{
			Channel: "revenue.eu", ID: "inv-991", Time: 1795478400123, Data: []byte(`{ "amount": 1299, "currency": "EUR" }`),
		}},
		wire.Record{Seq: 1044, Event: wire.Event{
			Channel: "orders.77", ID: "o77-3", Time: 1795478400131, Data: []byte("{\n\t\"status\": \"paid\"\r\n}"),
		}},
	)
}

func elements(records ...wire.Record) []wire.Element {
	all := make([]wire.Element, 0, len(records))
	for i := range records {
		all = append(all, wire.ElementOf(epoch, &records[i]))
	}
	return all
}

func TestFramesAreThoseOfTheProtocol(t *testing.T) {
	plain := wire.AppendFrame(nil, wire.Plain, epoch, example()...)
	if len(plain) != 0x9a {
		t.Errorf("the protocol's example has 154 bytes, this has %d", len(plain))
	}
	golden(t, "plain.sse", plain)
	golden(t, "array.sse", wire.AppendFrame(nil, wire.Array, epoch, example()...))
	golden(t, "envelope.sse", wire.AppendFrame(nil, wire.Envelope, epoch, example()...))
	heartbeat := wire.AppendHeartbeat(nil, 1795478415000, wire.Cursor{Epoch: epoch, Seq: 1099})
	if want := ": hb 1795478415000\nid: k3f9x2.1099\nevent: sg.cp\ndata:\n\n"; string(heartbeat) != want {
		t.Errorf("heartbeat %q, want %q", heartbeat, want)
	}
	if got := wire.AppendHeartbeat(nil, 5, wire.Cursor{}); string(got) != ": hb 5\n\n" {
		t.Errorf("bare heartbeat %q", got)
	}
}

func TestFramesCarryEveryKindOfData(t *testing.T) {
	batch := elements(
		wire.Record{Seq: 1, Event: wire.Event{Channel: "a", ID: "1", Type: "note.added", Time: 10, Kind: wire.Text, Data: []byte("one\ntwo\r\nthree\rfour\n\n \"quoted\" \\ tab\there")}},
		wire.Record{Seq: 2, Event: wire.Event{Channel: "a", ID: "2", Type: `odd "type" \`, Time: 11, Kind: wire.Binary, Data: []byte{0, 10, 13, 255}}},
		wire.Record{Seq: 3, Event: wire.Event{Channel: "a", Time: 12}},
		wire.Record{Seq: 4, Event: wire.Event{Channel: "a", ID: "4", Time: 13, Kind: wire.Text}},
		wire.Record{Seq: 5, Event: wire.Event{Channel: "a", ID: "5", Time: 14, Data: []byte(`"a \n \u2028 é 💶 < > &"`)}},
	)
	for _, f := range []wire.Format{wire.Plain, wire.Typed, wire.Envelope, wire.Array} {
		golden(t, "kinds-"+f.String()+".sse", wire.AppendFrame(nil, f, epoch, batch...))
	}
}

func TestArrayFramesHoldAHundredElementsAtMost(t *testing.T) {
	var records []wire.Record
	for i := range uint64(250) {
		records = append(records, wire.Record{Seq: i + 1, Event: wire.Event{Channel: "a"}})
	}
	messages, _ := parse(wire.AppendFrame(nil, wire.Array, epoch, elements(records...)...))
	var sizes []int
	for _, m := range messages {
		var got []json.RawMessage
		if err := json.Unmarshal([]byte(m.data), &got); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(got))
	}
	if diff := cmp.Diff([]int{100, 100, 50}, sizes); diff != "" {
		t.Fatal(diff)
	}
	if messages[1].id != "k3f9x2.200" {
		t.Fatalf("the id is that of the last element, not %s", messages[1].id)
	}
}

func TestControlsAreThoseOfTheProtocol(t *testing.T) {
	at := wire.Cursor{Epoch: epoch, Seq: 1400}
	retry, lost := int64(2500), uint64(7)
	var b []byte
	b = wire.AppendPad(b)
	if len(b) != 2049 {
		t.Fatalf("pad has %d bytes", len(b))
	}
	b = wire.AppendPreamble(nil, 3100, &wire.Open{
		Version: wire.ProtocolVersion, SID: "4c9a1d02.r7mQ0b3Zk1yWl2uVx8tC5g", Cursor: "k3f9x2.1041", Resume: wire.ResumeComplete,
		Channels: []string{"orders.77", "revenue.>"}, Time: 1795478400000, Heartbeat: 15000, BufferSeconds: 300, Durability: "memory",
		Limits: wire.OpenLimits{Channels: 100, Patterns: 32}, Flags: map[string]bool{"replay": true, "batching": false}, FlagsRevision: 7,
	})
	b = wire.AppendControl(b, wire.ControlReset, wire.Cursor{}, &wire.Reset{
		Reason: wire.ResetEvicted, Channels: []wire.ResetChannel{{Channel: "orders.77", EvictedUpto: "k3f9x2.950"}}, ResumeAt: "k3f9x2.1400",
	})
	b = wire.AppendControl(b, wire.ControlReset, wire.Cursor{}, &wire.Reset{Reason: wire.ResetEpoch, All: true, ResumeAt: "k3f9x2.1400"})
	b = wire.AppendControl(b, wire.ControlCaughtUp, at, &wire.CaughtUp{Cursor: "k3f9x2.1400", Replayed: 87})
	b = wire.AppendControl(b, wire.ControlGap, at, &wire.Gap{
		Reason: wire.GapSlow, After: "k3f9x2.1300", Upto: "k3f9x2.1400",
		Channels: []wire.GapChannel{{Channel: "orders.77", Lost: &lost}, {Channel: "revenue.>"}},
	})
	b = wire.AppendControl(b, wire.ControlSlow, wire.Cursor{}, &wire.Slow{LagEvents: 5001, LagMs: 15000, Policy: wire.SlowGap, LimitMs: 30000})
	b = wire.AppendControl(b, wire.ControlDrain, wire.Cursor{}, &wire.Drain{Reason: wire.DrainRollout, InMs: 1200, CloseMs: 30000})
	b = wire.AppendControl(b, wire.ControlFlags, wire.Cursor{}, &wire.FlagsChange{FlagsRevision: 8, Flags: map[string]bool{"replay": true}})
	b = wire.AppendControl(b, wire.ControlAuth, wire.Cursor{}, &wire.Auth{ExpiresAt: 1795482000000, Renew: wire.RenewSession})
	b = wire.AppendControl(b, wire.ControlEnd, wire.Cursor{}, &wire.End{Reason: wire.EndDrain, Status: 200, RetryMs: &retry})
	b = wire.AppendControl(b, wire.ControlEnd, wire.Cursor{}, &wire.End{Reason: wire.EndFlagOff, Status: 503, Detail: "line\nbreak"})
	golden(t, "controls.sse", b)
}

// FuzzFramesComeOutAsTheyWentIn encodes an event in every format, reads the
// stream by the standard's algorithm and compares. A marker event follows each:
// nothing a publisher writes may swallow or forge a frame.
func FuzzFramesComeOutAsTheyWentIn(f *testing.F) {
	f.Add("inv-1", "revenue.created", []byte(`{"a":1}`), uint8(0))
	f.Add("x\r\nid: evil.1", "t\ndata: x", []byte("a\r\n\r\nevent: sg.end\ndata: {}\n\n"), uint8(1))
	f.Add("", "", []byte{0, 1, 2, '\n'}, uint8(2))
	f.Add("\xff\xfe", "a\u2028b", []byte("\xf0\x9f\x92"), uint8(1))
	f.Add("\\", `"`, []byte("\\n\\r\\\\\n\r"), uint8(1))
	f.Add("i", "t", []byte("{\"a\r\n\\\n:\" \"}\n\n"), uint8(0))
	f.Fuzz(func(t *testing.T, id, typ string, data []byte, kind uint8) {
		r := wire.Record{Seq: 41, Event: wire.Event{Channel: "a.b", ID: id, Type: typ, Time: 7, Data: data, Kind: wire.DataKind(kind % 3)}}
		marker := wire.Record{Seq: 42, Event: wire.Event{Channel: "a.b", ID: "m", Time: 8, Data: []byte(`"marker"`)}}
		batch := elements(r, marker)
		for _, format := range []wire.Format{wire.Plain, wire.Typed, wire.Envelope, wire.Array} {
			stream := wire.AppendFrame(nil, format, epoch, batch...)
			messages, _ := parse(stream)
			checkStream(t, format, &r, messages)
		}
	})
}

func checkStream(t *testing.T, format wire.Format, r *wire.Record, messages []message) {
	t.Helper()
	valid := r.Kind != wire.JSON || len(r.Data) == 0 || (utf8.Valid(r.Data) && json.Valid(r.Data))
	if format == wire.Array {
		if len(messages) != 1 || messages[0].id != "k3f9x2.42" || messages[0].name != "" {
			t.Fatalf("array: %q", messages)
		}
		var all []json.RawMessage
		if err := json.Unmarshal([]byte(messages[0].data), &all); err != nil {
			if valid {
				t.Fatalf("array of %q: %v", r.Data, err)
			}
			return
		}
		if valid {
			checkElement(t, r, all[0])
		}
		return
	}
	if len(messages) != 2 || messages[0].id != "k3f9x2.41" || messages[1].id != "k3f9x2.42" {
		t.Fatalf("%s: %q", format, messages)
	}
	m := messages[0]
	if format == wire.Envelope {
		if m.name != "" {
			t.Fatalf("envelope has a name: %q", m.name)
		}
		if valid {
			checkElement(t, r, []byte(m.data))
		}
		return
	}
	if messages[1].data != `"marker"` || messages[1].meta != "a.b 8" {
		t.Fatalf("%s: marker %q", format, messages[1])
	}
	if m.name != wantName(format, r) {
		t.Fatalf("%s: name %q, want %q", format, m.name, wantName(format, r))
	}
	if valid {
		checkPlain(t, r, m)
	}
}

// wantName is the type without control bytes, which decoding refuses.
func wantName(format wire.Format, r *wire.Record) string {
	if format != wire.Typed {
		return ""
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' {
			return -1
		}
		return c
	}, eachByteToValid(r.Type))
}

func checkPlain(t *testing.T, r *wire.Record, m message) {
	t.Helper()
	switch r.Kind {
	case wire.Binary:
		got, err := base64.StdEncoding.DecodeString(m.data)
		if err != nil || !bytes.Equal(got, r.Data) || m.meta != "a.b 7 b64" {
			t.Fatalf("binary %q came out as %q (%v), meta %q", r.Data, got, err, m.meta)
		}
	case wire.Text:
		want := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(eachByteToValid(string(r.Data)))
		if m.data != want || m.meta != "a.b 7" {
			t.Fatalf("text %q came out as %q", want, m.data)
		}
	default:
		if !sameJSON(t, orNull(r.Data), []byte(m.data)) {
			t.Fatalf("JSON %q came out as %q", r.Data, m.data)
		}
	}
}

func checkElement(t *testing.T, r *wire.Record, raw []byte) {
	t.Helper()
	var got struct {
		Seq               uint64
		Time              int64
		Channel, ID, Type string
		Data, Data64      json.RawMessage
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatalf("element %q: %v", raw, err)
	}
	wantID := eachByteToValid(r.ID)
	if r.ID == "" {
		wantID = epoch + "." + strconv.FormatUint(r.Seq, 10)
	}
	if got.Seq != r.Seq || got.Time != r.Time || got.Channel != r.Channel || got.ID != wantID || got.Type != eachByteToValid(r.Type) {
		t.Fatalf("element %q of %+v", raw, r)
	}
	switch r.Kind {
	case wire.JSON:
		if !sameJSON(t, orNull(r.Data), orNull(got.Data)) {
			t.Fatalf("JSON %q in %q", r.Data, raw)
		}
	case wire.Text:
		var text string
		if err := json.Unmarshal(got.Data, &text); err != nil || text != eachByteToValid(string(r.Data)) {
			t.Fatalf("text %q in %q", r.Data, raw)
		}
	case wire.Binary:
		var data []byte
		if err := json.Unmarshal(got.Data64, &data); err != nil || !bytes.Equal(data, r.Data) {
			t.Fatalf("binary %q in %q", r.Data, raw)
		}
	}
}

func orNull(data []byte) []byte {
	if len(data) == 0 {
		return []byte("null")
	}
	return data
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var ca, cb bytes.Buffer
	if err := json.Compact(&ca, a); err != nil {
		t.Fatal(err)
	}
	if err := json.Compact(&cb, b); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return bytes.Equal(ca.Bytes(), cb.Bytes())
}

// eachByteToValid replaces every byte that is no UTF-8 by one U+FFFD.
func eachByteToValid(s string) string {
	var b strings.Builder
	for _, c := range s { // a bad byte comes as U+FFFD, one by one
		b.WriteRune(c)
	}
	return b.String()
}

func TestEncodingAllocatesNothing(t *testing.T) {
	records := []wire.Record{
		{Seq: 1042, Event: wire.Event{Channel: "revenue.eu", ID: "inv-991", Type: "revenue.created", Time: 1, Data: []byte(`{"amount": 1299}`)}},
		{Seq: 1043, Event: wire.Event{Channel: "revenue.eu", Time: 1, Kind: wire.Text, Data: []byte("a\nb")}},
		{Seq: 1044, Event: wire.Event{Channel: "revenue.eu", ID: "b", Time: 1, Kind: wire.Binary, Data: []byte{1, 2, 3}}},
	}
	dst := make([]byte, 0, 4096)
	batch := elements(records...)
	if n := testing.AllocsPerRun(100, func() {
		b := dst
		for i := range records {
			b, _ = wire.AppendElement(b, epoch, &records[i])
		}
		for f := wire.Plain; f <= wire.Array; f++ {
			b = wire.AppendFrame(b, f, epoch, batch...)
		}
		b = wire.AppendHeartbeat(b, 1, wire.Cursor{Epoch: epoch, Seq: 5})
		_ = wire.AppendRetry(b, 100)
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestElementsHoldNoControlByte(t *testing.T) {
	r := wire.Record{Seq: 1, Event: wire.Event{Channel: "a", ID: "a\x00\n", Type: "b\r\x1f", Data: []byte("{\"x\n\\\r\":1}")}}
	e := wire.ElementOf(epoch, &r)
	if i := bytes.IndexFunc(e.JSON, unicode.IsControl); i >= 0 {
		t.Fatalf("element %q has one at %d", e.JSON, i)
	}
}

func BenchmarkAppendElement(b *testing.B) {
	r := benchRecord()
	dst := make([]byte, 0, 4096)
	e := wire.ElementOf(epoch, &r)
	b.SetBytes(int64(len(e.JSON)))
	b.ReportAllocs()
	for b.Loop() {
		wire.AppendElement(dst, epoch, &r)
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	for _, f := range []wire.Format{wire.Plain, wire.Array} {
		b.Run(f.String(), func(b *testing.B) {
			r := benchRecord()
			batch := make([]wire.Element, 20)
			for i := range batch {
				batch[i] = wire.ElementOf(epoch, &r)
			}
			dst := make([]byte, 0, 64<<10)
			b.SetBytes(int64(len(wire.AppendFrame(dst, f, epoch, batch...))))
			b.ReportAllocs()
			for b.Loop() {
				wire.AppendFrame(dst, f, epoch, batch...)
			}
		})
	}
}

func benchRecord() wire.Record {
	return wire.Record{Seq: 123456, Event: wire.Event{
		Channel: "finance.revenue", ID: "018f-2c", Type: "finance.revenue.created", Time: 1795478400123,
		Data: []byte(`{"revenueId":4711,"amount":10000,"propertyId":1,"currency":"EUR","committedAt":1795478400120}`),
	}}
}
