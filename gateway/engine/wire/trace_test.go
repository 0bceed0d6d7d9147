package wire

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestATraceparentIsReadAsTheSpecificationAsks(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for name, c := range map[string]struct{ text, want string }{
		"as it is":                       {good, good},
		"not sampled":                    {strings.TrimSuffix(good, "1") + "0", strings.TrimSuffix(good, "1") + "0"},
		"flags that are not known yet":   {strings.TrimSuffix(good, "01") + "ff", good},
		"a later version":                {"cc" + good[2:], good},
		"a later version that is longer": {"cc" + good[2:] + "-more", good},
		"nothing":                        {"", ""},
		"version ff":                     {"ff" + good[2:], ""},
		"version 00 that is longer":      {good + "-more", ""},
		"a later version that goes on":   {"cc" + good[2:] + "more", ""},
		"capitals":                       {strings.ToUpper(good), ""},
		"no digits":                      {strings.Replace(good, "4bf9", "4bfx", 1), ""},
		"a dash elsewhere":               {strings.Replace(good, "-00f0", "0-0f0", 1), ""},
		"a trace of zeros":               {"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", ""},
		"a span of zeros":                {"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", ""},
		"a line end":                     {good[:54] + "\n", ""},
	} {
		if got := ParseTrace(c.text).String(); got != c.want {
			t.Errorf("%s: %q became %q, want %q", name, c.text, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		trace := ParseTrace(rapid.String().Draw(t, "text"))
		if !trace.IsZero() && ParseTrace(trace.String()) != trace {
			t.Fatalf("%v does not read what it wrote", trace)
		}
	})
}

func TestOnlyASampledTraceIsSentToSubscribers(t *testing.T) {
	r := Record{Event: Event{Channel: "a", Trace: ParseTrace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")}, Seq: 7}
	const want = `{"seq":7,"time":0,"channel":"a","id":"E.7","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","data":null}`
	if e := ElementOf("E", &r); string(e.JSON) != want || string(e.Data) != "null" {
		t.Errorf("%s, data %s", e.JSON, e.Data)
	}
	r.Trace.Sampled = false
	if e := ElementOf("E", &r); strings.Contains(string(e.JSON), "traceparent") {
		t.Errorf("%s", e.JSON)
	}
}
