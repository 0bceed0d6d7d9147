package rollout

import (
	"cmp"
	"crypto/sha256"
	"slices"
)

// Share is how many of so many pods a percentage is: rounded up, so that the
// first step of any canary has a pod.
func Share(percent, pods int) int { return (percent*pods + 99) / 100 }

// Choose picks n of the names, kept ones first, then by a hash of the name: the
// choice does not move from one look to the next, nor with pods that come and
// go, as long as the chosen ones are there. The result is sorted.
func Choose(names, kept []string, n int) []string {
	order := slices.Clone(names)
	rank := func(name string) int {
		if slices.Contains(kept, name) {
			return 0
		}
		return 1
	}
	slices.SortFunc(order, func(a, b string) int {
		x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
		return cmp.Or(cmp.Compare(rank(a), rank(b)), slices.Compare(x[:], y[:]))
	})
	chosen := order[:min(max(n, 0), len(order))]
	slices.Sort(chosen)
	return chosen
}

// StandBy is how many of the other side's pods may stand by: those that the
// ready pods of the wanted side make up for. Ready pods are never fewer than
// wanted ones, nor than were found ready.
func StandBy(wanted, ready, others int) int { return min(max(ready+others-wanted, 0), others) }
