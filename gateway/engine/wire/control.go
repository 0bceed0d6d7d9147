package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Names of the control events.
const (
	ControlOpen     = "sg.open"
	ControlCaughtUp = "sg.caught-up"
	ControlReset    = "sg.reset"
	ControlGap      = "sg.gap"
	ControlSlow     = "sg.slow"
	ControlDrain    = "sg.drain"
	ControlFlags    = "sg.flags"
	ControlAuth     = "sg.auth"
	ControlEnd      = "sg.end"
)

// ProtocolVersion is the version that sg.open and the header SG-Protocol name.
const ProtocolVersion = 2

// How a stream begins, as sg.open says.
const (
	ResumeFresh    = "fresh"
	ResumeComplete = "complete"
	ResumePartial  = "partial"
	ResumeReset    = "reset"
)

// Reasons of sg.reset.
const (
	ResetEvicted    = "evicted"
	ResetUnprovable = "unprovable"
	ResetTooMany    = "too-many"
	ResetEpoch      = "epoch"
	ResetFuture     = "future"
	ResetMalformed  = "malformed"
	ResetLogHole    = "log-hole"
)

// Reasons of sg.gap.
const (
	GapSlow     = "slow"
	GapRate     = "rate"
	GapConflate = "conflate"
)

// Policies that sg.slow names.
const (
	SlowGap        = "gap"
	SlowConflate   = "conflate"
	SlowDisconnect = "disconnect"
)

// Reasons of sg.drain.
const (
	DrainRollout   = "rollout"
	DrainScaleDown = "scale-down"
	DrainRebalance = "rebalance"
)

// Reasons of sg.end.
const (
	EndOverload = "overload"
	EndDrain    = "drain"
	EndSlow     = "slow"
	EndLimit    = "limit"
	EndFlagOff  = "flag-off"
	EndShutdown = "shutdown"
	EndRevoked  = "auth-revoked"
	EndExpired  = "auth-expired"
)

// Open is sg.open: the first event of every stream.
type Open struct {
	Version       int             `json:"v"`
	SID           string          `json:"sid"`
	Revision      int             `json:"rev"`
	Cursor        string          `json:"cursor"`
	Resume        string          `json:"resume"`
	Channels      List[string]    `json:"channels"`
	Denied        List[Denied]    `json:"denied"`
	Time          int64           `json:"time"` // milliseconds since 1970
	Heartbeat     int64           `json:"hb"`   // milliseconds between heartbeats
	BufferSeconds int64           `json:"bufferSeconds"`
	Durability    string          `json:"durability"`
	Limits        OpenLimits      `json:"limits"`
	Flags         map[string]bool `json:"flags"`
	FlagsRevision int64           `json:"flagsRev"`
	BeaconMs      int64           `json:"beaconMs,omitempty"` // milliseconds between a page's reports
}

// Denied is a requested channel that stays out.
type Denied struct {
	Channel string `json:"channel"`
	Reason  string `json:"reason"`
}

// OpenLimits says how much one connection may subscribe to.
type OpenLimits struct {
	Channels int `json:"channels"`
	Patterns int `json:"patterns"`
}

// CaughtUp is sg.caught-up: the replay ended, from here on live.
type CaughtUp struct {
	Cursor   string   `json:"cursor"`
	Replayed uint64   `json:"replayed"` // events
	Channels []string `json:"channels,omitempty"`
}

// Reset is sg.reset: the completeness of Channels (or of all) cannot be shown.
type Reset struct {
	Reason   string             `json:"reason"`
	Channels List[ResetChannel] `json:"channels"`
	All      bool               `json:"all,omitempty"`
	ResumeAt string             `json:"resumeAt"`
}

// ResetChannel is a channel to reload.
type ResetChannel struct {
	Channel     string `json:"channel"`
	EvictedUpto string `json:"evictedUpto,omitempty"`
}

// Gap is sg.gap: events were skipped on a live stream.
type Gap struct {
	Reason   string           `json:"reason"`
	After    string           `json:"after"`
	Upto     string           `json:"upto"`
	Channels List[GapChannel] `json:"channels"`
}

// GapChannel is a channel that lost events; Lost is nil when they can no
// longer be counted.
type GapChannel struct {
	Channel string  `json:"channel"`
	Lost    *uint64 `json:"lost"`
}

// Slow is sg.slow: the reader is over half of a limit.
type Slow struct {
	LagEvents uint64 `json:"lagEvents"`
	LagMs     int64  `json:"lagMs"`
	Policy    string `json:"policy"`
	LimitMs   int64  `json:"limitMs"`
}

// Drain is sg.drain: open a second connection, then drop this one.
type Drain struct {
	Reason  string `json:"reason"`
	InMs    int64  `json:"inMs"`
	CloseMs int64  `json:"closeMs"`
}

// Auth is sg.auth: the credential of the stream ends soon.
type Auth struct {
	ExpiresAt int64  `json:"expiresAt"` // milliseconds since 1970
	Renew     string `json:"renew"`     // how: RenewSession
}

// RenewSession is by a PATCH of the session with a new token.
const RenewSession = "session"

// FlagsChange is sg.flags: flags or the pace of reports changed, effective at
// once.
type FlagsChange struct {
	FlagsRevision int64           `json:"flagsRev"`
	Flags         map[string]bool `json:"flags"`
	BeaconMs      int64           `json:"beaconMs,omitempty"` // milliseconds between a page's reports
}

// End is sg.end: the last frame before an orderly close. RetryMs nil means do
// not come back.
type End struct {
	Reason  string `json:"reason"`
	Status  int    `json:"status"`
	RetryMs *int64 `json:"retryMs"`
	Detail  string `json:"detail,omitempty"`
}

// List is a slice that is [] in JSON when it is empty, never null. A plain
// slice can be assigned to it.
type List[T any] []T

// MarshalJSON writes the list.
func (l List[T]) MarshalJSON() ([]byte, error) {
	if len(l) == 0 {
		return []byte("[]"), nil
	}
	b := bytes.Buffer{}
	if err := encode(&b, []T(l)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// AppendControl appends the control event name with payload as its data, on
// one line. A zero at gives an event without id: the client's position stays.
// payload is one of the structs of this file; anything that cannot be JSON is
// our own mistake and panics.
func AppendControl(dst []byte, name string, at Cursor, payload any) []byte {
	if !at.IsZero() {
		dst = appendID(dst, at)
	}
	dst = append(dst, "event: "...)
	dst = append(dst, name...)
	dst = append(dst, "\ndata: "...)
	dst = AppendPayload(dst, payload)
	return append(dst, '\n', '\n')
}

// AppendPayload appends the JSON of a struct of this file.
func AppendPayload(dst []byte, payload any) []byte {
	if open, ok := payload.(*Open); ok {
		return appendOpen(dst, open)
	}
	b := bytes.NewBuffer(dst)
	if err := encode(b, payload); err != nil {
		panic(fmt.Sprintf("wire: control payload %T: %v", payload, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// encode leaves < > & as they are: patterns hold ">", and no HTML is made. It
// ends with a newline.
func encode(b *bytes.Buffer, v any) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encoding control payload: %w", err)
	}
	return nil
}
