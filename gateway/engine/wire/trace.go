package wire

import "encoding/hex"

// Trace is a W3C trace context: which trace an event belongs to, and the span
// that caused it. The zero value is none.
type Trace struct {
	ID      [16]byte
	Span    [8]byte
	Sampled bool
}

// traceparentBytes is the length of version 00: 00-<32>-<16>-<2>.
const traceparentBytes = 55

// ParseTrace reads a traceparent. What is malformed, or of a version that has
// another form, is none, as the specification asks.
func ParseTrace(text string) (t Trace) {
	if len(text) < traceparentBytes || text[2] != '-' || text[35] != '-' || text[52] != '-' || text[:2] == "ff" {
		return Trace{}
	}
	if text[:2] == "00" && len(text) > traceparentBytes || len(text) > traceparentBytes && text[traceparentBytes] != '-' {
		return Trace{}
	}
	var version, flags [1]byte
	ok := lowerHex(version[:], text[:2]) && lowerHex(t.ID[:], text[3:35]) && lowerHex(t.Span[:], text[36:52]) && lowerHex(flags[:], text[53:55])
	if !ok || t.ID == [16]byte{} || t.Span == [8]byte{} {
		return Trace{}
	}
	t.Sampled = flags[0]&1 == 1
	return t
}

// lowerHex reads digits, of which the specification allows the small ones only.
func lowerHex(into []byte, text string) bool {
	for _, c := range []byte(text) {
		if 'A' <= c && c <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(into, []byte(text))
	return err == nil
}

// IsZero tells that there is none.
func (t Trace) IsZero() bool { return t.ID == [16]byte{} }

// String is the traceparent; "" for none.
func (t Trace) String() string {
	if t.IsZero() {
		return ""
	}
	return string(t.append(nil))
}

func (t Trace) append(dst []byte) []byte {
	dst = append(dst, "00-"...)
	dst = hex.AppendEncode(dst, t.ID[:])
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, t.Span[:])
	if t.Sampled {
		return append(dst, "-01"...)
	}
	return append(dst, "-00"...)
}
