package rollout

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/streamgateway/streamgateway/controllers/fleet"
)

// Reasons of a breach.
const (
	ReasonErrorRateHigh      = "ErrorRateHigh"
	ReasonDropRateHigh       = "DropRateHigh"
	ReasonLatencyHigh        = "LatencyHigh"
	ReasonQueueFull          = "QueueFull"
	ReasonReconnectStorm     = "ReconnectStorm"
	ReasonBrowserLatencyHigh = "BrowserLatencyHigh"
	ReasonReplayWindowShort  = "ReplayWindowShort"
	ReasonBrokerUnavailable  = "BrokerUnavailable"
	ReasonLossDetected       = "LossDetected"
	ReasonBrokerStorageFull  = "BrokerStorageFull"
)

// fewStreams is how many streams reconnects are counted against at least: two
// of three that end are no storm.
const fewStreams = 100

// fewReports is how many reports of pages are too few to judge by.
const fewReports = 20

// Thresholds bound the pods' own numbers, and what pages report.
type Thresholds struct {
	MaxErrorPercent               float64
	MaxDropPercent                float64
	MaxP99Latency                 time.Duration
	MaxQueuePercent               float64
	MaxReconnectsPerMinutePercent float64       // of the connections
	MaxBrowserP95                 time.Duration // 0 = not judged
	MinEvents                     int           // offered in the window, for percentages and latencies to count
}

// DefaultThresholds are those of an empty spec.
func DefaultThresholds() Thresholds {
	return Thresholds{
		MaxErrorPercent: 1, MaxDropPercent: 1, MaxP99Latency: time.Second,
		MaxQueuePercent: 90, MaxReconnectsPerMinutePercent: 20, MinEvents: 100,
	}
}

// Breach is a threshold that is crossed.
type Breach struct {
	Reason string
	Flag   string // whose cohort it is; empty: of all pages and pods
	// Message stays the same while the threshold is crossed: it has no number
	// that moves.
	Message string
	// Metric is empty for what is no fault of a revision.
	Metric, Observed, Threshold string
}

// Judge gives the first threshold that is crossed, nil if none is.
func Judge(s *fleet.Summary, t Thresholds) *Breach {
	if len(s.BrokerFull) > 0 { // first: it is why the log fails
		return &Breach{Reason: ReasonBrokerStorageFull, Message: fmt.Sprintf(
			"the log of %s has no room for more events: publishes are refused, streams go on; give the stream's servers more storage", strings.Join(s.BrokerFull, ", "))}
	}
	if len(s.BrokerDown) > 0 { // then this: it is why publishes fail
		return &Breach{Reason: ReasonBrokerUnavailable, Message: fmt.Sprintf(
			"the log of %s fails: publishes are refused, streams go on", strings.Join(s.BrokerDown, ", "))}
	}
	for _, look := range []func(*fleet.Summary, Thresholds) *Breach{losses, errorRate, dropRate, latency, queue, reconnects, browsers} {
		if b := look(s, t); b != nil {
			return b
		}
	}
	if len(s.ShortReplay) > 0 {
		return &Breach{Reason: ReasonReplayWindowShort, Message: fmt.Sprintf(
			"%s keeps events for less than replay.ttl: replay.maxBytes, or the memory limit of the pod, is too small for the traffic", strings.Join(s.ShortReplay, ", "))}
	}
	return nil
}

// GoesOn tells whether a breach is also one of what came since it was found
// last, however little that is. What is summed up over a window stays in it
// for as long as the window is: without this a pause of a second would be found
// at every look for ten.
func (b *Breach) GoesOn(since *fleet.Summary, t Thresholds) bool {
	t.MinEvents = 0
	switch b.Reason {
	case ReasonErrorRateHigh, ReasonDropRateHigh, ReasonLatencyHigh:
		return b.SharedBy(since, t)
	case ReasonReconnectStorm:
		return since.ReconnectsPerMinute > 0
	}
	return true // a state, or what once is enough of
}

