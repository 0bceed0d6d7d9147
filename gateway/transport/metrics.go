package transport

import (
	"fmt"
	"net/http"

	"github.com/streamgateway/streamgateway/gateway/auth"
)

// Metrics is the body of GET /metrics. Its keys are frozen by a JSON Schema:
// they are only ever added. Numbers count since the start, except rates and
// percentiles, which are of the last minute. What this version cannot do yet
// is 0, false or empty.
type Metrics struct {
	Version       string `json:"version"`
	Time          int64  `json:"time"` // milliseconds since 1970
	Scope         string `json:"scope"`
	Pod           string `json:"pod"`
	UptimeSeconds int64  `json:"uptimeSeconds"`
	Connections   struct {
		Active     int    `json:"active"`
		Peak       int    `json:"peak"`
		Total      uint64 `json:"total"`
		Rejected   uint64 `json:"rejected"`
		Closed     uint64 `json:"closed"`
		LongPoll   int    `json:"longPoll"`
		Slow       int    `json:"slow"`
		ByEncoding struct {
			Identity int `json:"identity"`
			Gzip     int `json:"gzip"`
			Zstd     int `json:"zstd"`
		} `json:"byEncoding"`
	} `json:"connections"`
	Subscriptions struct {
		Active   int    `json:"active"`
		Channels int    `json:"channels"`
		Patterns int    `json:"patterns"`
		Groups   int    `json:"groups"`
		Rejected uint64 `json:"rejected"`
	} `json:"subscriptions"`
	Events struct {
		Published            uint64  `json:"published"`
		PublishRejected      uint64  `json:"publishRejected"`
		DuplicatesSuppressed uint64  `json:"duplicatesSuppressed"`
		Delivered            uint64  `json:"delivered"`
		Skipped              uint64  `json:"skipped"`
		PublishRate          float64 `json:"publishRate"` // events per second
		DeliverRate          float64 `json:"deliverRate"` // events per second
	} `json:"events"`
	Batching struct {
		WindowMs    int64   `json:"windowMs"`
		MaxEvents   int     `json:"maxEvents"`
		Batches     uint64  `json:"batches"`
		AvgEvents   float64 `json:"avgEvents"`
		P95Events   int     `json:"p95Events"`
		LeadingEdge uint64  `json:"leadingEdge"`
		ClosedBy    struct {
			Time  uint64 `json:"time"`
			Count uint64 `json:"count"`
			Bytes uint64 `json:"bytes"`
			Flush uint64 `json:"flush"`
		} `json:"closedBy"`
	} `json:"batching"`
	LatencyMs struct {
		PublishToWrite struct {
			Avg float64 `json:"avg"`
			P50 float64 `json:"p50"`
			P95 float64 `json:"p95"`
			P99 float64 `json:"p99"`
		} `json:"publishToWrite"`
		Browser struct {
			Avg     float64 `json:"avg"`
			P95     float64 `json:"p95"`
			Reports uint64  `json:"reports"`
		} `json:"browser"`
	} `json:"latencyMs"`
	Replay struct {
		BufferSeconds int64  `json:"bufferSeconds"`
		HeldSeconds   int64  `json:"heldSeconds"`
		Events        int    `json:"events"`
		Bytes         int64  `json:"bytes"`
		Oldest        string `json:"oldest"`
		Head          string `json:"head"`
		Resumes       struct {
			Fresh    uint64 `json:"fresh"`
			Complete uint64 `json:"complete"`
			Partial  uint64 `json:"partial"`
			Reset    uint64 `json:"reset"`
		} `json:"resumes"`
		ReplayedEvents uint64 `json:"replayedEvents"`
	} `json:"replay"`
	Backpressure struct {
		SlowDetected uint64 `json:"slowDetected"`
		Gaps         uint64 `json:"gaps"`
		GapEvents    uint64 `json:"gapEvents"`
		Conflated    uint64 `json:"conflated"`
		Disconnected uint64 `json:"disconnected"`
		MaxLagEvents uint64 `json:"maxLagEvents"`
		MaxLagMs     int64  `json:"maxLagMs"`
		QueueBytes   uint64 `json:"queueBytes"`
	} `json:"backpressure"`
	Cleanup struct {
		Runs           uint64 `json:"runs"`
		LastRun        int64  `json:"lastRun"` // milliseconds since 1970
		EvictedEvents  uint64 `json:"evictedEvents"`
		FoldedChannels uint64 `json:"foldedChannels"`
		ClosedIdle     uint64 `json:"closedIdle"`
	} `json:"cleanup"`
	Compression struct {
		RawBytes     uint64  `json:"rawBytes"`
		SentBytes    uint64  `json:"sentBytes"`
		Ratio        float64 `json:"ratio"`
		Blocks       uint64  `json:"blocks"`
		SharedWrites uint64  `json:"sharedWrites"`
	} `json:"compression"`
	RateLimit struct {
		Publish  uint64 `json:"publish"`
		Connect  uint64 `json:"connect"`
		Patch    uint64 `json:"patch"`
		Delivery uint64 `json:"delivery"`
	} `json:"rateLimit"`
	CircuitBreaker struct {
		State      string `json:"state"`
		Opened     uint64 `json:"opened"`
		LastOpened *int64 `json:"lastOpened"` // milliseconds since 1970
	} `json:"circuitBreaker"`
	Broker struct {
		Kind       string `json:"kind"`
		Connected  bool   `json:"connected"`
		Durability string `json:"durability"`
		Epoch      string `json:"epoch"`
		LagEvents  uint64 `json:"lagEvents"`
		Repairs    uint64 `json:"repairs"`
		Holes      uint64 `json:"holes"`
	} `json:"broker"`
	Flags struct {
		Rev    int64           `json:"rev"`
		Values map[string]bool `json:"values"`
	} `json:"flags"`
	Health struct {
		Status  string   `json:"status"` // ok, degraded or failing
		Reasons []string `json:"reasons"`
		NoLoss  struct {
			Verified  bool   `json:"verified"`
			LastAudit int64  `json:"lastAudit"` // milliseconds since 1970
			Checked   uint64 `json:"checked"`
			Lost      uint64 `json:"lost"`
		} `json:"noLoss"`
	} `json:"health"`
}

// serveMetrics shows the numbers to who has the right: they tell how busy a
// gateway is, which is not everybody's business.
func (r Routes) serveMetrics(w http.ResponseWriter, q *http.Request) {
	who, err := r.MetricsAccess.Authenticate(q)
	if err == nil && !who.Metrics {
		err = fmt.Errorf("%w to read the metrics", auth.ErrDenied)
	}
	if err != nil {
		no := refusalOf(err)
		Problem(w, q, no.status, no.kind, no.options...)
		return
	}
	writeJSON(w, r.Metrics())
}
