package jetstream

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

func FuzzEventComesBackAsItWasWritten(f *testing.F) {
	f.Add("id", "type", "/source", "key", []byte("data"), byte(0), int64(1), true, true)
	f.Add("", " \r\n", "\x00", "", []byte{}, byte(0xff), int64(0), false, false)
	f.Fuzz(func(t *testing.T, id, kind, source, key string, data []byte, bits byte, ms int64, flush, traced bool) {
		want := wire.Event{
			Channel: "shop/a.b", ID: id, Type: kind, Source: source, Key: key, Data: data, Time: max(ms, 0), Flush: flush,
			Kind: wire.DataKind(bits % 3), Coalesce: wire.Coalescing(bits / 3 % 3),
		}
		if traced {
			want.Trace = wire.Trace{ID: [16]byte{bits, 1}, Span: [8]byte{2, bits}, Sampled: bits > 100}
		}
		body := encode(&want)
		got, err := decode("shop/a.b", body)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Data) == 0 && len(want.Data) == 0 {
			got.Data, want.Data = nil, nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzMessageOfAnybodyIsReadOrRefused(f *testing.F) {
	f.Add([]byte("hello"))
	f.Add(encode(&wire.Event{ID: "1", Source: "/s", Data: []byte("1"), Trace: wire.Trace{Sampled: true}}))
	f.Add(bytes.Repeat([]byte{1}, 40))
	f.Fuzz(func(t *testing.T, body []byte) {
		event, err := decode("a", body)
		if err != nil {
			return
		}
		again, err := decode("a", encode(&event))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(event, again); diff != "" && len(event.Data)+len(again.Data) > 0 {
			t.Error(diff)
		}
	})
}

func TestMessageThatEndsTooEarlyIsRefusedWhereverItEnds(t *testing.T) {
	whole := encode(&wire.Event{ID: "id", Type: "t", Source: "/s", Key: "k", Trace: wire.Trace{ID: [16]byte{1}, Sampled: true}})
	for n := range whole {
		if _, err := decode("a", whole[:n]); err == nil {
			t.Errorf("%d bytes of %d were read", n, len(whole))
		}
	}
	whole[0] = version + 1
	if _, err := decode("a", whole); err == nil {
		t.Error("another version was read")
	}
}
