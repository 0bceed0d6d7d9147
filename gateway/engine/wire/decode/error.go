package decode

import "fmt"

// Kind says what is wrong with a request; its values are the problem types of
// the protocol.
type Kind string

// The kinds.
const (
	InvalidJSON          Kind = "invalid-json"
	InvalidEvent         Kind = "invalid-event"
	InvalidChannel       Kind = "invalid-channel"
	InvalidParameter     Kind = "invalid-parameter"
	EventTooLarge        Kind = "event-too-large"
	BatchTooLarge        Kind = "batch-too-large"
	UnsupportedMediaType Kind = "unsupported-media-type"
)

// maxItems bounds how many bad events one answer lists.
const maxItems = 100

// Error refuses a whole request.
type Error struct {
	// Kind is that of the first bad event, or of the request as a whole.
	Kind   Kind
	Detail string
	// Parameter names the header or parameter; only with InvalidParameter.
	Parameter string
	// Items lists the bad events, the first hundred of them; empty when the
	// request as a whole is at fault.
	Items []Item
}

// Item is what is wrong with one event.
type Item struct {
	Index  int    `json:"index"` // counted from 0 in the order of the request
	Detail string `json:"detail"`
}

// Error gives the kind and the detail.
func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Kind, e.Detail) }

// fault is what is wrong with the event being read.
type fault struct {
	kind   Kind
	detail string
}

// faults gathers what is wrong with the events of one request.
type faults struct {
	kind  Kind
	items []Item
}

func (f *faults) add(index int, bad *fault) {
	if f.kind == "" {
		f.kind = bad.kind
	}
	if len(f.items) < maxItems {
		f.items = append(f.items, Item{Index: index, Detail: bad.detail})
	}
}

// err gives nil when nothing is wrong.
func (f *faults) err() error {
	if f.kind == "" {
		return nil
	}
	first := f.items[0]
	return &Error{Kind: f.kind, Detail: fmt.Sprintf("event %d: %s", first.Index, first.Detail), Items: f.items}
}
