package transport

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// beaconOf answers one report and tells what was taken.
func beaconOf(t *testing.T, b http.Handler, body, address string) {
	t.Helper()
	r := httptest.NewRequest("POST", Base+"/beacon", strings.NewReader(body))
	r.RemoteAddr = address
	r.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	if w.Code != http.StatusNoContent || w.Body.Len() != 0 {
		t.Errorf("%.80q is answered %d %q", body, w.Code, w.Body)
	}
}

func TestAReportIsReadAndWhatMakesNoSenseIsDroppedWhole(t *testing.T) {
	const whole = `{"connectionState":"connected","avgLatencyMs":12.5,"p95LatencyMs":80,"eventsReceived":7,"duplicatesDetected":0,"totalDisconnects":0,"reconnectAttempts":0,"connectionUptimeSeconds":9,"eventRate":0.7,"transport":"sse","buffering":true,"sid":"s1"}`
	good := BrowserReport{SID: "s1", Events: 7, Measured: true, Average: 12500 * time.Microsecond, P95: 80 * time.Millisecond, Buffering: true}
	for name, c := range map[string]struct {
		body string
		want []BrowserReport
	}{
		"a whole report":               {whole, []BrowserReport{good}},
		"no event came":                {`{"sid":"s1","avgLatencyMs":null,"p95LatencyMs":null}`, []BrowserReport{{SID: "s1"}}},
		"a page that polls":            {`{"sid":null,"buffering":true}`, []BrowserReport{{Buffering: true}}},
		"a page without any event yet": {`{"sid":"s1","eventsReceived":0,"avgLatencyMs":0,"p95LatencyMs":0}`, []BrowserReport{{SID: "s1"}}},
		"a clock that is a little off": {`{"eventsReceived":2,"avgLatencyMs":-3,"p95LatencyMs":-0.5}`, []BrowserReport{{Events: 2, Measured: true}}},
		"fewer than no events":         {`{"sid":"s1","eventsReceived":-1}`, nil},
		"endless events":               {`{"sid":"s1","eventsReceived":1e300}`, nil},
		"a negative latency":           {`{"sid":"s1","eventsReceived":1,"avgLatencyMs":1,"p95LatencyMs":-5000}`, nil},
		"a latency of hours":           {`{"sid":"s1","eventsReceived":1,"avgLatencyMs":1,"p95LatencyMs":7200000}`, nil},
		"half a measurement":           {`{"sid":"s1","eventsReceived":1,"p95LatencyMs":5}`, nil},
		"more than a float holds":      {`{"eventsReceived":1,"avgLatencyMs":1,"p95LatencyMs":1e999}`, nil},
		"no number":                    {`{"eventsReceived":1,"avgLatencyMs":NaN,"p95LatencyMs":NaN}`, nil},
		"text for a number":            {`{"eventsReceived":1,"avgLatencyMs":"1","p95LatencyMs":"2"}`, nil},
		"a list":                       {`[1,2]`, nil},
		"nothing":                      {``, nil},
		"deep nesting":                 {strings.Repeat("[", 4000), nil},
		"just small enough":            {whole + strings.Repeat(" ", maxBeaconBytes-len(whole)), []BrowserReport{good}},
		"too large":                    {whole + strings.Repeat(" ", maxBeaconBytes-len(whole)+1), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []BrowserReport
			b := NewBeacon(func(r BrowserReport) { got = append(got, r) })
			beaconOf(t, b, c.body, "192.0.2.1:5")
			if !slices.Equal(got, c.want) {
				t.Errorf("took %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestReportsThatComeTooFastAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		taken := 0
		b := NewBeacon(func(BrowserReport) { taken++ })
		trusting := Routes{Beacon: b, Doors: NewDoors(Listener{TrustedProxies: []string{"10.0.0.0/8"}}),
			History: NewHistory(nil, everybody()), Sessions: NewSessions(nil, everybody()), Log: slog.New(slog.DiscardHandler)}.Handler()
		for range 100 {
			beaconOf(t, trusting, `{}`, "192.0.2.1:5")
		}
		if taken != beaconRate().Burst || b.Dropped() != 50 {
			t.Errorf("took %d of 100 from one address, dropped %d", taken, b.Dropped())
		}
		beaconOf(t, trusting, `{}`, "192.0.2.2:5")
		if taken != beaconRate().Burst+1 {
			t.Error("another address is held back, too")
		}
		time.Sleep(time.Second)
		for range 10 {
			beaconOf(t, trusting, `{}`, "192.0.2.1:5")
		}
		if taken != beaconRate().Burst+1+beaconRate().PerSecond {
			t.Errorf("took %d in all after a second", taken)
		}
	})
}
