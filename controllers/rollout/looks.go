package rollout

import "time"

// Looks counts how often in a row a revision was found to cross the same
// threshold. The zero value has counted nothing. It may be lost: the next
// leader counts anew.
type Looks struct {
	Count    int
	revision string
	reason   string
	flag     string
	time     time.Time // of the look that was counted last
}

// Next is Looks after one more look, which may find no breach (nil), and whether
// it was counted. Looks closer together than the interval are one, as they
// follow one another when pods change. From the second one on, it counts only
// when the breach goes on; one that does not, and is still in the window, is
// neither forgotten nor counted again.
func (j Looks) Next(now time.Time, interval time.Duration, revision string, b *Breach, goesOn func(*Breach) bool) (next Looks, counted bool) {
	switch {
	case b == nil:
		return Looks{}, false
	case b.Reason != j.reason || b.Flag != j.flag || revision != j.revision:
		return Looks{Count: 1, revision: revision, reason: b.Reason, flag: b.Flag, time: now}, true
	case now.Sub(j.time) < interval*9/10 || !goesOn(b):
		return j, false
	}
	j.Count, j.time = j.Count+1, now
	return j, true
}