// SharedBy tells whether others cross the same threshold. A loss is held
// against them for as long as their auditors do.
func (b *Breach) SharedBy(others *fleet.Summary, t Thresholds) bool {
	switch b.Reason {
	case ReasonErrorRateHigh:
		return errorRate(others, t) != nil
	case ReasonDropRateHigh:
		return dropRate(others, t) != nil
	case ReasonLatencyHigh:
		return latency(others, t) != nil
	case ReasonQueueFull:
		return queue(others, t) != nil
	case ReasonReconnectStorm:
		return reconnects(others, t) != nil
	case ReasonBrowserLatencyHigh:
		return browsers(others, t) != nil
	case ReasonLossDetected:
		return slices.ContainsFunc(others.Audits, func(a fleet.Audit) bool { return a.Broken })
	}
	return false // no revision's fault in any case
}

func enough(s *fleet.Summary, t Thresholds) bool {
	return s.Offered > 0 && s.Offered >= float64(t.MinEvents)
}

// over is the breach of a metric; format gets the threshold.
func over(reason, metric, observed, threshold, format string) *Breach {
	return &Breach{Reason: reason, Metric: metric, Observed: observed, Threshold: threshold, Message: fmt.Sprintf(format, threshold)}
}

func losses(s *fleet.Summary, _ Thresholds) *Breach {
	if s.Lost <= 0 {
		return nil
	}
	return over(ReasonLossDetected, "eventsLost", short(s.Lost), "0",
		"more than %s of the events that pods publish to themselves were lost without a word")
}

func errorRate(s *fleet.Summary, t Thresholds) *Breach {
	if !enough(s, t) || s.ErrorPercent <= t.MaxErrorPercent {
		return nil
	}
	return over(ReasonErrorRateHigh, "errorPercent", short(s.ErrorPercent), short(t.MaxErrorPercent),
		"more than %s %% of deliveries and publishes failed")
}

func dropRate(s *fleet.Summary, t Thresholds) *Breach {
	if !enough(s, t) || s.DropPercent <= t.MaxDropPercent {
		return nil
	}
	return over(ReasonDropRateHigh, "dropPercent", short(s.DropPercent), short(t.MaxDropPercent),
		"more than %s %% of events were skipped for slow clients")
}

func latency(s *fleet.Summary, t Thresholds) *Breach {
	if !enough(s, t) || s.LatencyP99 <= t.MaxP99Latency {
		return nil
	}
	return over(ReasonLatencyHigh, "latencyP99", s.LatencyP99.Round(time.Millisecond).String(), t.MaxP99Latency.String(),
		"more than 1 %% of deliveries took over %s")
}

func queue(s *fleet.Summary, t Thresholds) *Breach {
	if s.QueuePercent <= t.MaxQueuePercent {
		return nil
	}
	return over(ReasonQueueFull, "queuePercent", short(s.QueuePercent), short(t.MaxQueuePercent),
		"clients lag by more than %s %% of the queue limits on average")
}

func reconnects(s *fleet.Summary, t Thresholds) *Breach {
	percent := 100 * s.ReconnectsPerMinute / float64(max(s.Connections, fewStreams))
	if percent <= t.MaxReconnectsPerMinutePercent {
		return nil
	}
	return over(ReasonReconnectStorm, "reconnectsPerMinutePercent", short(percent), short(t.MaxReconnectsPerMinutePercent),
		"more than %s %% of streams a minute ended unasked")
}

func browsers(s *fleet.Summary, t Thresholds) *Breach {
	if t.MaxBrowserP95 <= 0 || s.BrowserReports < fewReports || s.BrowserP95 <= t.MaxBrowserP95 {
		return nil
	}
	return over(ReasonBrowserLatencyHigh, "browserP95", s.BrowserP95.Round(time.Millisecond).String(), t.MaxBrowserP95.String(),
		"more than 5 %% of pages report that more than 5 %% of their events took over %s")
}

// short has two decimals at most.
func short(v float64) string {
	text := strconv.FormatFloat(v, 'f', 2, 64)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
