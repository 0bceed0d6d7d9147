//go:build linux

package bench

import "time"

// Scenario is one kind of work that every server gets.
type Scenario struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Kind    Kind   `json:"kind"`
	Streams int    `json:"streams"`
	// Channels there are; subscriber i reads Each of them: number i, counted
	// around, and the others drawn.
	Channels int           `json:"channels"`
	Each     int           `json:"each"`
	Rate     float64       `json:"requestsPerSecond,omitempty"` // of publishing
	Group    int           `json:"eventsPerRequest"`            // where a server takes several
	Lines    int           `json:"publishers"`                  // connections that publish
	Window   time.Duration `json:"windowNs"`                    // of batching, where a server can
	Lasts    time.Duration `json:"lastsNs"`
	Stalled  int           `json:"stalledStreams,omitempty"` // that stop reading
	Bulk     int           `json:"stalledBytes,omitempty"`   // owed to each stalled stream before anything is measured
	Size     int           `json:"eventBytes,omitempty"`     // 0 = the mix
	Owed     int           `json:"owedEvents,omitempty"`     // to each reconnect
	// Alone leaves the peers out: another scenario says it of them.
	Alone bool `json:"withoutPeers,omitempty"`
	// Quick scenarios are those of a QUICK run.
	Quick bool `json:"-"`
}

// Kind is how a scenario goes.
type Kind string

// The kinds.
const (
	Idle      Kind = "idle"      // open streams, no events; memory
	Paced     Kind = "paced"     // events at a fixed rate
	Flood     Kind = "flood"     // as many as are delivered, at most floodAhead on their way
	Reconnect Kind = "reconnect" // all come at once, each owed events
	Publish   Kind = "publish"   // one reader; as many events as are taken
	Bytes     Kind = "bytes"     // as Paced, to readers that accept gzip
)

const window = 50 * time.Millisecond

// Scenarios are all of them, in the order of the table.
func Scenarios() []Scenario {
	all := []Scenario{
		{Name: "idle-10k", Title: "10,000 idle streams", Kind: Idle, Streams: 10_000, Lasts: 5 * time.Second},
		{Name: "idle-18k", Title: "18,000 idle streams, nearly as many as descriptors allow", Kind: Idle, Streams: 18_000, Lasts: 5 * time.Second, Alone: true},
		{Name: "fanout-1k-10", Title: "1 → 1,000, 10 events/s", Streams: 1000, Rate: 10, Lasts: 4 * time.Second, Quick: true},
		{Name: "fanout-1k-100", Title: "1 → 1,000, 100 events/s, window 50 ms", Streams: 1000, Rate: 100, Window: window, Quick: true},
		{Name: "fanout-10k-10", Title: "1 → 10,000, 10 events/s", Streams: 10_000, Rate: 10},
		{Name: "fanout-10k-100", Title: "1 → 10,000, 100 events/s, window 50 ms", Streams: 10_000, Rate: 100, Window: window, Lasts: 1500 * time.Millisecond},
		{Name: "channels-100x50", Title: "100 channels × 50 streams, 1,000 events/s in all", Streams: 5000, Channels: 100, Rate: 1000, Lines: 8, Lasts: 3 * time.Second, Quick: true},
		{Name: "channels-100x100", Title: "100 channels × 100 streams, 500 events/s in all", Streams: 10_000, Channels: 100, Rate: 500, Lines: 8, Lasts: 3 * time.Second},
		{Name: "sets-10k", Title: "10,000 distinct sets of 5 out of 1,000 channels, 200 events/s", Streams: 10_000, Channels: 1000, Each: 5, Rate: 200, Lines: 8, Lasts: 3 * time.Second},
		{Name: "stall-none", Title: "1 → 1,000, 100 events/s of 1 KiB", Streams: 1000, Rate: 100, Size: 1024, Window: window, Lasts: 4 * time.Second},
		{Name: "stall-5pc", Title: "the same, 5 % of the streams stalled, each owed 6 MiB", Streams: 1000, Rate: 100, Size: 1024, Window: window, Stalled: 50, Bulk: 6 << 20, Lasts: 4 * time.Second},
		{Name: "reconnect-5k", Title: "5,000 reconnects, each owed 200 events", Kind: Reconnect, Streams: 5000, Owed: 200, Lasts: 40 * time.Second, Quick: true},
		{Name: "reconnect-10k", Title: "10,000 reconnects, each owed 200 events", Kind: Reconnect, Streams: 10_000, Owed: 200, Lasts: 40 * time.Second},
		{Name: "most-1k", Title: "most deliveries, 1,000 streams", Kind: Flood, Streams: 1000, Group: 100, Lines: 4, Window: window, Quick: true},
		{Name: "most-10k", Title: "most deliveries, 10,000 streams", Kind: Flood, Streams: 10_000, Group: 100, Lines: 4, Window: window},
		{Name: "publish-1", Title: "publishing, one event a request", Kind: Publish, Streams: 1, Lines: 16, Quick: true},
		{Name: "publish-100", Title: "publishing, 100 events a request where a server takes them", Kind: Publish, Streams: 1, Lines: 4, Group: 100},
		{Name: "bytes-1", Title: "gzip, 1 event a block", Kind: Bytes, Streams: 20, Rate: 15, Window: window, Lasts: 3 * time.Second},
		{Name: "bytes-5", Title: "gzip, 5 events a block", Kind: Bytes, Streams: 20, Rate: 15, Group: 5, Window: window, Lasts: 3 * time.Second},
		{Name: "bytes-20", Title: "gzip, 20 events a block", Kind: Bytes, Streams: 20, Rate: 15, Group: 20, Window: window, Lasts: 3 * time.Second},
		{Name: "tokens", Title: "50 streams × 50 tokens/s, a channel each", Streams: 50, Channels: 50, Rate: 2500, Lines: 50, Size: 64, Window: window, Quick: true},
	}
	for i := range all {
		all[i].fill()
	}
	return all
}

func (s *Scenario) fill() {
	if s.Kind == "" {
		s.Kind = Paced
	}
	s.Channels, s.Each, s.Group, s.Lines = max(s.Channels, 1), max(s.Each, 1), max(s.Group, 1), max(s.Lines, 1)
	if s.Lasts == 0 {
		s.Lasts = 2 * time.Second
	}
}
