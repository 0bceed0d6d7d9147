package wire

import (
	"bytes"
	"slices"
	"strconv"
)

// MaxArray is how many elements one frame of format Array holds at most.
const MaxArray = 100

// padBytes and the two line ends make up the comment that pushes small bodies
// through proxies which hold them back.
const padBytes = 2046

// AppendFrame appends the frames of a batch, in order. epoch is that of the
// log the elements are from; with an empty one the frames have no id, so that
// the client's position stays. It allocates nothing when dst is big enough.
func AppendFrame(dst []byte, format Format, epoch string, batch ...Element) []byte {
	if format == Array {
		for len(batch) > 0 {
			n := min(len(batch), MaxArray)
			dst = appendArray(dst, epoch, batch[:n])
			batch = batch[n:]
		}
		return dst
	}
	for i := range batch {
		e := &batch[i]
		if epoch != "" {
			dst = appendID(dst, Cursor{epoch, e.Seq})
		}
		if format == Envelope {
			dst = append(dst, "data: "...)
			dst = append(dst, e.JSON...)
			dst = append(dst, '\n', '\n')
			continue
		}
		dst = appendPlain(dst, format, e)
	}
	return dst
}

func appendArray(dst []byte, epoch string, batch []Element) []byte {
	if epoch != "" {
		dst = appendID(dst, Cursor{epoch, batch[len(batch)-1].Seq})
	}
	dst = append(dst, "data: "...)
	dst = AppendElements(dst, batch)
	return append(dst, '\n', '\n')
}

func appendPlain(dst []byte, format Format, e *Element) []byte {
	if format == Typed && len(e.Type) > 0 {
		dst = append(dst, "event: "...)
		dst = appendName(dst, e.Type)
		dst = append(dst, '\n')
	}
	dst = append(dst, "sg: "...)
	dst = append(dst, Unqualified(e.Channel)...)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, e.Time, 10)
	if e.Kind == Binary {
		dst = append(dst, " b64"...)
	}
	if e.Parts > 0 {
		dst = append(dst, " c="...)
		dst = strconv.AppendInt(dst, int64(e.Parts), 10)
	}
	dst = append(dst, "\ndata: "...)
	switch e.Kind {
	case Text:
		dst = appendText(dst, e.Data[1:len(e.Data)-1])
	case Binary:
		dst = append(dst, e.Data[1:len(e.Data)-1]...)
	default:
		dst = append(dst, e.Data...)
	}
	return append(dst, '\n', '\n')
}

// appendName appends an escaped event type as text of one line. Publish
// decoding refuses control bytes; leaving them out here as well makes it plain
// that no type can end its line.
func appendName(dst, escaped []byte) []byte {
	for i := 0; i < len(escaped); {
		if escaped[i] != '\\' {
			dst = append(dst, escaped[i])
			i++
			continue
		}
		b, size := unescapeAt(escaped[i:])
		if b >= ' ' {
			dst = append(dst, b)
		}
		i += size
	}
	return dst
}

// appendText appends an escaped text, with a new data line for every CR, LF or
// CR LF in it: those are the line ends of an SSE parser.
func appendText(dst, escaped []byte) []byte {
	for len(escaped) > 0 {
		i := bytes.IndexByte(escaped, '\\')
		if i < 0 {
			return append(dst, escaped...)
		}
		dst = append(dst, escaped[:i]...)
		b, size := unescapeAt(escaped[i:])
		escaped = escaped[i+size:]
		switch b {
		case '\r':
			escaped = bytes.TrimPrefix(escaped, []byte(`\n`))
			dst = append(dst, "\ndata: "...)
		case '\n':
			dst = append(dst, "\ndata: "...)
		default:
			dst = append(dst, b)
		}
	}
	return dst
}

func appendID(dst []byte, c Cursor) []byte {
	dst = append(dst, "id: "...)
	dst = c.append(dst)
	return append(dst, '\n')
}

// AppendCheckpoint appends the event that nobody listens to and that moves a
// quiet client's cursor to c. It is no bare id, because not all browsers keep
// the id of a block without data.
func AppendCheckpoint(dst []byte, c Cursor) []byte {
	dst = appendID(dst, c)
	return append(dst, "event: sg.cp\ndata:\n\n"...)
}

// AppendHeartbeat appends a heartbeat with the server's time and a checkpoint
// of c; a zero c leaves the checkpoint out, as while a replay is running.
func AppendHeartbeat(dst []byte, nowMilliseconds int64, c Cursor) []byte {
	dst = append(dst, ": hb "...)
	dst = strconv.AppendInt(dst, nowMilliseconds, 10)
	dst = append(dst, '\n')
	if c.IsZero() {
		return append(dst, '\n')
	}
	return AppendCheckpoint(dst, c)
}

// AppendRetry appends the time after which a plain client comes back.
func AppendRetry(dst []byte, retryMilliseconds int64) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, retryMilliseconds, 10)
	return append(dst, '\n', '\n')
}

// AppendPad appends a comment of 2 KiB.
func AppendPad(dst []byte) []byte {
	dst = append(dst, ':')
	for range padBytes {
		dst = append(dst, ' ')
	}
	return append(dst, '\n', '\n')
}

// preambleBytes is about what a preamble takes with a few channels, and
// sg.caught-up behind it.
const preambleBytes = 640

// AppendPreamble appends what every stream begins with: retry and sg.open.
func AppendPreamble(dst []byte, retryMilliseconds int64, open *Open) []byte {
	dst = slices.Grow(dst, preambleBytes)
	return AppendControl(AppendRetry(dst, retryMilliseconds), ControlOpen, Cursor{}, open)
}
