package wire

import (
	"errors"
	"fmt"
	"strings"
)

const (
	maxNameBytes    = 200
	maxSegments     = 12
	maxSegmentBytes = 64
)

// ErrChannel is wrapped by every error about a channel name or pattern.
var ErrChannel = errors.New("invalid channel")

// CheckChannel tells what is wrong with a channel name: 1..200 bytes, at most
// 12 segments parted by dots, each 1..64 of letters, digits and _ - : @. The
// error wraps ErrChannel.
func CheckChannel(name string) error {
	return checkName(name, func(seg string, _ bool) error { return checkSegment(seg) })
}

// checkName walks the segments of a channel name or a pattern.
func checkName(name string, check func(seg string, last bool) error) error {
	if name == "" || len(name) > maxNameBytes {
		return fmt.Errorf("%w: must have 1 to %d bytes, has %d", ErrChannel, maxNameBytes, len(name))
	}
	if n := strings.Count(name, ".") + 1; n > maxSegments {
		return fmt.Errorf("%w: must have at most %d segments, has %d", ErrChannel, maxSegments, n)
	}
	for {
		seg, rest, more := strings.Cut(name, ".")
		if err := check(seg, !more); err != nil {
			return err
		}
		if !more {
			return nil
		}
		name = rest
	}
}

func checkSegment(seg string) error {
	if seg == "" || len(seg) > maxSegmentBytes {
		return fmt.Errorf("%w: a segment must have 1 to %d bytes, has %d", ErrChannel, maxSegmentBytes, len(seg))
	}
	for i := range len(seg) {
		if !isSegmentByte(seg[i]) {
			return fmt.Errorf("%w: a segment may hold letters, digits and _ - : @, not %q", ErrChannel, seg[i])
		}
	}
	return nil
}

func isSegmentByte(b byte) bool {
	switch {
	case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9':
		return true
	}
	return b == '_' || b == '-' || b == ':' || b == '@'
}
