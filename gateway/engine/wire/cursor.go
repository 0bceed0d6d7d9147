package wire

import (
	"errors"
	"fmt"
	"strconv"
)

// MaxSeq is the greatest sequence number: JSON numbers are exact up to it.
const MaxSeq = 1<<53 - 1

const (
	minEpochBytes = 4
	maxEpochBytes = 16
	maxSeqDigits  = 16
)

// ErrCursor is wrapped by every error of ParseCursor and ParsePosition.
var ErrCursor = errors.New("malformed cursor")

// Cursor is a position in one incarnation of the log: everything of Epoch up
// to and including Seq is behind the reader. Seq 0 is the start. The zero
// Cursor is no position.
type Cursor struct {
	Epoch string // 4..16 lower-case letters and digits
	Seq   uint64 // 0..MaxSeq
}

// IsZero tells whether c is no position at all.
func (c Cursor) IsZero() bool { return c.Epoch == "" }

// String gives the form that clients see, as in k3f9x2.1041.
func (c Cursor) String() string {
	return string(c.append(make([]byte, 0, maxEpochBytes+1+maxSeqDigits)))
}

// AppendText appends the form that clients see; it never fails.
func (c Cursor) AppendText(b []byte) ([]byte, error) { return c.append(b), nil }

func (c Cursor) append(b []byte) []byte {
	b = append(b, c.Epoch...)
	b = append(b, '.')
	return strconv.AppendUint(b, c.Seq, 10)
}

// ParseCursor reads a cursor. There is one spelling for each cursor: no sign,
// no leading zero, no space. The error wraps ErrCursor.
func ParseCursor(s string) (Cursor, error) {
	dot := 0
	for dot < len(s) && isEpochByte(s[dot]) {
		dot++
	}
	if dot < minEpochBytes || dot > maxEpochBytes || dot == len(s) || s[dot] != '.' {
		return Cursor{}, fmt.Errorf("%w: epoch must be 4 to 16 of a-z 0-9, then a dot", ErrCursor)
	}
	digits := s[dot+1:]
	if digits == "" || len(digits) > maxSeqDigits || (digits[0] == '0' && digits != "0") {
		return Cursor{}, fmt.Errorf("%w: seq must be 0 or 1 to 16 digits without a leading zero", ErrCursor)
	}
	var seq uint64
	for i := range len(digits) {
		d := digits[i]
		if d < '0' || d > '9' {
			return Cursor{}, fmt.Errorf("%w: seq must be digits", ErrCursor)
		}
		seq = seq*10 + uint64(d-'0')
	}
	if seq > MaxSeq {
		return Cursor{}, fmt.Errorf("%w: seq must be below 2^53", ErrCursor)
	}
	return Cursor{Epoch: s[:dot], Seq: seq}, nil
}

// IsEpoch tells whether s can be the epoch of a cursor.
func IsEpoch(s string) bool {
	for i := range len(s) {
		if !isEpochByte(s[i]) {
			return false
		}
	}
	return len(s) >= minEpochBytes && len(s) <= maxEpochBytes
}

func isEpochByte(b byte) bool { return 'a' <= b && b <= 'z' || '0' <= b && b <= '9' }
