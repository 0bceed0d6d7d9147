package ring

import (
	"hash/maphash"
	"strings"
	"sync/atomic"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

const (
	nameFloors    = 4096
	segmentFloors = 1024
)

// floors stand for the channels that the table has forgotten: for every hash,
// a bound not below what any channel of that hash has lost. Forgetting can so
// cause a needless reset, never a missed loss. Floors only rise.
type floors struct {
	seed    maphash.Seed
	name    [nameFloors]atomic.Uint64
	segment [segmentFloors]atomic.Uint64 // by first segment
	all     atomic.Uint64
}

func (f *floors) init(floor uint64) {
	f.seed = maphash.MakeSeed()
	for i := range f.name {
		f.name[i].Store(floor)
	}
	for i := range f.segment {
		f.segment[i].Store(floor)
	}
	f.all.Store(floor)
}

// raise is called under Ring.mu.
func (f *floors) raise(name string, seq uint64) {
	first, _, _ := strings.Cut(name, ".")
	for _, to := range []*atomic.Uint64{f.nameSlot(name), f.segmentSlot(first), &f.all} {
		if to.Load() < seq {
			to.Store(seq)
		}
	}
}

func (f *floors) ofName(name string) uint64 { return f.nameSlot(name).Load() }

func (f *floors) ofPattern(p wire.Pattern) uint64 {
	if first, ok := p.First(); ok {
		return f.segmentSlot(first).Load()
	}
	return f.all.Load()
}

func (f *floors) nameSlot(name string) *atomic.Uint64 {
	return &f.name[maphash.String(f.seed, name)%nameFloors]
}

func (f *floors) segmentSlot(first string) *atomic.Uint64 {
	return &f.segment[maphash.String(f.seed, first)%segmentFloors]
}
