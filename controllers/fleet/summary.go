package fleet

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamgateway/streamgateway/gateway/report"
)

// Summary is the fleet as one pod: sums, and percentiles of the sum.
type Summary struct {
	Pods        int // that answered
	Rated       int // of these, how many were seen long enough to take rates of
	Connections int
	Draining    int       // pods that ask clients to move and have some left
	Time        time.Time // of the newest report

	QueuePercent float64 // mean over clients of lag ÷ limit, 0..100

	// Of what happened in the window; writes that are late already count in
	// latencies as late as they are.
	LatencyP50          time.Duration
	LatencyP95          time.Duration
	LatencyP99          time.Duration
	ErrorPercent        float64 // failed deliveries and publishes ÷ attempts
	DropPercent         float64 // events skipped by the slow-consumer policy ÷ offered
	EventsPerSecond     float64 // delivered
	PublishesPerSecond  float64 // accepted
	ReconnectsPerMinute float64 // streams that pods ended or lost unasked
	Lost                float64 // of the events that pods publish to themselves
	Offered             float64 // events delivered, failed, dropped and waiting: how much the rates rest on

	// Of what pages reported in the last minute.
	BrowserP95     time.Duration // of the pages' own 95th percentiles
	BrowserReports float64       // that had a latency

	// Flags are the same by flags that only a part of the pages has on, by name.
	Flags []Flag

	// ShortReplay are the pods that hold less than replay.ttl for lack of memory.
	ShortReplay []string

	// Certificates are those that pods answer clients with.
	Certificates []Certificate

	// KeysFaults are the pods that cannot have the newest keys of signed tokens.
	KeysFaults []KeysFault

	// Audits are what pods find that check themselves.
	Audits []Audit

	// SharedMissing are the pods that find no secret that all replicas share.
	SharedMissing []string

	// SharedInvalid are the pods that cannot use that secret.
	SharedInvalid []string

	// Brokers are what pods say of the log that they share.
	Brokers []Broker

	// BrokerDown are the pods whose log fails, so that they refuse publishes.
	BrokerDown []string

	// BrokerFull are the pods whose log has no room for more events.
	BrokerFull []string

	Acks Acks
}

// Flag is what pages reported in the last minute, apart by whether they have the
// flag on.
type Flag struct {
	Name                  string
	OnP95, OffP95         time.Duration
	OnReports, OffReports float64
}

// KeysFault is why one pod cannot have the newest keys of signed tokens.
type KeysFault struct{ Pod, Message string }

// Audit is what one pod found lately that publishes events to itself and reads
// them back.
type Audit struct {
	Pod       string
	Broken    bool // it lost something lately
	Stale     bool // it should have proved something lately, and has not
	LastProof time.Time
	Message   string // of the last loss
}

// Broker is what one pod says of a log that pods share.
type Broker struct {
	Pod     string
	Reason  string // one of report's constants, when it cannot use a Secret; empty: it can
	Message string
}

// Certificate is what one pod answers its clients with.
type Certificate struct {
	Pod     string
	Reason  string // one of report's constants, when the newest one cannot be used; empty: it is in use
	Message string
	// NotBefore and NotAfter bound the time of the one in use; zero: there is
	// none.
	NotBefore, NotAfter time.Time
}

// Acks counts pods by what became of one document.
type Acks struct {
	Acked   int // run what it, or a newer one, gives them
	Nacked  int // refused it; what they ran before runs on
	Pending int // have not said
	Nacks   []Nack
}

// Nack is a pod's refusal.
type Nack struct {
	Pod      string
	Revision string
	Message  string
	Time     time.Time
}

// Summarize folds samples, one a pod, into one. silent is the number of pods
// that were asked and did not answer; they count as pending for what is wanted
// and in nothing else. Percentiles are read off the sum of the pods' histograms.
func Summarize(samples []Sample, silent int, w Wanted) Summary {
	s := Summary{Acks: acks(samples, silent, w)}
	var t totals
	for i := range samples {
		s.add(&samples[i].Newer)
		t.pages(&samples[i].Newer.Browsers)
		if samples[i].seconds() > 0 {
			s.Rated++
			t.add(&samples[i])
		}
	}
	if s.Connections > 0 {
		s.QueuePercent = min(s.QueuePercent/float64(s.Connections), 100)
	} else {
		s.QueuePercent = 0
	}
	s.rates(&t)
	return s
}

func (s *Summary) add(r *report.Report) {
	s.Pods++
	s.Connections += r.Connections.Active
	s.QueuePercent += r.Queue.LagPercent * float64(r.Connections.Active)
	if r.Draining && r.Connections.Active > 0 {
		s.Draining++
	}
	if r.Replay.Short {
		s.ShortReplay = append(s.ShortReplay, r.Pod)
	}
	if a := r.Audit; a != nil {
		s.Audits = append(s.Audits, Audit{Pod: r.Pod, Broken: a.Broken(r.Time), Stale: a.Stale(r.Time, r.StartTime), LastProof: a.LastProof, Message: a.Message})
	}
	if t := r.TLS; t != nil {
		s.Certificates = append(s.Certificates, Certificate{Pod: r.Pod, Reason: t.Reason, Message: t.Message, NotBefore: t.NotBefore, NotAfter: t.NotAfter})
	}
	if r.KeysFault != "" {
		s.KeysFaults = append(s.KeysFaults, KeysFault{r.Pod, r.KeysFault})
	}
	switch r.SharedSecret {
	case report.SharedMissing:
		s.SharedMissing = append(s.SharedMissing, r.Pod)
	case report.SharedInvalid:
		s.SharedInvalid = append(s.SharedInvalid, r.Pod)
	}
	s.addLog(r)
	if r.Time.After(s.Time) {
		s.Time = r.Time
	}
}

