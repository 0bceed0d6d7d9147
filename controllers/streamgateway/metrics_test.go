package streamgateway

import (
	"math"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/controllers/fleet"
)

func TestCountsHaveTwoSignificantDigits(t *testing.T) {
	for v, want := range map[float64]int64{0: 0, 0.4: 0, 7: 7, 99.4: 99, 99.6: 100, 123: 120, 125.1: 130, 996: 1000, 12345: 12000, 48499: 48000, 1e30: 1e15} {
		if got := *count64(v); got != want {
			t.Errorf("%v becomes %d, want %d", v, got, want)
		}
	}
	if got := *count32(1e18); got != math.MaxInt32 {
		t.Errorf("1e18 becomes %d", got)
	}
}

func TestPercentagesAreFinerTheSmallerTheyAre(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0.00", 0.004: "0.00", 0.023: "0.02", 0.994: "0.99", 0.996: "1.0", 1.24: "1.2", 6.25: "6.2", 9.94: "9.9", 9.96: "10",
		12.4: "12", 99.9: "100", 100: "100", 100.0001: "100", -1: "0.00",
	} {
		if got := string(decimalPercent(v)); got != want {
			t.Errorf("%v becomes %s, want %s", v, got, want)
		}
	}
}

func TestLatencyThatWasMeasuredIsNotZero(t *testing.T) {
	for v, want := range map[time.Duration]int32{0: 0, 40 * time.Microsecond: 1, 1400 * time.Microsecond: 1, 83 * time.Millisecond: 83, 1234 * time.Millisecond: 1200} {
		if got := *milliseconds(v); got != want {
			t.Errorf("%s becomes %d ms, want %d", v, got, want)
		}
	}
}

func TestPagesThatDoNotReportAreNotShownAsFast(t *testing.T) {
	if m := rounded(&fleet.Summary{}); m.BrowserP95Milliseconds != nil {
		t.Errorf("%d ms of no page", *m.BrowserP95Milliseconds)
	}
	if m := rounded(&fleet.Summary{BrowserReports: 1, BrowserP95: 1234 * time.Millisecond}); *m.BrowserP95Milliseconds != 1200 {
		t.Errorf("%d ms", *m.BrowserP95Milliseconds)
	}
}

func TestRoundedNumbersAreWithinTheSchema(t *testing.T) {
	m := rounded(&fleet.Summary{QueuePercent: 99.7, ErrorPercent: math.Inf(1), DropPercent: 100, EventsPerSecond: math.MaxFloat64, Connections: math.MaxInt})
	if *m.QueuePercent != 100 || m.ErrorPercent != "100" || m.DropPercent != "100" || *m.Connections != math.MaxInt32 || *m.EventsPerSecond != 1e15 {
		t.Errorf("got %+v", m)
	}
}
