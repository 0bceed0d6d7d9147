package transport

import (
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/streamgateway/streamgateway/gateway/limit"
)

// BrowserReport is what one page tells of how it feels.
type BrowserReport struct {
	SID    string // of its stream; "" = it has none
	Events uint64 // that the page has got since it was loaded
	// Measured tells that the page knows how late its newest events were: from
	// the log to its handler, by its estimate of our clock.
	Measured     bool
	Average, P95 time.Duration
	Buffering    bool // something between the page and us holds streams back
}

const (
	maxBeaconBytes = 4 << 10
	// maxBrowserLatency is later than any event that is still worth showing;
	// what claims to be later is a clock that is wrong, or a lie.
	maxBrowserLatency = 10 * time.Minute
	maxBrowserEvents  = 1 << 53 // as far as a page can count
)

// Beacon is the handler of POST /beacon. It answers 204 whatever comes, since
// a page that is being closed reads no answer; what is too large, too fast or
// makes no sense is dropped whole.
type Beacon struct {
	take  func(BrowserReport)
	rates *limit.Buckets
}

// NewBeacon makes the handler. take gets the reports, by several goroutines.
func NewBeacon(take func(BrowserReport)) *Beacon {
	return &Beacon{take: take, rates: limit.NewBuckets()}
}

// beaconRate is of one address, where addresses tell clients apart.
func beaconRate() limit.Rate { return limit.Rate{PerSecond: 5, Burst: 50} }

// Dropped counts reports that came too fast, since the start.
func (b *Beacon) Dropped() uint64 { return b.rates.Refused() }

// Sweep forgets addresses that reported nothing lately. It is called once a
// second.
func (b *Beacon) Sweep() { b.rates.Sweep() }

// ServeHTTP takes one report.
func (b *Beacon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer w.WriteHeader(http.StatusNoContent)
	address := ""
	if addressTold(r) {
		address = limit.Owner(clientAddress(r)).String()
		if b.rates.Take(address, 1, beaconRate()) > 0 {
			return
		}
	}
	if b.rates.Take("", 1, podRate()) > 0 {
		b.rates.Give(address, 1)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBeaconBytes+1))
	if err != nil || len(body) > maxBeaconBytes {
		return
	}
	if report, ok := parseBeacon(body); ok {
		b.take(report)
	}
}

// parseBeacon reads a report. Keys that are not known are passed over.
func parseBeacon(body []byte) (BrowserReport, bool) {
	var members struct {
		SID       string   `json:"sid"`
		Events    float64  `json:"eventsReceived"`
		Average   *float64 `json:"avgLatencyMs"`
		P95       *float64 `json:"p95LatencyMs"`
		Buffering bool     `json:"buffering"`
	}
	if err := json.Unmarshal(body, &members); err != nil {
		return BrowserReport{}, false
	}
	if members.Events < 0 || members.Events > maxBrowserEvents {
		return BrowserReport{}, false
	}
	report := BrowserReport{SID: members.SID, Events: uint64(members.Events), Buffering: members.Buffering}
	if report.Events == 0 || members.Average == nil && members.P95 == nil {
		return report, true
	}
	average, ok := browserLatency(members.Average)
	p95, also := browserLatency(members.P95)
	report.Measured, report.Average, report.P95 = true, average, p95
	return report, ok && also
}

// browserLatency reads milliseconds and says no to what cannot be. A little
// below zero is what an estimate of a clock may come to.
func browserLatency(ms *float64) (time.Duration, bool) {
	const slack = 1000 // milliseconds
	if ms == nil || *ms < -slack || *ms > float64(maxBrowserLatency.Milliseconds()) {
		return 0, false
	}
	return time.Duration(max(*ms, 0) * float64(time.Millisecond)), true
}
