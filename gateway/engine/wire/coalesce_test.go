package wire_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

func token(seq uint64, channel, key string, way wire.Coalescing, data string) wire.Record {
	return wire.Record{Seq: seq, Event: wire.Event{Channel: channel, ID: fmt.Sprint("t", seq), Time: 7, Key: key, Coalesce: way, Data: []byte(data)}}
}

func TestTokensOfOneBatchAreMergedWhereTheyAreNeighbours(t *testing.T) {
	batch := elements(
		token(1, "chat", "m1", wire.Concat, `"Hel"`),
		token(2, "other", "", wire.Apart, `"x"`),
		token(3, "chat", "m1", wire.Concat, `"lo\n\"you\""`),
		token(4, "chat", "m2", wire.Concat, `"!"`),
		token(5, "price", "p", wire.Newest, `{"eur":1}`),
		token(6, "price", "p", wire.Newest, `{"eur":2}`),
		token(7, "chat", "m1", wire.Concat, `" again"`),
		token(8, "chat", "m1", wire.Concat, `{"not":"text"}`),
		wire.Record{Seq: 9, Event: wire.Event{Channel: "chat", ID: "t9", Time: 8, Key: "m1", Coalesce: wire.Concat, Kind: wire.Text, Data: []byte("a\r\n")}},
		wire.Record{Seq: 10, Event: wire.Event{Channel: "chat", ID: "t10", Time: 9, Key: "m1", Coalesce: wire.Concat, Kind: wire.Text, Data: []byte("b")}},
	)
	merged := wire.Coalesce(batch)
	golden(t, "coalesced-plain.sse", wire.AppendFrame(nil, wire.Plain, epoch, merged...))
	golden(t, "coalesced-array.sse", wire.AppendFrame(nil, wire.Array, epoch, merged...))
	if plain := elements(token(1, "a", "", wire.Apart, "1")); &wire.Coalesce(plain)[0] != &plain[0] {
		t.Error("a batch without tokens was copied")
	}
}

// TestMergingLosesNoPart joins random tokens and holds what comes out against
// the parts, key by key.
func TestMergingLosesNoPart(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var records []wire.Record
		want := map[string]string{}
		for seq := range rapid.Uint64Range(1, 60).Draw(rt, "n") {
			channel := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "channel")
			key := rapid.SampledFrom([]string{"k", "l"}).Draw(rt, "key")
			text := rapid.String().Draw(rt, "text")
			data, err := json.Marshal(text)
			if err != nil {
				rt.Fatal(err)
			}
			way := rapid.SampledFrom([]wire.Coalescing{wire.Apart, wire.Concat, wire.Concat}).Draw(rt, "way")
			records = append(records, token(seq+1, channel, key, way, string(data)))
			var back string
			if err := json.Unmarshal(data, &back); err != nil {
				rt.Fatal(err)
			}
			want[channel] += back
		}
		got, parts, last := map[string]string{}, 0, uint64(0)
		for _, e := range wire.Coalesce(elements(records...)) {
			var v struct {
				Seq, First uint64
				N          int
				Data       string
			}
			if err := json.Unmarshal(e.JSON, &v); err != nil {
				rt.Fatalf("%s: %v", e.JSON, err)
			}
			if v.Seq <= last || v.Seq != e.Seq || v.N != e.Parts || v.N > 0 && v.First >= v.Seq {
				rt.Fatalf("%s after %d", e.JSON, last)
			}
			last = v.Seq
			parts += max(v.N, 1)
			got[e.Channel] += v.Data
		}
		if parts != len(records) || got["a"] != want["a"] || got["b"] != want["b"] {
			rt.Fatalf("%d of %d parts, %q instead of %q", parts, len(records), got, want)
		}
	})
}
