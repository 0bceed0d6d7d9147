package report

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// of counts values as a pod does.
func of(seconds []float64) (h Histogram) {
	for _, v := range seconds {
		b := Bucket(v)
		for len(h.Counts) <= b {
			h.Counts = append(h.Counts, 0)
		}
		h.Counts[b]++
		h.Sum += v
	}
	return h
}

func TestEveryValueLiesWithinTheBoundsOfItsBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Float64Range(0, 200).Draw(t, "seconds")
		b := Bucket(v)
		if b < 0 || b >= Buckets {
			t.Fatalf("bucket %d", b)
		}
		const slack = 1 + 1e-9 // a value on a bound may be rounded to either side
		if b < Buckets-1 && v > Bound(b)*slack || b > 0 && v < Bound(b-1)/slack {
			t.Fatalf("%v is in bucket %d, up to %v", v, b, Bound(b))
		}
	})
	for i := range Buckets - 1 {
		if got := Bucket(Bound(i)); got != i {
			t.Errorf("the bound of bucket %d falls into %d", i, got)
		}
	}
}

func TestAQuantileIsAtMostOneBucketOff(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		values := make([]float64, 1+random.IntN(3000))
		for i := range values {
			values[i] = math.Exp(random.NormFloat64()*1.5 - 4) // around 18 ms
		}
		h := of(values)
		slices.Sort(values)
		for _, q := range []float64{0.5, 0.95, 0.99, 1} {
			exact := values[max(int(math.Ceil(q*float64(len(values))))-1, 0)]
			if got := h.Quantile(q); Bucket(got)-Bucket(exact) > 1 || Bucket(exact)-Bucket(got) > 1 {
				t.Errorf("q%v of %d values: %v, exactly %v", q, len(values), got, exact)
			}
		}
	}
	if got := (Histogram{}).Quantile(0.99); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

// Percentiles of a fleet come from the sum of its pods' histograms: it must be
// the histogram of all values, whoever counted them.
func TestTheSumOfHistogramsIsThatOfAllValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOf(rapid.Float64Range(0, 60))
		a, b := values.Draw(t, "a"), values.Draw(t, "b")
		sum, all := of(a).Add(of(b)), of(slices.Concat(a, b))
		if !slices.Equal(sum.Counts, all.Counts) || math.Abs(sum.Sum-all.Sum) > 1e-6 || sum.Count() != uint64(len(a)+len(b)) {
			t.Fatalf("%v and %v: %+v, not %+v", a, b, sum, all)
		}
		for _, q := range []float64{0.5, 0.99} {
			if sum.Quantile(q) != all.Quantile(q) {
				t.Fatalf("q%v: %v, not %v", q, sum.Quantile(q), all.Quantile(q))
			}
		}
	})
}

func TestSinceHoldsWhatCameLater(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOf(rapid.Float64Range(0, 60))
		before, later := values.Draw(t, "before"), values.Draw(t, "later")
		old := of(before)
		now := old.Add(of(later))
		d, want := now.Since(old), of(later)
		for i := range d.Counts {
			wanted := uint64(0)
			if i < len(want.Counts) {
				wanted = want.Counts[i]
			}
			if d.Counts[i] != wanted {
				t.Fatalf("bucket %d: %d, not %d", i, d.Counts[i], wanted)
			}
		}
		if math.Abs(d.Sum-want.Sum) > 1e-6 {
			t.Fatalf("sum %v, not %v", d.Sum, want.Sum)
		}
	})
}

func TestARestartedPodCountsFromZero(t *testing.T) {
	old, restarted := of([]float64{0.01, 0.01, 2}), of([]float64{0.01})
	if d := restarted.Since(old); !slices.Equal(d.Counts, restarted.Counts) || d.Sum != restarted.Sum {
		t.Errorf("got %+v", d)
	}
}

func TestHistogramsDoNotShareMemory(t *testing.T) {
	a := of([]float64{0.01})
	sum, d := a.Add(Histogram{}), a.Since(Histogram{})
	sum.Counts[len(sum.Counts)-1], d.Counts[len(d.Counts)-1] = 9, 9
	if a.Count() != 1 {
		t.Errorf("changed to %+v", a)
	}
}

func TestGreatestValuesCanBeTakenAway(t *testing.T) {
	h := of([]float64{0.01, 0.01, 1, 1.1, 30})
	if got := h.From(1); got != 3 {
		t.Errorf("%d values from 1 s on, want 3", got)
	}
	if got := (Histogram{}).From(1); got != 0 {
		t.Errorf("%d values of none", got)
	}
	rest := h.Below(2)
	if got := rest.Count(); got != 3 || rest.From(1) != 1 || rest.Sum < 0 {
		t.Errorf("%d values are left, of them %d from 1 s on; want 3 and 1", got, rest.From(1))
	}
	if got := h.Below(9).Count(); got != 0 || h.Count() != 5 {
		t.Errorf("%d are left of 5 without 9, and the histogram itself has %d", got, h.Count())
	}
}
