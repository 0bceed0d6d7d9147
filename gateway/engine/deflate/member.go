package deflate

import (
	"encoding/binary"
	"hash/crc32"
)

// Member is the gzip member of one connection: what it must remember of all
// that it was sent.
//
// A member that gets piece after piece of one output costs nothing for its
// checksum: it is the output's own, from where the member's row began, and is
// worked out when the row ends.
type Member struct {
	sum   uint32 // of all that was sent before the row
	size  uint32 // bytes sent before the row, modulo 2^32
	begun bool

	row row
}

// row is the pieces of one output that a member has had without anything in
// between.
type row struct {
	output       *Output // nil = there is no row
	from, to     uint64  // bytes of the output
	sumAt, sumTo uint32  // checksums of the output there
}

// Private appends, to dst, a text for this member alone. It is stored, and no
// piece that follows refers to it.
func (m *Member) Private(dst, text []byte) []byte {
	m.count(text)
	return appendStored(m.begin(dst), text)
}

// Next gives the bytes, shared with other members, that a piece is for this
// one. Something private comes before the first piece.
func (m *Member) Next(p *Piece, e *Encoder) []byte {
	if !m.begun {
		panic("deflate: a member begins with a piece")
	}
	if p.output == nil {
		m.count(p.text)
		return p.form(nothing, e)
	}
	if m.row.output != p.output || m.row.to != p.start {
		m.endRow()
		m.row = row{output: p.output, from: p.start, sumAt: p.before}
	}
	m.row.to, m.row.sumTo = p.start+uint64(len(p.text)), p.after
	return p.form(p.reach(m.row.from), e)
}

// End appends what completes the member: an empty last block, checksum and
// length. Nothing may follow.
func (m *Member) End(dst []byte) []byte {
	m.endRow()
	dst = append(m.begin(dst), 1, 0, 0, 0xff, 0xff)
	dst = binary.LittleEndian.AppendUint32(dst, m.sum)
	return binary.LittleEndian.AppendUint32(dst, m.size)
}

// begin appends the header in front of everything else: deflate, no name, no
// time, unknown system.
func (m *Member) begin(dst []byte) []byte {
	if m.begun {
		return dst
	}
	m.begun = true
	return append(dst, 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff)
}

// count takes in a text that is no part of a row.
func (m *Member) count(text []byte) {
	m.endRow()
	m.sum = crc32.Update(m.sum, crc32.IEEETable, text)
	m.size += uint32(len(text))
}

// endRow takes in the row: sum(before+row) = shift(sum(before), row) ^ sum(row),
// and the row's own sum follows from the output's by the same law.
func (m *Member) endRow() {
	r := &m.row
	if r.output == nil {
		return
	}
	n := r.to - r.from
	m.sum = shift(m.sum^r.sumAt, n) ^ r.sumTo
	m.size += uint32(n)
	m.row = row{}
}