// addLog tells what is wrong with a pod's log.
func (s *Summary) addLog(r *report.Report) {
	c, b := r.CircuitBreaker.State, r.Broker
	if c == report.CircuitOpen || c == report.CircuitHalfOpen || b != nil && b.Down(r.Time) {
		s.BrokerDown = append(s.BrokerDown, r.Pod)
	}
	if b == nil {
		return
	}
	s.Brokers = append(s.Brokers, Broker{Pod: r.Pod, Reason: b.Reason, Message: b.Message})
	if b.Full {
		s.BrokerFull = append(s.BrokerFull, r.Pod)
	}
}

// totals are sums over pods of what happened in the window. Floats, so that a
// pod that reports nonsense cannot overflow them.
type totals struct {
	delivered, failed, dropped   float64
	waiting                      float64
	published, publishFailed     float64
	deliveredRate, publishedRate float64 // per second
	lostRate                     float64 // streams per second
	lost                         float64 // events that auditors miss
	latency                      report.Histogram
	browsers                     report.Histogram
	flags                        map[string]report.Cohorts
}

func (t *totals) pages(b *report.Browsers) {
	t.browsers = t.browsers.Add(b.Latency)
	for _, c := range b.Flags {
		if t.flags == nil {
			t.flags = map[string]report.Cohorts{}
		}
		sum := t.flags[c.Flag]
		t.flags[c.Flag] = report.Cohorts{Flag: c.Flag, On: sum.On.Add(c.On), Off: sum.Off.Add(c.Off)}
	}
}

// cohorts are the sums by flag.
func (t *totals) cohorts() (all []Flag) {
	for _, name := range slices.Sorted(maps.Keys(t.flags)) {
		c := t.flags[name]
		all = append(all, Flag{
			Name:  name,
			OnP95: duration(c.On.Quantile(0.95)), OnReports: float64(c.On.Count()),
			OffP95: duration(c.Off.Quantile(0.95)), OffReports: float64(c.Off.Count()),
		})
	}
	return all
}

// leastLossSeconds is the least time that lost streams are spread over: one
// that is lost in the first second with a new revision, or in a second that a
// clock was set back in, is no storm.
const leastLossSeconds = 10

func (t *totals) add(s *Sample) {
	older, newer, seconds := s.Older, &s.Newer, s.seconds()
	delivered := grown(older.Events.Delivered, newer.Events.Delivered)
	published := grown(older.Events.Published, newer.Events.Published)
	t.delivered += delivered
	t.failed += grown(older.Events.DeliveryFailed, newer.Events.DeliveryFailed)
	t.dropped += grown(older.Events.Dropped, newer.Events.Dropped)
	t.published += published
	t.publishFailed += grown(older.Events.PublishFailed, newer.Events.PublishFailed)
	t.deliveredRate += delivered / seconds
	t.publishedRate += published / seconds
	t.lostRate += grown(older.Connections.Lost, newer.Connections.Lost) / max(seconds, leastLossSeconds)
	if older.Audit != nil && newer.Audit != nil {
		t.lost += grown(older.Audit.Lost, newer.Audit.Lost)
	}
	t.waiting += float64(newer.Queue.WaitingEvents)
	t.latency = t.latency.Add(newer.Latency.Since(older.Latency).Below(s.counted)).Add(newer.Queue.Waiting)
}

func (s *Summary) rates(t *totals) {
	s.LatencyP50 = duration(t.latency.Quantile(0.50))
	s.LatencyP95 = duration(t.latency.Quantile(0.95))
	s.LatencyP99 = duration(t.latency.Quantile(0.99))
	s.BrowserP95, s.BrowserReports = duration(t.browsers.Quantile(0.95)), float64(t.browsers.Count())
	s.Flags = t.cohorts()
	settled := t.delivered + t.failed + t.dropped
	s.Offered = settled + t.waiting
	s.ErrorPercent = percent(t.failed+t.publishFailed, t.delivered+t.failed+t.published+t.publishFailed)
	s.DropPercent = percent(t.dropped, settled)
	s.EventsPerSecond = t.deliveredRate
	s.PublishesPerSecond = t.publishedRate
	s.ReconnectsPerMinute = t.lostRate * 60
	s.Lost = t.lost
}

func acks(samples []Sample, silent int, w Wanted) Acks {
	a := Acks{Pending: silent}
	for i := range samples {
		r := &samples[i].Newer
		switch {
		case w.nacked(r):
			a.Nacked++
			a.Nacks = append(a.Nacks, Nack{Pod: r.Pod, Revision: r.Nack.Revision, Message: r.Nack.Message, Time: r.Nack.Time})
		case w.Acked(r):
			a.Acked++
		default:
			a.Pending++
		}
	}
	slices.SortFunc(a.Nacks, func(a, b Nack) int { return strings.Compare(a.Pod, b.Pod) })
	return a
}

// grown is how much a counter grew. One that went back counts for nothing: the
// pod's restart is known by its start time, so this one is not to be believed.
func grown(older, newer uint64) float64 {
	if newer < older {
		return 0
	}
	return float64(newer - older)
}

func percent(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return min(100*part/whole, 100) // of huge numbers it can be a trace more
}

func duration(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second))
}
