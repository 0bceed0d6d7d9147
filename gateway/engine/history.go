package engine

import (
	"github.com/streamgateway/streamgateway/gateway/engine/ring"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// Page is a run of one channel's kept events, oldest first.
type Page struct {
	Events []wire.Element
	// Cursor is the position up to which the page is complete: where the next
	// one begins.
	Cursor wire.Cursor
	// Complete tells that nothing between the position asked for and the page
	// is gone.
	Complete bool
	// EvictedUpto is the newest event of the channel that can no longer be
	// read, or a bound above it; seq 0 = all are there.
	EvictedUpto wire.Cursor
	More        bool // there are kept events after Cursor
}

// maxPageTries is how often a page is begun anew because the log dropped what
// it was about to read.
const maxPageTries = 3

// History gives the events of one channel after a position, at most limit and
// about maxBytes of them. Where the log has none after a position of another
// epoch, or of one above the head, it gives what is kept and says that this is
// not complete. Now is no position in the past and gives nothing.
func (e *Engine) History(channel string, p wire.Position, limit, maxBytes int) Page {
	head := e.ring.Head()
	subs := exactly(channel)
	asked, known := uint64(0), true
	switch p.Where {
	case wire.At:
		asked, known = p.Cursor.Seq, p.Cursor.Epoch == e.epoch && p.Cursor.Seq <= head
		if !known {
			asked = 0
		}
	case wire.Now:
		asked = head
	}
	page := Page{}
	for range maxPageTries {
		gone := e.gone(channel, subs)
		from := max(asked, gone)
		page = Page{
			Cursor: e.at(from), EvictedUpto: e.at(gone), More: from < head,
			Complete: known && asked >= gone || p.Where == wire.Earliest && gone == 0,
		}
		var batch ring.Batch
		next, err := e.ring.Replay(subs, from, head, maxBytes, &batch)
		if err != nil {
			continue
		}
		page.Events, page.Cursor, page.More = batch.Elements, e.at(next), next < head
		if len(page.Events) > limit {
			page.Events = page.Events[:limit]
			page.Cursor, page.More = e.at(page.Events[limit-1].Seq), true
		}
		break
	}
	return page
}

// Last gives the newest n kept events of one channel. It is complete when
// these are the newest n, with no hole among them, or all there ever were.
func (e *Engine) Last(channel string, n int) Page {
	head := e.ring.Head()
	var batch ring.Batch
	if e.replay.Load() {
		e.ring.Last(channel, head, n, &batch)
	}
	gone := e.gone(channel, exactly(channel))
	return Page{
		Events: batch.Elements, Cursor: e.at(head), EvictedUpto: e.at(gone),
		Complete: gone == 0 || len(batch.Elements) == n && (n == 0 || batch.Elements[0].Seq > e.ring.Hole()),
	}
}

// gone is the newest event of a channel that cannot be read. Without replay
// that is its newest event.
func (e *Engine) gone(channel string, subs *wire.SubSet) uint64 {
	if !e.replay.Load() {
		var newest ring.Batch
		if e.ring.Last(channel, e.ring.Head(), 1, &newest); len(newest.Elements) > 0 {
			return newest.Elements[0].Seq
		}
	}
	for _, loss := range e.ring.Complete(subs, 0) {
		return loss.EvictedUpto
	}
	return 0
}

func (e *Engine) at(seq uint64) wire.Cursor { return wire.Cursor{Epoch: e.epoch, Seq: seq} }

// exactly is the set of one channel, whose name has been checked.
func exactly(channel string) *wire.SubSet {
	subs, err := wire.QualifiedSubSet([]string{channel})
	if err != nil {
		panic(err)
	}
	return subs
}
