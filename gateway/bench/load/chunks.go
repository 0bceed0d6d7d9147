//go:build linux

package load

import "errors"

// chunks takes the chunked transfer coding off a body that arrives in pieces.
type chunks struct {
	left  int // bytes of the open chunk that are still to come
	phase phase
}

type phase uint8

const (
	inSize  phase = iota // hexadecimal digits
	inLine               // rest of the size line
	inData               // left bytes of data
	inEnd                // CR LF behind the data
	inFinal              // behind the last chunk
)

var errChunk = errors.New("not a chunked body")

const maxChunk = 1 << 30 // bytes; more is a broken stream

// next gives the next run of data in b, and what follows it; data is empty
// when b holds none any more.
func (c *chunks) next(b []byte) (data, rest []byte, err error) {
	for len(b) > 0 {
		switch c.phase {
		case inSize:
			v, ok := hex(b[0])
			switch {
			case ok && c.left < maxChunk:
				c.left = c.left<<4 | v
			case ok || (b[0] != '\r' && b[0] != ';'):
				return nil, nil, errChunk
			default:
				c.phase = inLine
			}
			b = b[1:]
		case inLine:
			if b[0] == '\n' {
				c.phase = inData
				if c.left == 0 {
					c.phase = inFinal
				}
			}
			b = b[1:]
		case inData:
			n := min(c.left, len(b))
			if c.left -= n; c.left == 0 {
				c.phase = inEnd
			}
			return b[:n], b[n:], nil
		case inEnd:
			if b[0] == '\n' {
				c.phase = inSize
			}
			b = b[1:]
		case inFinal:
			return nil, nil, nil // trailers say nothing here
		}
	}
	return nil, nil, nil
}

func hex(c byte) (int, bool) {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0'), true
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10, true
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10, true
	}
	return 0, false
}
