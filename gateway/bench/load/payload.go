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
// an application would send them, about 230 bytes each, with as much in them
// that no compressor can foresee (ids, amounts) as such events have. It is not
// safe for concurrent use where Append is; Append only reads.
type Mix struct{ tails [][]byte }

// variants is how many events have different text behind the stamp: more than
// any compressor remembers.
const variants = 999

const vocabulary = `ship late today invoice please check the second item again thanks margin before noon room call we can
you send it over when is a good time for this customer asked about their order number and wants to know if delivery
tomorrow works with them or should I move things around no problem let me look into that first great see meeting at lunch friday
monday afternoon warehouse truck driver called twice nobody answered parcel came back address wrong street number missing
discount already applied refund sent bank takes three days price changed last night supplier raised cost per unit offer
still valid until end of month contract draft attached comments welcome legal wants new clause page four budget approved
team grows by two people next quarter server restarted fine graphs look normal alert was noise keep watching latency up
after deploy rolled back found cause cache cold wrote test merged branch release notes done thank everyone coffee machine
broken again plumber arrives around ten bring laptop demo starts sharp client loves design asks only smaller logo blue`

// NewMix makes the variants, drawn from r.
func NewMix(r *rand.Rand) *Mix {
	m, words := &Mix{}, strings.Fields(vocabulary)
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	for i := range variants {
		var tail string
		switch i % 3 {
		case 0:
			tail = fmt.Sprintf(`,"orderId":"%08x-%04x-4%03x-%04x","status":"%s","customerId":%d,"total":{"amount":%d,"currency":"%s"},"items":[{"sku":"%08x","qty":%d}],"ref":"%012x"}`,
				r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<16), one("created", "paid", "packed", "shipped", "delivered"), 100_000+r.IntN(900_000),
				r.IntN(100_000), one("EUR", "USD", "GBP"), r.Uint32(), 1+r.IntN(9), r.Uint64()>>16)
		case 1:
			p := 50 + r.Float64()*500
			tail = fmt.Sprintf(`,"symbol":"%c%c%c%c","bid":%.4f,"ask":%.4f,"last":%.4f,"bidSize":%d,"askSize":%d,"volume":%d,"change":%.3f,"high":%.2f,"low":%.2f,"venue":"%s"}`,
				'A'+r.IntN(26), 'A'+r.IntN(26), 'A'+r.IntN(26), 'A'+r.IntN(26), p, p+r.Float64(), p-r.Float64(), r.IntN(10_000), r.IntN(10_000), r.IntN(10_000_000),
				r.Float64()*4-2, p*1.05, p*0.96, one("XETR", "XNAS", "XLON", "XPAR"))
		default:
			var text []string
			for range 12 + r.IntN(12) {
				text = append(text, words[r.IntN(len(words))])
			}
			tail = fmt.Sprintf(`,"room":"r-%04d","from":{"id":"u-%05d","name":"%s"},"message":"%016x","text":"%s"}`,
				r.IntN(10_000), r.IntN(100_000), one(words...), r.Uint64(), strings.Join(text, " "))
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
