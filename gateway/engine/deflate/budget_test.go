package deflate

import (
	"fmt"
	"testing"
)

// bytesPerEvent sends n pieces of some events each to one member.
func bytesPerEvent(e *Encoder, events, pieces int, inRow bool) float64 {
	text, o, m := newMix(8), &Output{}, &Member{}
	m.Private(nil, []byte("retry: 3000\n\n"))
	sent := 0
	for range pieces {
		if !inRow {
			m.Private(nil, nil)
		}
		sent += len(m.Next(o.Add(text.batch(events), false), e))
	}
	return float64(sent) / float64(events*pieces)
}

func TestPiecesOfARealisticMixAreSmall(t *testing.T) {
	for _, c := range []struct{ events, most int }{{1, 140}, {5, 112}, {20, 103}} {
		if got := bytesPerEvent(NewEncoder(Fastest, 256), c.events, 2000/c.events, true); got > float64(c.most) {
			t.Errorf("%d events in a piece: %.1f bytes each, %d allowed", c.events, got, c.most)
		}
	}
}

func TestEncodingAllocatesLittle(t *testing.T) {
	text, o, e := newMix(9).batch(5), &Output{}, NewEncoder(Fastest, 256)
	m := &Member{}
	m.Private(nil, []byte("retry: 3000\n\n"))
	m.Next(o.Add(text, false), e)
	// The piece, its form, a new window now and then; the encoder's own copy.
	// Under the race detector pools lose at random what they hold.
	if got := testing.AllocsPerRun(200, func() { m.Next(o.Add(text, false), e) }); got > 4 && !raced {
		t.Errorf("%.1f allocations for a piece", got)
	}
	p := o.Add(text, false)
	m.Next(p, e)
	var members [8]Member
	for i := range members {
		members[i] = *m
		members[i].row.to = p.start
	}
	i := 0
	if got := testing.AllocsPerRun(len(members)-1, func() { members[i].Next(p, e); i++ }); got != 0 {
		t.Errorf("%.1f allocations for every further member of a piece", got)
	}
}

func BenchmarkPiece(b *testing.B) {
	for _, level := range []string{Fastest, Default, Best} {
		for _, events := range []int{1, 5, 20} {
			b.Run(fmt.Sprintf("%s/%d", level, events), func(b *testing.B) {
				text, o, m, e := newMix(10), &Output{}, &Member{}, NewEncoder(level, 256)
				batches := make([][]byte, 256)
				for i := range batches {
					batches[i] = text.batch(events)
				}
				m.Private(nil, []byte("retry: 3000\n\n"))
				sent, i := 0, 0
				b.ReportAllocs()
				for b.Loop() {
					sent += len(m.Next(o.Add(batches[i%len(batches)], false), e))
					i++
				}
				b.ReportMetric(float64(sent)/float64(i*events), "B/event")
				b.ReportMetric(bytesPerEvent(NewEncoder(level, 256), events, 600/events, false), "B/event-alone")
			})
		}
	}
}

// BenchmarkFurtherMember is what a piece costs each member after the first.
func BenchmarkFurtherMember(b *testing.B) {
	text, o, m, e := newMix(11).batch(5), &Output{}, &Member{}, NewEncoder(Fastest, 256)
	m.Private(nil, []byte("retry: 3000\n\n"))
	p := o.Add(text, false)
	for b.Loop() {
		m.row.to = p.start
		m.Next(p, e)
	}
}

// BenchmarkRowEnds is what it costs when something private ends a row.
func BenchmarkRowEnds(b *testing.B) {
	text, o, m, e := newMix(11).batch(5), &Output{}, &Member{}, NewEncoder(Fastest, 256)
	buf := m.Private(nil, []byte("retry: 3000\n\n"))
	p := o.Add(text, false)
	for b.Loop() {
		m.Next(p, e)
		m.row.to += 1 << 20
		buf = m.Private(buf[:0], []byte(": hb 1795478415000\n\n"))
	}
}
