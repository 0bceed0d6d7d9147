//go:build linux

package load

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Every event begins with its time of sending and its number, both of fixed
// width, so that a reader finds them in any server's stream without knowing
// the frame around them:
//
//	{"at":1795478400123456789,"n":1000000042,"kind":…
const (
	marker     = `{"at":`
	between    = `,"n":`
	timeDigits = 19
	numDigits  = 10
	stampBytes = len(marker) + timeDigits + len(between) + numDigits
	firstNum   = 1_000_000_000 // so that numbers have numDigits digits
)

// Mix makes the data of events: orders, prices and chat messages in turn, as
// an application would send them, about 190 bytes each. It is not safe for
// concurrent use where Append is; Append only reads.
type Mix struct{ tails [][]byte }

const variants = 96 // of what follows the stamp

// NewMix makes the variants, drawn from r.
func NewMix(r *rand.Rand) *Mix {
	m := &Mix{}
	words := []string{"ship", "late", "today", "invoice", "please", "check", "the", "second", "item", "again", "thanks", "margin", "before", "noon", "room", "call"}
	for i := range variants {
		var tail string
		switch i % 3 {
		case 0:
			tail = fmt.Sprintf(`,"kind":"order","order":"ord-%08x","customer":"c-%06d","amount":%d,"currency":"EUR","items":[{"sku":"%s-%04d","qty":%d}],"status":"paid"}`,
				r.Uint32(), r.IntN(1_000_000), r.IntN(500_000), words[r.IntN(len(words))], r.IntN(10_000), 1+r.IntN(9))
		case 1:
			tail = fmt.Sprintf(`,"kind":"price","symbol":"%c%c%c","bid":%d.%04d,"ask":%d.%04d,"size":%d,"venue":"XETR","change":-0.%04d,"volume":%d,"open":true}`,
				'A'+r.IntN(26), 'A'+r.IntN(26), 'A'+r.IntN(26), r.IntN(900), r.IntN(10_000), r.IntN(900), r.IntN(10_000), r.IntN(5000), r.IntN(10_000), r.IntN(10_000_000))
		default:
			var text []string
			for range 9 + r.IntN(6) {
				text = append(text, words[r.IntN(len(words))])
			}
			tail = fmt.Sprintf(`,"kind":"chat","room":"r-%04d","from":"u-%05d","text":"%s"}`, r.IntN(10_000), r.IntN(100_000), strings.Join(text, " "))
		}
		m.tails = append(m.tails, []byte(tail))
	}
	return m
}

// Append writes event number n, sent at the given time in nanoseconds since
// 1970, to dst.
func (m *Mix) Append(dst []byte, n uint64, at int64) []byte {
	return append(appendStamp(dst, n, at), m.tails[n%variants]...)
}

// AppendSized is Append with as much more text as makes the event size bytes
// long; a size below that of the stamp gives the shortest event.
func AppendSized(dst []byte, n uint64, at int64, size int) []byte {
	dst = appendStamp(dst, n, at)
	const head, foot = `,"text":"`, `"}`
	dst = append(dst, head...)
	for range size - stampBytes - len(head) - len(foot) {
		dst = append(dst, 'a'+byte(n%26))
	}
	return append(dst, foot...)
}

func appendStamp(dst []byte, n uint64, at int64) []byte {
	dst = append(dst, marker...)
	dst = strconv.AppendInt(dst, at, 10)
	dst = append(dst, between...)
	return strconv.AppendUint(dst, firstNum+n, 10)
}

// stamp is what was read back.
type stamp struct {
	at int64 // ns since 1970
	n  uint64
}

// readStamp reads the stamp that b, of stampBytes or more, begins with.
func readStamp(b []byte) stamp {
	at := digits(b[len(marker) : len(marker)+timeDigits])
	n := digits(b[len(marker)+timeDigits+len(between) : stampBytes])
	return stamp{int64(at), n - firstNum}
}

func digits(b []byte) (v uint64) {
	for _, c := range b {
		v = v*10 + uint64(c-'0')
	}
	return v
}
