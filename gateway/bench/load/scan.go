//go:build linux

package load

import "bytes"

// scanner finds stamps in a stream that arrives in pieces cut anywhere. It
// keeps at most the beginning of one stamp between two pieces.
type scanner struct {
	carry [stampBytes]byte
	kept  uint8 // bytes of carry in use
}

// scan calls found for every stamp that ends in piece, in order.
func (s *scanner) scan(piece []byte, found func(stamp)) {
	if s.kept > 0 {
		piece = s.join(piece, found)
	}
	for {
		i := bytes.Index(piece, []byte(marker))
		if i < 0 {
			break
		}
		if len(piece)-i < stampBytes {
			s.keep(piece[i:])
			return
		}
		found(readStamp(piece[i:]))
		piece = piece[i+stampBytes:]
	}
	s.keepStart(piece)
}

// join looks for a stamp that began in an earlier piece, and returns what of
// this piece is still to be scanned.
func (s *scanner) join(piece []byte, found func(stamp)) []byte {
	var both [2 * stampBytes]byte
	kept := int(s.kept)
	n := copy(both[:], s.carry[:kept])
	n += copy(both[n:], piece[:min(len(piece), stampBytes)])
	s.kept = 0
	i := bytes.Index(both[:n], []byte(marker))
	switch {
	case i >= 0 && i < kept && n-i >= stampBytes:
		found(readStamp(both[i:n]))
		return piece[i+stampBytes-kept:]
	case i >= 0 && i < kept:
		s.keep(both[i:n]) // the piece was shorter than the rest of the stamp
		return nil
	case n < len(marker):
		s.keepStart(both[:n])
		return nil
	}
	return piece
}

func (s *scanner) keep(b []byte) { s.kept = uint8(copy(s.carry[:], b)) }

// keepStart keeps the end of b when a marker may have begun there.
func (s *scanner) keepStart(b []byte) {
	for size := min(len(b), len(marker)-1); size > 0; size-- {
		if tail := b[len(b)-size:]; bytes.HasPrefix([]byte(marker), tail) {
			s.keep(tail)
			return
		}
	}
}
