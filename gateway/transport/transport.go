// Package transport is the HTTP surface that subscribers and publishers see:
// routes under Base, problem answers, publishing, streams, the clock and the
// JSON metrics.
//
// It holds no state of its own beyond a request: events live in the engine and
// the log, rights in gateway/auth, counts in gateway/limit. It knows neither a
// broker's kind nor a config file; options come in as plain structs. It is
// called by gateway/server, which puts it on the main port.
package transport

import "time"

// Base is the prefix of every path of the wire protocol.
const Base = "/v2/realtime"

// Protocol is the version of the wire protocol, as in the header SG-Protocol.
const Protocol = "2"

// Connections bounds and paces the streams of one pod. All of it is hot: it
// acts on connections that are opened from then on, and on the next heartbeat
// of those that are open.
type Connections struct {
	MaxPerPod          int           // streams
	MaxPerSubject      int           // streams of one reader with a name; 0 = not limited
	MaxPerAddress      int           // streams of one client address; 0 = not limited
	MaxPerTenant       int           // streams of one tenant; 0 = not limited
	MaxSubscriptions   int           // channels and patterns of one stream
	MaxPatterns        int           // of which patterns
	Heartbeat          time.Duration // ±10 % for each connection
	WriteTimeout       time.Duration // a write blocked this long ends the stream
	MaxAge             time.Duration // ±10 % for each connection
	LongPollTimeout    time.Duration // a poll is held no longer
	Retry              time.Duration // the hint that clients wait before they come back
	RetryJitterPercent int           // percent of Retry
}
