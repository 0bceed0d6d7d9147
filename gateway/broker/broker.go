// Package broker is the seam between the gateway and the place where events
// get their order and their durability: the Log interface, its errors, and
// what an acknowledgement may claim.
//
// It knows records, not subscribers: nothing here fans out, batches or replays
// to clients. gateway/server picks an implementation (a folder beside this
// file), hands the publish endpoint its Append and the engine its Tail. Every
// implementation passes the one suite in brokertest.
package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Log is one totally ordered sequence of events.
type Log interface {
	// Info says what the log is and what it holds now.
	Info(ctx context.Context) (Info, error)

	// Append adds events in the order of the request and returns when the
	// durability of the results is reached. On an error the results are those
	// of the accepted prefix; with ErrDurability and *MismatchError that is
	// empty. Events that the log knows by channel, source and id are not added
	// again; their result is the first one's. A request without events adds
	// nothing and tells whether the log takes any.
	Append(ctx context.Context, events []wire.Event, o AppendOptions) ([]AppendResult, error)

	// Tail calls sink with every record after a position, strictly ascending
	// and without holes, until ctx ends or sink fails; it returns that error.
	// sink must not keep the slice, and must not call the log. There is one
	// Tail at a time.
	Tail(ctx context.Context, after uint64, sink func([]wire.Record) error) error

	// Read returns up to limit records after a position, oldest first, and
	// whether there are more. The error is *EvictedError when the first of
	// them is gone.
	Read(ctx context.Context, after uint64, limit int) (records []wire.Record, more bool, err error)

	// Evicted returns the newest sequence number of channel that Read no longer
	// gives; known is false when the log cannot tell.
	Evicted(ctx context.Context, channel string) (seq uint64, known bool, err error)

	// Close ends the log: Tail returns ErrClosed, and so does all that follows.
	Close() error
}

// Info describes a log.
type Info struct {
	Epoch      string     // this incarnation; cursors of another one mean nothing
	First      uint64     // oldest record that Read gives; Tail+1 when there is none
	Tail       uint64     // newest sequence number; 0 = nothing appended yet
	Durability Durability // what Append waits for
	Copies     int        // processes that hold an acknowledged event
	Contiguous bool       // sequence numbers have no holes
}

// AppendOptions is what a publisher demands.
type AppendOptions struct {
	// RequireDurability refuses the whole request with ErrDurability when the
	// log cannot reach it. The zero value demands nothing.
	RequireDurability Durability
}

// AppendResult is the fact about one event that an acknowledgement states.
type AppendResult struct {
	Seq        uint64
	Time       int64 // milliseconds since 1970
	Duplicate  bool  // Seq and Time are those of the first one
	Durability Durability
	Copies     int
}

// Durability is where an acknowledged event is, weakest first.
type Durability uint8

// The durabilities.
const (
	Memory Durability = iota // in the memory of Copies processes
	Quorum                   // a consensus majority holds it
	Fsync                    // synced to disk wherever it could be taken over from
)

// String gives the word of the protocol.
func (d Durability) String() string {
	switch d {
	case Quorum:
		return "quorum"
	case Fsync:
		return "fsync"
	}
	return "memory"
}

// ParseDurability reads the word of the protocol.
func ParseDurability(s string) (Durability, error) {
	switch s {
	case "memory":
		return Memory, nil
	case "quorum":
		return Quorum, nil
	case "fsync":
		return Fsync, nil
	}
	return 0, fmt.Errorf("parsing durability: must be memory, quorum or fsync, not %.40q", s)
}

// Errors that a caller branches on, besides EvictedError and MismatchError.
var (
	ErrClosed      = errors.New("log closed")
	ErrUnavailable = errors.New("log unavailable") // try again; the outcome of an Append is unknown
	ErrDurability  = errors.New("durability unavailable")
	// ErrEpoch ends a Tail: the log has begun anew, under another Info.Epoch, or
	// has to.
	ErrEpoch = errors.New("log has begun anew")
)

// EvictedError tells that records before First are gone.
type EvictedError struct{ First uint64 }

// Error says from where on the log can be read.
func (e *EvictedError) Error() string { return fmt.Sprintf("records before %d are gone", e.First) }

// MismatchError tells that the event at Index has the key of an earlier event
// and another payload. Nothing of the request was added.
type MismatchError struct{ Index int }

// Error says which event it is.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("event %d repeats the key of an earlier event with another payload", e.Index)
}
