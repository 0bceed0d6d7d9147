package limit

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func granted(b *Buckets, key string, times, n int, r Rate) (sum int) {
	for range times {
		if b.Take(key, n, r) == 0 {
			sum += n
		}
	}
	return sum
}

func TestEachKeyHasABurstAndThenItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := NewBuckets(), Rate{PerSecond: 200, Burst: 1000}
		for _, key := range []string{"a", "b"} {
			if n := granted(b, key, 1500, 1, r); n != 1000 {
				t.Errorf("%s got %d at once", key, n)
			}
		}
		sum := 0
		for range 100 { // ten seconds
			time.Sleep(100 * time.Millisecond)
			sum += granted(b, "a", 50, 1, r)
		}
		if sum != 2000 {
			t.Errorf("got %d in ten seconds", sum)
		}
		if b.Refused() != 500+500+100*30 {
			t.Errorf("refused %d", b.Refused())
		}
	})
}

func TestARefusalTellsWhenToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := NewBuckets(), Rate{PerSecond: 10, Burst: 10}
		granted(b, "a", 1, 10, r)
		wait := b.Take("a", 5, r)
		if wait != 500*time.Millisecond {
			t.Fatalf("wait %v", wait)
		}
		time.Sleep(wait - time.Millisecond)
		if b.Take("a", 5, r) == 0 {
			t.Error("granted before its time")
		}
		time.Sleep(time.Millisecond)
		if b.Take("a", 5, r) != 0 {
			t.Error("refused at its time")
		}
	})
}

func TestMoreThanABurstIsGrantedToAFullBucketAndPaidFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := NewBuckets(), Rate{PerSecond: 10, Burst: 10}
		if b.Take("a", 100, r) != 0 {
			t.Fatal("refused")
		}
		if wait := b.Take("a", 1, r); wait != 9100*time.Millisecond {
			t.Errorf("wait %v", wait)
		}
		b.Give("a", 100)
		if b.Take("a", 1, r) != 0 {
			t.Error("what was given back is not there")
		}
	})
}

func TestAHigherRateHelpsWhoOwes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBuckets()
		b.Take("a", 100, Rate{PerSecond: 1, Burst: 100})
		if b.Take("a", 1, Rate{PerSecond: 1, Burst: 200}) != 0 {
			t.Error("a greater burst leaves no room")
		}
		if b.Take("a", 1000, Rate{}) != 0 {
			t.Error("no limit refuses")
		}
	})
}

// TestManyKeysTakeLittleMemory holds 100,000 addresses and 1,000 tenants, then
// ten times as many, and lets them be forgotten.
func TestManyKeysTakeLittleMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := NewBuckets(), Rate{PerSecond: 5, Burst: 5}
		before := heap()
		for i := range 101_000 {
			if b.Take(fmt.Sprintf("key-%d", i), 1, r) != 0 {
				t.Fatalf("key %d refused", i)
			}
		}
		took := heap() - before
		t.Logf("%d keys take %d KiB", b.Keys(), took>>10)
		if b.Keys() != 101_000 || took > 16<<20 {
			t.Errorf("%d keys take %d bytes", b.Keys(), took)
		}
		refused := 0
		for i := range 1_000_000 {
			if b.Take(fmt.Sprintf("flood-%d", i), 1, r) != 0 {
				refused++
			}
		}
		if b.Keys() > maxKeys || heap()-before > 24<<20 {
			t.Errorf("a flood of keys makes them %d", b.Keys())
		}
		if refused < 800_000 {
			t.Errorf("keys without room were refused %d times only", refused)
		}
		time.Sleep(2 * time.Second)
		b.Sweep()
		if b.Keys() != 0 {
			t.Errorf("%d keys are kept for nothing", b.Keys())
		}
		runtime.KeepAlive(b)
	})
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
