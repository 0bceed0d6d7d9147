package report

import "math"

// Histogram buckets: bucket i counts values in (bound(i-1), bound(i)] with
// bound(i) = firstBound × growth^i, the last one everything above. 2^(1/4) apart,
// so that a quantile read off a bucket is at most 19 % too high.
const (
	firstBound = 0.0005 // seconds
	buckets    = 72     // last bound ≈ 110 s
)

// Histogram holds counts by bucket, in seconds. Sums of histograms are the
// histogram of all their values: percentiles are read off the sum and never
// averaged.
type Histogram struct {
	Counts []uint64 `json:"counts,omitempty"` // trailing zeros left out
	Sum    float64  `json:"sumSeconds"`
}

// Buckets is the number of buckets.
const Buckets = buckets

// Bucket is the index of the bucket that counts a value of this many seconds.
func Bucket(seconds float64) int {
	if seconds <= firstBound {
		return 0
	}
	return min(int(math.Ceil(4*math.Log2(seconds/firstBound)-1e-9)), buckets-1)
}

// Bound is the upper bound of bucket i in seconds.
func Bound(i int) float64 { return firstBound * math.Exp2(float64(i)/4) }

// Count is the number of values.
func (h Histogram) Count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Add is the histogram of the values of both.
func (h Histogram) Add(o Histogram) Histogram {
	sum := Histogram{Counts: make([]uint64, max(len(h.Counts), len(o.Counts))), Sum: h.Sum + o.Sum}
	copy(sum.Counts, h.Counts)
	for i, c := range o.Counts {
		sum.Counts[i] += c
	}
	return sum
}

// Since is the histogram of the values that came after the older one was
// taken. A counter that went back (a restarted pod) counts from zero.
func (h Histogram) Since(older Histogram) Histogram {
	d := Histogram{Counts: append([]uint64(nil), h.Counts...), Sum: h.Sum - older.Sum}
	for i, c := range older.Counts {
		if i >= len(d.Counts) || d.Counts[i] < c {
			return h
		}
		d.Counts[i] -= c
	}
	return d
}

// Below is the histogram without its n greatest values.
func (h Histogram) Below(n uint64) Histogram {
	rest := Histogram{Counts: append([]uint64(nil), h.Counts...), Sum: h.Sum}
	for i := len(rest.Counts) - 1; i >= 0 && n > 0; i-- {
		gone := min(n, rest.Counts[i])
		rest.Counts[i] -= gone
		n -= gone
		rest.Sum -= float64(gone) * Bound(i)
	}
	rest.Sum = max(rest.Sum, 0)
	return rest
}

// From counts the values from so many seconds on, and those that share their
// bucket.
func (h Histogram) From(seconds float64) (n uint64) {
	for _, c := range h.Counts[min(Bucket(seconds), len(h.Counts)):] {
		n += c
	}
	return n
}

// Quantile is the value, in seconds, that a share q (0..1) of all values does
// not exceed, interpolated inside its bucket; 0 when there are no values.
func (h Histogram) Quantile(q float64) float64 {
	n := h.Count()
	if n == 0 {
		return 0
	}
	rank := max(q*float64(n), 1)
	var below float64
	for i, c := range h.Counts {
		if c > 0 && below+float64(c) >= rank {
			low := 0.0
			if i > 0 {
				low = Bound(i - 1)
			}
			return low + (Bound(i)-low)*(rank-below)/float64(c)
		}
		below += float64(c)
	}
	return Bound(buckets - 1)
}
