package fanout

import (
	"cmp"
	"maps"
	"slices"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// pinnedBytes is how much memory all loops together leave to blocks that a
// stalled client has taken a part of. Such a block must be finished before
// anything else can be written, whatever the slow-consumer policy says, so only
// closing the stream gives its memory back.
const pinnedBytes = 64 << 20

// unpin closes stalled streams while the blocks that are half written take too
// much memory: first those that hold a block for the fewest, and of these the
// ones that have been stalled for longest. A block that many streams are in the
// middle of is one block. A client that is cut resumes by replay.
func (l *loop) unpin(budget int) {
	l.pinned = 0
	var stalled []*Stream
	holders := map[*byte]int{} // by the last byte of a block: who is in the middle of it
	for _, s := range l.streams {
		if !s.blocked || len(s.rest) == 0 {
			continue
		}
		stalled = append(stalled, s)
		block := s.pin()
		if holders[block]++; holders[block] == 1 {
			l.pinned += cap(s.rest)
		}
	}
	if l.pinned <= budget {
		return
	}
	left := maps.Clone(holders)
	slices.SortFunc(stalled, func(a, b *Stream) int {
		return cmp.Or(cmp.Compare(holders[a.pin()], holders[b.pin()]), cmp.Compare(a.blockedSince, b.blockedSince))
	})
	for _, s := range stalled {
		if l.pinned <= budget {
			return
		}
		block := s.pin()
		if left[block]--; left[block] == 0 {
			l.pinned -= cap(s.rest)
		}
		s.group.n.disconnected++
		l.close(s, wire.EndSlow)
	}
}

// pin names the block that the sink has taken a part of: what is left of it ends
// where it ends, however much is left.
func (s *Stream) pin() *byte { return &s.rest[len(s.rest)-1] }
