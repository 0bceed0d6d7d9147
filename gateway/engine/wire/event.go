package wire

// DataKind says what the bytes of Event.Data are.
type DataKind uint8

// The kinds of data.
const (
	JSON   DataKind = iota // one JSON value in UTF-8; empty means null
	Text                   // UTF-8 text
	Binary                 // any bytes; base64 on the wire
)

// Event is what a publisher wrote. It is immutable once it is appended.
type Event struct {
	Channel string // in the log with its tenant
	// ID is unique within Source. Empty means that the publisher gave none:
	// then nothing is deduplicated and the event's cursor serves as its id.
	ID     string
	Type   string // empty = none
	Source string // scope of ID; not sent to subscribers
	Data   []byte
	Kind   DataKind
	Time   int64 // milliseconds since 1970; 0 = the log sets it
	Flush  bool  // close the batching window at once
	// Coalesce says whether neighbours in the channel with the same Key may be
	// delivered as one event. Key has at most 255 bytes.
	Coalesce Coalescing
	Key      string
	// Trace is sent to subscribers when it is sampled.
	Trace Trace
}

// EventID is the id that subscribers and the ack show for the event at c.
func (e *Event) EventID(c Cursor) string {
	if e.ID != "" {
		return e.ID
	}
	return c.String()
}

// Record is an event with its place in the log. Time is always set.
type Record struct {
	Event
	Seq uint64
}
