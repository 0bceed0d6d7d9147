package fanout

import (
	"fmt"
	"testing"
)

func TestLanesAreForgottenWithTheirTenants(t *testing.T) {
	q := queue{lanes: map[string]*lane{}}
	for i := range 1000 {
		tenant := fmt.Sprint(i)
		n := q.lane(tenant)
		if q.lane(tenant) != n {
			t.Fatal("two lanes of one tenant")
		}
		q.add(n, work{})
		q.leave(n)
		q.leave(n)
		if _, of := q.take(); of != n {
			t.Fatal("another one's turn")
		}
		q.spend(n, 1)
	}
	if len(q.lanes) != 0 || !q.empty() {
		t.Errorf("%d lanes are kept", len(q.lanes))
	}
}

// TestWhatATurnWritesTooMuchIsTakenOffTheNext gives two tenants work of 100
// writes each, one of them also work of one write in between.
func TestWhatATurnWritesTooMuchIsTakenOffTheNext(t *testing.T) {
	q := queue{lanes: map[string]*lane{}}
	large, small := q.lane("large"), q.lane("small")
	for range 20 {
		q.add(large, work{})
	}
	for range 2000 {
		q.add(small, work{})
	}
	written := map[*lane]int{}
	for range 1000 {
		_, n := q.take()
		writes := 1
		if n == large {
			writes = 100
		}
		written[n] += writes
		q.spend(n, writes)
		if d := written[large] - written[small]; len(large.list) > 0 && (d > 100+quantum || d < -2*quantum) {
			t.Fatalf("large has written %d, small %d", written[large], written[small])
		}
	}
}
