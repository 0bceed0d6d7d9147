package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestDefaultsAreValidAndSurviveTheRoundTrip(t *testing.T) {
	cold, hot := Default()
	d := Document{Serial: 1, Stable: Revision{Name: "7d4b9c6f58", Hot: hot}}
	if err := d.Validate(); err != nil {
		t.Errorf("default document: %v", err)
	}
	if err := cold.Validate(); err != nil {
		t.Errorf("default cold document: %v", err)
	}
	roundTrip(t, d)
	roundTrip(t, cold)
}

func TestEveryFieldSurvivesTheRoundTrip(t *testing.T) {
	var d Document
	fill(reflect.ValueOf(&d).Elem(), new(int64))
	roundTrip(t, d)
	var c Cold
	fill(reflect.ValueOf(&c).Elem(), new(int64))
	roundTrip(t, c)
}

// fill sets each leaf to another non-zero value, so that a field that the
// codec forgets or mixes up shows.
func fill(v reflect.Value, n *int64) {
	*n++
	if v.Type() == reflect.TypeFor[time.Duration]() {
		v.SetInt(*n * int64(time.Millisecond) * 1001)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(field, n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.String:
		v.SetString("value " + strings.Repeat("x", int(*n)))
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.25)
	default:
		v.SetInt(*n)
	}
}

func roundTrip[T Document | Cold](t *testing.T, want T) {
	t.Helper()
	data, err := Encode(want)
	if err != nil {
		t.Fatalf("Encode: %v", err)
	}
	got, unknown, err := Decode[T](data)
	if err != nil || unknown != nil {
		t.Fatalf("Decode(%s): %v, unknown %q", data, err, unknown)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("round trip through %s:\n got %+v\nwant %+v", data, got, want)
	}
}

