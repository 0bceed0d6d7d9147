//go:build linux

package bench

import (
	"fmt"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/streamgateway/streamgateway/gateway/bench/proc"
)

// Result is what one server did in one round of a scenario.
type Result struct {
	Scenario string `json:"scenario"`
	Server   string `json:"server"`
	Round    int    `json:"round"`
	Error    string `json:"error,omitempty"`   // the run is worth nothing
	Skipped  string `json:"skipped,omitempty"` // it did not take place
	Note     string `json:"note,omitempty"`    // about the numbers
	// PublishOnly makes an event that was taken what processor time is divided by.
	PublishOnly bool `json:"publishOnly,omitempty"`

	// Idle is how many streams more there were after than before, where memory
	// is all that is looked at.
	Idle uint64 `json:"idleStreams,omitempty"`

	Seconds       float64 `json:"seconds"`
	Published     uint64  `json:"published"`
	Expected      uint64  `json:"expectedDeliveries"`
	Delivered     uint64  `json:"deliveries"`
	Duplicates    uint64  `json:"duplicates"`
	LostStreams   uint64  `json:"lostStreams"`
	WireBytes     uint64  `json:"wireBytes"`
	UserSeconds   float64 `json:"cpuUserSeconds"`   // of the server
	KernelSeconds float64 `json:"cpuKernelSeconds"` // of the server
	BenchSeconds  float64 `json:"generatorCPUSeconds"`
	LoadBefore    float64 `json:"loadAverageBefore"`

	Latency Times `json:"latencyMicroseconds"` // publish written → event read
	Ack     Times `json:"ackMicroseconds"`     // publish written → answered
	Late    Times `json:"latenessMicroseconds"`

	UserBefore    proc.Memory  `json:"userBefore"`
	UserAfter     proc.Memory  `json:"userAfter"`
	SocketsBefore proc.Sockets `json:"socketsBefore"`
	SocketsAfter  proc.Sockets `json:"socketsAfter"`
	// Slab is the kernel's structures on the whole machine, those of the
	// clients' sockets with them.
	SlabBefore int64 `json:"slabBytesBefore"`
	SlabAfter  int64 `json:"slabBytesAfter"`
}

// Times is a histogram: some quantiles to read, and all of it, compressed, to
// compute with (HdrHistogram V2, base64).
type Times struct {
	P50       int64   `json:"p50"`
	P90       int64   `json:"p90"`
	P95       int64   `json:"p95"`
	P99       int64   `json:"p99"`
	P999      int64   `json:"p999"`
	Max       int64   `json:"max"`
	Mean      float64 `json:"mean"`
	Count     int64   `json:"count"`
	Histogram string  `json:"histogram,omitempty"`
}

func timesOf(h *hdrhistogram.Histogram) (Times, error) {
	if h.TotalCount() == 0 {
		return Times{}, nil
	}
	text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return Times{}, fmt.Errorf("encoding a histogram: %w", err)
	}
	return Times{
		P50: h.ValueAtQuantile(50), P90: h.ValueAtQuantile(90), P95: h.ValueAtQuantile(95), P99: h.ValueAtQuantile(99), P999: h.ValueAtQuantile(99.9),
		Max: h.Max(), Mean: h.Mean(), Count: h.TotalCount(), Histogram: string(text),
	}, nil
}

// CPU is the server's, in seconds.
func (r *Result) CPU() float64 { return r.UserSeconds + r.KernelSeconds }

// MicrosecondsPerDelivery is the server's processor time for one event to one
// subscriber, publishing included; for publishing alone, for one event. 0 =
// nothing was delivered.
func (r *Result) MicrosecondsPerDelivery() float64 {
	of := r.Delivered
	if r.PublishOnly {
		of = r.Published
	}
	if of == 0 {
		return 0
	}
	return r.CPU() * 1e6 / float64(of)
}

// memoryPerStream is what one more idle stream took, in bytes: user memory, what
// waits in its socket's buffers, and the kernel's structures for one end of a
// connection.
func (r *Result) memoryPerStream() (user, buffers, structures float64) {
	n := float64(max(r.Idle, 1))
	return float64(r.UserAfter.Anonymous-r.UserBefore.Anonymous) / n,
		float64(r.SocketsAfter.Total()-r.SocketsBefore.Total()) / n,
		float64(r.SlabAfter-r.SlabBefore) / n / 2
}

// good tells whether numbers may be made of it.
func (r *Result) good() bool { return r.Error == "" && r.Skipped == "" }
