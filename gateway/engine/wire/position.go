package wire

// Where says from which point of the log a subscriber wants to read.
type Where uint8

// The positions a subscriber can present.
const (
	Now       Where = iota // live from the head
	Earliest               // everything retained
	At                     // after Position.Cursor
	Malformed              // a Last-Event-ID that is no cursor of ours: reset
)

// Position is where a subscriber wants to start.
type Position struct {
	Where  Where
	Cursor Cursor // only with At
}

// ParsePosition reads the position of a stream request: the header
// Last-Event-ID and the parameter cursor (a cursor, "now", "earliest" or
// empty). A header that is not empty wins, since the URL of an EventSource is
// fixed when it is made. A malformed header gives Malformed, since it may come
// from another server once behind the same URL; a malformed parameter is the
// caller's mistake and gives an error that wraps ErrCursor.
func ParsePosition(header, parameter string) (Position, error) {
	if header != "" {
		c, err := ParseCursor(header)
		if err != nil {
			return Position{Where: Malformed}, nil
		}
		return Position{Where: At, Cursor: c}, nil
	}
	switch parameter {
	case "", "now":
		return Position{Where: Now}, nil
	case "earliest":
		return Position{Where: Earliest}, nil
	}
	c, err := ParseCursor(parameter)
	if err != nil {
		return Position{}, err
	}
	return Position{Where: At, Cursor: c}, nil
}