func TestDurationsAreWrittenForPeople(t *testing.T) {
	_, hot := Default()
	data, err := Encode(Document{Serial: 3, Stable: Revision{Name: "a", Hot: hot}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"window":"50ms"`, `"ttl":"5m"`, `"maxAge":"2h"`, `"serial":3`, `"audiences":["streamgateway.io"]`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s does not hold %s", data, want)
		}
	}
	if _, err := Encode(Document{Stable: Revision{Hot: Hot{Batching: Batching{Window: time.Microsecond}}}}); err == nil {
		t.Error("Encode took a window that it cannot write")
	}
}

func TestAbsentFieldsHaveDefaultsAndUnknownOnesAreReported(t *testing.T) {
	d, unknown, err := Decode[Document]([]byte(`{"serial":4,"canary":{},"stable":{"revision":"r","hot":{"batching":{"window":"80ms","colour":1}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	_, want := Default()
	want.Batching.Window = 80 * time.Millisecond
	if !reflect.DeepEqual(d.Stable.Hot, want) {
		t.Errorf("got %+v, want %+v", d.Stable.Hot, want)
	}
	if !reflect.DeepEqual(unknown, []string{"canary", "stable.hot.batching.colour"}) {
		t.Errorf("unknown fields %q", unknown)
	}
}

func TestDecodeNamesEveryFaultByItsPath(t *testing.T) {
	_, _, err := Decode[Document]([]byte(`{"serial":1.5,"stable":{"revision":7,"hot":{"batching":{"window":50,"maxEvents":"many"},"queue":{"maxLag":"-5s"},"features":{}}}}`))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"serial: 1.5 is not a whole number", "stable.revision: 7 is not a string",
		`stable.hot.batching.window: 50 is not a duration such as "50ms"`,
		`stable.hot.batching.maxEvents: "many" is not a whole number`,
		`stable.hot.queue.maxLag: "-5s" is not a duration`, "stable.hot.features: {} is not a list",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	for _, text := range []string{``, `[]`, `null 1`, `{"serial":1}{}`, `{"serial":99999999999999999999}`} {
		if _, _, err := Decode[Document]([]byte(text)); err == nil {
			t.Errorf("%s accepted", text)
		}
	}
}

func TestValidateSaysFieldValueBoundAndWhatToChange(t *testing.T) {
	cases := map[string]struct {
		change func(*Hot)
		want   string
	}{
		"a window longer than the heartbeat": {func(h *Hot) { h.Batching.Window = 20 * time.Second },
			"stable.hot.batching.window: 20s is not shorter than connections.heartbeat (15s); shorten the window"},
		"a negative window":         {func(h *Hot) { h.Batching.Window = -1 }, "stable.hot.batching.window: -1ns is not between 0s and 1m0s"},
		"a batch of nothing":        {func(h *Hot) { h.Batching.MaxEvents = 0 }, "stable.hot.batching.maxEvents: 0 is not between 1 and"},
		"a queue under one batch":   {func(h *Hot) { h.Queue.MaxBytes = 1 << 10 }, "stable.hot.queue.maxBytes: 1024 is below batching.maxBytes (262144)"},
		"fewer events than a batch": {func(h *Hot) { h.Queue.MaxEvents = 99 }, "stable.hot.queue.maxEvents: 99 is below batching.maxEvents (100)"},
		"a share above all":         {func(h *Hot) { h.Observability.Tracing.SamplePercent = 100.5 }, `stable.hot.observability.tracing.samplePercent: 100.5 is not between 0 and 100; 1 samples one trace of a hundred`},
		"reports without a pause":   {func(h *Hot) { h.Observability.BeaconInterval = 0 }, "stable.hot.observability.beaconInterval: 0s is not between 1s and 24h0m0s"},
		"an unknown log level":      {func(h *Hot) { h.Observability.LogLevel = "Trace" }, `stable.hot.observability.logLevel: "Trace" is not known; use one of ["Debug" "Info" "Warn" "Error"]`},
		"an unknown policy":         {func(h *Hot) { h.Queue.SlowConsumerPolicy = "Panic" }, `stable.hot.queue.slowConsumerPolicy: "Panic" is not known; use one of ["Conflate" "DropWithGap" "Disconnect"]`},
		"a tiny log":                {func(h *Hot) { h.Replay.MaxBytes = 1 }, "stable.hot.replay.maxBytes: 1 is not between 1048576 and"},
		"patterns over the total":   {func(h *Hot) { h.Connections.MaxPatterns = 101 }, "stable.hot.connections.maxPatterns: 101 is not between 0 and 100"},
		"a breaker without probes":  {func(h *Hot) { h.CircuitBreaker.HalfOpenProbes = 0 }, "stable.hot.circuitBreaker.halfOpenProbes: 0 is not between 1 and"},
		"a breaker open for ever":   {func(h *Hot) { h.CircuitBreaker.OpenDuration = 2 * time.Hour }, "stable.hot.circuitBreaker.openDuration: 2h0m0s is not between"},
		"a breaker always open":     {func(h *Hot) { h.CircuitBreaker.FailureThreshold = 0 }, "stable.hot.circuitBreaker.failureThreshold: 0 is not between 1 and"},
		"a breaker of another mode": {func(h *Hot) { h.CircuitBreaker.Mode = "On" }, `stable.hot.circuitBreaker.mode: "On" is not known`},
		"no stream ever":            {func(h *Hot) { h.Limits.Connect.Burst = 0 }, "stable.hot.limits.connect.burst: 0 is not between 1 and"},
		"no stream per second":      {func(h *Hot) { h.Limits.Connect.PerSecond = 0 }, "stable.hot.limits.connect.perSecond: 0 is not between 1 and"},
		"events over a request":     {func(h *Hot) { h.Limits.MaxEventBytes = 1<<20 + 1 }, "stable.hot.limits.maxEventBytes: 1048577 is not between 1 and 1048576"},
		"no heartbeat":              {func(h *Hot) { h.Connections.Heartbeat = 0 }, "stable.hot.connections.heartbeat: 0s is not between 100ms and 1h0m0s"},
		"a reader of no channel":    {func(h *Hot) { h.Auth.Subscribers.AnonymousChannels = []string{"a", "a..b"} }, `stable.hot.auth.subscribers.anonymousChannels[1]: "a..b" is not a channel or pattern`},
		"an origin with a path":     {func(h *Hot) { h.Listener.AllowedOrigins = []string{"https://a.test", "https://b.test/"} }, `stable.hot.listener.allowedOrigins[1]: "https://b.test/" is not an origin`},
		"the origin null":           {func(h *Hot) { h.Listener.AllowedOrigins = []string{"null"} }, `stable.hot.listener.allowedOrigins[0]: "null" is not an origin`},
		"all origins and one more":  {func(h *Hot) { h.Listener.AllowedOrigins = []string{"*", "https://a.test"} }, `stable.hot.listener.allowedOrigins[0]: "*" is not an origin; write it like`},
		"a proxy that is none":      {func(h *Hot) { h.Listener.TrustedProxies = []string{"10.0.0.0/33"} }, `stable.hot.listener.trustedProxies[0]: "10.0.0.0/33" is not a network; write it like 10.0.0.0/8`},
		"reviews without audience":  {func(h *Hot) { h.Auth.Publishers.Audiences = nil }, "stable.hot.auth.publishers.audiences: 0 is not between 1 and 8"},
		"an unknown level":          {func(h *Hot) { h.Compression.Level = "9" }, `stable.hot.compression.level: "9" is not known; use one of ["Fastest" "Default" "Best"]`},
		"no number of bytes":        {func(h *Hot) { h.Compression.MinBytes = -1 }, "stable.hot.compression.minBytes: -1 is not between 0 and"},
		"a pattern of no channel":   {func(h *Hot) { h.Compression.ExcludeChannels = []string{"a.*.>", "a.>.b"} }, `stable.hot.compression.excludeChannels[1]: "a.>.b" is not a channel or pattern`},
		"a spread over a day":       {func(h *Hot) { h.Drain.ReconnectSpread = 24 * time.Hour }, "stable.hot.drain.reconnectSpread: 24h0m0s is not between 0s and 1h0m0s"},
		"a flag twice":              {func(h *Hot) { h.Features = []Feature{{Name: "a", Mode: Enabled}, {Name: "a", Mode: Disabled}} }, `stable.hot.features[1].name: "a" stands there twice`},
		"a flag for 101 percent":    {func(h *Hot) { h.Features = []Feature{{Name: "a", Mode: Percent, Percent: 101}} }, "stable.hot.features[0].percent: 101 is not between 0 and 100"},
		"a flag that breaks a line": {func(h *Hot) { h.Features = []Feature{{Name: "a\nb", Mode: Enabled}} }, `stable.hot.features[0].name: "a\nb" is not 1 to 63 letters`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, hot := Default()
			c.change(&hot)
			err := Document{Serial: 1, Stable: Revision{Hot: hot}}.Validate()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	many := Document{Serial: 1, Stable: Revision{Hot: Hot{}}, DrainPods: make([]string, 1001)}
	if err := many.Validate(); err == nil || !strings.Contains(err.Error(), "drainPods: 1001 is not between 0 and 1000") {
		t.Errorf("a list without end: %v", err)
	}
	if err := (Document{}).Validate(); err == nil || !strings.Contains(err.Error(), "serial: 0 is not between 1 and") {
		t.Errorf("a document without serial: %v", err)
	}
}

func TestColdPortsMustDifferAndDrainHasBounds(t *testing.T) {
	cold, _ := Default()
	cold.Observability.AdminPort = cold.Listener.Port
	cold.Observability.Tracing.Endpoint = strings.Repeat("e", 1025)
	cold.Drain.PreStopDelay = 61 * time.Second
	err := cold.Validate()
	for _, want := range []string{"observability.adminPort: 8080 is listener.port as well", "observability.tracing.endpoint: 1025 bytes are more than 1024", "drain.preStopDelay: 1m1s is not between 0s and 1m0s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestTheBrokerNeedsServersAndASubjectThatNATSTakes(t *testing.T) {
	good := Broker{Type: BrokerNATS, SubjectPrefix: "sg.shop.prices", NATS: NATS{URL: "tls://one:4222, nats://two:4222", Stream: "PRICES_1"}}
	cold, _ := Default()
	if cold.Broker = good; cold.Validate() != nil {
		t.Errorf("refused: %v", cold.Validate())
	}
	for want, spoil := range map[string]func(*Broker){
		`broker.type: "Kafka" is not known`:                         func(b *Broker) { b.Type = "Kafka" },
		`broker.subjectPrefix: "" is not 1 to 128 bytes`:            func(b *Broker) { b.SubjectPrefix = "" },
		`broker.subjectPrefix: "sg.>" is not`:                       func(b *Broker) { b.SubjectPrefix = "sg.>" },
		`broker.subjectPrefix: "$JS.API" is not`:                    func(b *Broker) { b.SubjectPrefix = "$JS.API" },
		`broker.subjectPrefix: "sg..prices" is not`:                 func(b *Broker) { b.SubjectPrefix = "sg..prices" },
		`broker.nats.url: "" is not a list`:                         func(b *Broker) { b.NATS.URL = "" },
		`broker.nats.url: "nats://one:4222," is not a list`:         func(b *Broker) { b.NATS.URL = "nats://one:4222," },
		`broker.nats.url: "a URL with a user in it" is not`:         func(b *Broker) { b.NATS.URL = "nats://me:secret@one:4222" },
		`broker.nats.url: "http://one" is not`:                      func(b *Broker) { b.NATS.URL = "http://one" },
		`broker.nats.stream: "a.b" is not`:                          func(b *Broker) { b.NATS.Stream = "a.b" },
		`broker.nats.credentialsSecretRef.name: 254 is not between`: func(b *Broker) { b.NATS.CredentialsSecretRef.Name = strings.Repeat("n", 254) },
	} {
		cold.Broker = good
		spoil(&cold.Broker)
		if err := cold.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestDurationFormIsTheOneOfTheCustomResource(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"50ms": 50 * time.Millisecond, "0s": 0, "0ms": 0, "1h30m": 90 * time.Minute, "5m": 5 * time.Minute,
		"1h1m1s1ms": time.Hour + time.Minute + time.Second + time.Millisecond,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "1d", "1.5s", "-1s", "s", "123456s", "1s1s1s1s1s", "1 s", "1S", strings.Repeat("9", 99)} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v", text, got)
		}
	}
}

func FuzzDecodeNeverPanicsAndIsStable(f *testing.F) {
	_, hot := Default()
	seed, err := Encode(Document{Serial: 1, Stable: Revision{Name: "r", Hot: hot}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"serial":2,"stable":{"hot":{"features":[{"name":"x","mode":"Percent","percent":5}],"auth":{"publishers":{"audiences":[]}}}}}`))
	f.Add([]byte(`{"stable":null,"serial":"1"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, _, err := Decode[Document](data)
		if err != nil || d.Validate() != nil {
			return
		}
		again, err := Encode(d)
		if err != nil {
			t.Fatalf("a valid document cannot be written: %v", err)
		}
		if len(d.Stable.Hot.Auth.Publishers.Audiences) == 0 {
			return // an empty list is written as none, which reads as the default
		}
		back, unknown, err := Decode[Document](again)
		if err != nil || unknown != nil {
			t.Fatalf("Decode(%s): %v, unknown %q", again, err, unknown)
		}
		if text, err := Encode(back); err != nil || string(text) != string(again) {
			t.Fatalf("not stable: %s then %s (%v)", again, text, err)
		}
	})
}

func TestPodFindsItselfInTheDocument(t *testing.T) {
	_, hot := Default()
	bad := hot
	bad.Batching.MaxEvents = 0
	d := Document{
		Serial: 1, Stable: Revision{"old", hot}, Candidate: Revision{"new", bad},
		CandidatePods: []string{"a"}, CandidateTemplates: []string{"t2"},
	}
	for _, c := range []struct{ pod, template, runs string }{
		{"a", "t1", "new"}, {"b", "t1", "old"}, {"b", "t2", "new"}, {"", "", "old"},
	} {
		if got := d.For(c.pod, c.template).Name; got != c.runs {
			t.Errorf("pod %q of template %q runs %s, want %s", c.pod, c.template, got, c.runs)
		}
		err := d.ValidateFor(c.pod, c.template)
		if refuses := err != nil; refuses != (c.runs == "new") {
			t.Errorf("pod %q of template %q, which runs %s: %v", c.pod, c.template, c.runs, err)
		}
	}
	if err := d.Validate(); err == nil || !strings.Contains(err.Error(), "candidate.hot.batching.maxEvents") {
		t.Errorf("the whole document: %v", err)
	}
	if d.Candidate.Name = ""; d.For("a", "t2").Name != "old" || d.Validate() != nil {
		t.Error("pods run a candidate that is not there")
	}
}

func TestAbsentFieldsOfACandidateHaveDefaults(t *testing.T) {
	d, _, err := Decode[Document]([]byte(`{"serial":4,"stable":{"revision":"a"},"candidate":{"revision":"b","hot":{"batching":{"window":"80ms"}}}}`))
	_, want := Default()
	want.Batching.Window = 80 * time.Millisecond
	if err != nil || !reflect.DeepEqual(d.Candidate.Hot, want) {
		t.Errorf("got %+v (%v), want %+v", d.Candidate.Hot, err, want)
	}
}
