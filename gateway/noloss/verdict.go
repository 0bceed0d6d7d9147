package noloss

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Result is what a run found. Passed is the verdict; the rest is for reading.
type Result struct {
	Passed  bool    `json:"passed"`
	Run     string  `json:"run"`
	Seed    uint64  `json:"seed"`
	Seconds float64 `json:"seconds"`

	Sent       int `json:"sent"`       // events that left a publisher
	Acked      int `json:"acked"`      // events the gateway promised to deliver
	Unknown    int `json:"unknown"`    // events whose acknowledgement never came
	Retries    int `json:"retries"`    // requests repeated
	Duplicates int `json:"duplicates"` // events the gateway recognised in repeats

	Subscribers int `json:"subscribers"`
	Connections int `json:"connections"`
	Cuts        int `json:"cuts"`
	Expected    int `json:"expected"`  // deliveries, over all subscribers
	Delivered   int `json:"delivered"` // deliveries
	Named       int `json:"named"`     // deliveries that did not come and that sg.reset or sg.gap named
	Missing     int `json:"missing"`   // deliveries that did not come and that nobody named

	Resumes  map[string]int `json:"resumes"`  // by what sg.open said
	Controls map[string]int `json:"controls"` // by event
	Faults   map[string]int `json:"faults"`   // broken promises by kind, Missing among them
	Words    []string       `json:"words,omitempty"`
	Latency  Latency        `json:"latencyMs"`
}

