package wire

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestAnOpenWrittenByHandReadsBackAsItWas is for whoever adds a field and
// forgets the writer: every field is drawn.
func TestAnOpenWrittenByHandReadsBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want Open
		fill(t, reflect.ValueOf(&want).Elem())
		text := AppendPayload([]byte("before"), &want)
		var got Open
		if err := json.Unmarshal(text[len("before"):], &got); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("of %s, -want +got:\n%s", text, diff)
		}
	})
}

func TestAnOpenWithNothingInItHasNoNull(t *testing.T) {
	const want = `{"v":0,"sid":"","rev":0,"cursor":"","resume":"","channels":[],"denied":[],"time":0,"hb":0,` +
		`"bufferSeconds":0,"durability":"","limits":{"channels":0,"patterns":0},"flags":{},"flagsRev":0}`
	if got := string(AppendPayload(nil, &Open{})); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// fill draws a value for everything that v has; lists and maps have something.
func fill(t *rapid.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(t, field)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rapid.IntRange(1, 3).Draw(t, "length"), 3))
		for i := range v.Len() {
			fill(t, v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(rapid.MapOfN(rapid.String(), rapid.Bool(), 1, 3).Draw(t, "flags")))
	case reflect.String:
		v.SetString(rapid.String().Draw(t, "text"))
	default:
		v.SetInt(rapid.Int64Range(1, 1<<31-1).Draw(t, "number"))
	}
}