// Latency sums up delays in milliseconds, from the start of the publish request
// to the reading of the event, on one clock. Events that came in a replay are
// left out.
type Latency struct {
	Count int     `json:"count"`
	Avg   float64 `json:"avg"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// Summarize sorts durations in place.
func Summarize(durations []time.Duration) Latency {
	n := len(durations)
	if n == 0 {
		return Latency{}
	}
	slices.Sort(durations)
	sum := time.Duration(0)
	for _, d := range durations {
		sum += d
	}
	rank := func(q float64) float64 { return milliseconds(durations[max(int(math.Ceil(q*float64(n))), 1)-1]) }
	return Latency{Count: n, Avg: milliseconds(sum) / float64(n), P50: rank(0.5), P95: rank(0.95), P99: rank(0.99), Max: rank(1)}
}

func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}

// settled tells whether no event is missing any more. It looks at the newest
// first, so that it is cheap while something is still on its way.
func (r *run) settled() bool {
	for _, s := range r.subscribers {
		if missing, _ := r.account(s, true); missing > 0 {
			return false
		}
	}
	return true
}

// account compares what is in the log with what a subscriber got, and calls
// the missing by name. With stopEarly it ends at the first one and says nothing.
func (r *run) account(s *subscriber, stopEarly bool) (missing, named int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.book.mu.Lock()
	defer r.book.mu.Unlock()
	for publisher, entries := range r.book.events {
		for n, entry := range slices.Backward(entries) {
			if !entry.logged || (n < len(s.seen[publisher]) && s.seen[publisher][n]) || !s.wants(entry.channel) {
				continue
			}
			if s.excused(entry, r.book) {
				named++
				continue
			}
			if missing++; stopEarly {
				return missing, named
			}
			r.book.faultLocked("missing", "subscriber %d, %s, %v: p%d-%d at %s on %s", s.index, s.format, s.patterns, publisher, n, entry.cursor, entry.channel)
		}
	}
	return missing, named
}

func (s *subscriber) wants(channel string) bool {
	_, ok := s.floor[channel]
	return ok
}

func (s *subscriber) excused(x entry, b *book) bool {
	age := b.meetLocked(x.cursor.Epoch)
	return slices.ContainsFunc(s.losses, func(l loss) bool { return l.excuses(x, age) })
}

// checkGaps compares the numbers that sg.gap gave with what did not come. With
// events of unknown outcome the log may hold more than this side knows.
func (r *run) checkGaps(s *subscriber, unknown int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.book.mu.Lock()
	defer r.book.mu.Unlock()
	for _, claim := range s.gaps {
		if claim.lost == nil {
			continue
		}
		lost := 0
		for publisher, entries := range r.book.events {
			for n, entry := range entries {
				came := n < len(s.seen[publisher]) && s.seen[publisher][n]
				if entry.logged && !came && matches(claim.channel, entry.channel) && claim.loss.covers(entry.channel, entry.cursor, claim.loss.age) {
					lost++
				}
			}
		}
		if *claim.lost < lost || (*claim.lost > lost && unknown == 0) {
			r.book.faultLocked("miscounted", "subscriber %d: sg.gap %d..%d says %d events of %s, it was %d",
				s.index, claim.loss.after, claim.loss.upto, *claim.lost, claim.channel, lost)
		}
	}
}

// verdict is called when publishers and subscribers have ended.
func (r *run) verdict(took time.Duration) Result {
	result := Result{
		Run: r.name, Seed: r.options.Seed, Seconds: took.Seconds(), Subscribers: len(r.subscribers),
		Resumes: map[string]int{}, Controls: map[string]int{},
	}
	for _, p := range r.publishers {
		result.Retries += p.retries
		result.Duplicates += p.duplicates
		result.Unknown += p.unknown
	}
	var latencies []time.Duration
	for _, s := range r.subscribers {
		missing, named := r.account(s, false)
		r.checkGaps(s, result.Unknown)
		result.Missing += missing
		result.Named += named
		result.Delivered += s.deliveries
		result.Connections += s.connections
		result.Cuts += s.cuts
		add(result.Resumes, s.resumes)
		add(result.Controls, s.controls)
		latencies = append(latencies, s.latencies...)
	}
	result.Expected = result.Delivered + result.Named + result.Missing
	result.Latency = Summarize(latencies)
	for _, entries := range r.book.events {
		result.Sent += len(entries)
		for _, entry := range entries {
			if entry.acked {
				result.Acked++
			}
		}
	}
	if r.options.Strict && result.Named > 0 {
		r.book.fault("named", "%d deliveries were named as lost; a strict run allows none", result.Named)
	}
	if result.Acked == 0 || result.Delivered == 0 {
		r.book.fault("idle", "%d events acknowledged, %d delivered: nothing was proved", result.Acked, result.Delivered)
	}
	if result.Cuts < r.options.Cuts {
		r.book.fault("uncut", "only %d of %d cuts found a connection", result.Cuts, r.options.Cuts)
	}
	result.Faults, result.Words = r.book.faults, r.book.words
	result.Passed = len(result.Faults) == 0
	return result
}

func add(sum, part map[string]int) {
	for name := range maps.Keys(part) {
		sum[name] += part[name]
	}
}

// String is the result for people.
func (r Result) String() string {
	verdict := "PASSED"
	if !r.Passed {
		verdict = "FAILED"
	}
	var text strings.Builder
	fmt.Fprintf(&text, `%s in %.1f s (run %s, seed %d)
published  %d sent, %d acknowledged, %d unknown; %d requests repeated, %d duplicates recognised
delivered  %d of %d to %d subscribers over %d connections (%d cut); %d named as lost, %d missing
latency    avg %.1f ms, p50 %.1f, p95 %.1f, p99 %.1f, max %.1f (%d live deliveries)
resumes    %v
controls   %v
`, verdict, r.Seconds, r.Run, r.Seed, r.Sent, r.Acked, r.Unknown, r.Retries, r.Duplicates,
		r.Delivered, r.Expected, r.Subscribers, r.Connections, r.Cuts, r.Named, r.Missing,
		r.Latency.Avg, r.Latency.P50, r.Latency.P95, r.Latency.P99, r.Latency.Max, r.Latency.Count, r.Resumes, r.Controls)
	if len(r.Faults) > 0 {
		fmt.Fprintf(&text, "faults     %v\n", r.Faults)
	}
	for _, word := range r.Words {
		text.WriteString("  " + word + "\n")
	}
	return text.String()
}

// String is the summary for people.
func (l Latency) String() string {
	return fmt.Sprintf("%d events: avg %.1f ms, p50 %.1f, p95 %.1f, p99 %.1f, max %.1f\n", l.Count, l.Avg, l.P50, l.P95, l.P99, l.Max)
}
