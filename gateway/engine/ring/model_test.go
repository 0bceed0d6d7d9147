package ring

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// bubbled hides *testing.T from rapid, which would ask it for its deadline;
// inside a bubble there is none.
type bubbled struct{ testing.TB }

// model is the log as a plain slice that never forgets.
type model struct {
	t       *rapid.T
	ring    *Ring
	floor   uint64
	records []wire.Record
	holes   []uint64
	longest time.Duration // TTL that chunks may have been filled under
}

func (m *model) head() uint64 { return m.floor + uint64(len(m.records)) }

// after lists what a reader of subs at n must get or be told of.
func (m *model) after(n, upto uint64, match func(string) bool) []wire.Record {
	var want []wire.Record
	for _, r := range m.records {
		if r.Seq > n && r.Seq <= upto && match(r.Channel) {
			want = append(want, r)
		}
	}
	return want
}

func seqsOf(records []wire.Record) []uint64 {
	seqs := []uint64{}
	for i := range records {
		seqs = append(seqs, records[i].Seq)
	}
	return seqs
}

func seqsIn(b *Batch) []uint64 {
	seqs := []uint64{}
	for i := range b.Elements {
		seqs = append(seqs, b.Elements[i].Seq)
	}
	return seqs
}

func channelNames() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"a", "b", "a.x", "a.y", "b.x", "a.x.1", "a.x.2", "b.y.1", "c.x", "$sg.x", "t/a", "t/a.x", "u/a"})
}

func subscriptions(t *rapid.T) *wire.SubSet {
	texts := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
		"a", "b", "a.x", "a.y", "b.x", "a.x.1", "never.seen", "a.*", "a.>", "*.x", "*.*.1", ">", "b.>", "other.>", "t/a", "t/a.*", "t/>", "t/*.x", "u/*",
	}), 1, 5, rapid.ID[string]).Draw(t, "subscriptions")
	subs, err := wire.QualifiedSubSet(texts)
	if err != nil {
		t.Fatal(err)
	}
	return subs
}

func (m *model) append() {
	n := rapid.OneOf(rapid.IntRange(1, 5), rapid.IntRange(1, 400)).Draw(m.t, "events")
	// Few channels in a row make long backlinks, many make short ones.
	names := rapid.SliceOfN(channelNames(), 1, 6).Draw(m.t, "channels")
	bytes := rapid.SampledFrom([]int{1, 1, 40, 400, 9000, 40000}).Draw(m.t, "bytes")
	if bytes > 1000 {
		n = min(n, 5)
	}
	var batch []wire.Record
	for i := range n {
		r := wire.Record{Seq: m.head() + uint64(i) + 1, Event: wire.Event{
			Channel: names[i%len(names)], ID: fmt.Sprint("id", i), Type: []string{"", "t"}[i%2], Time: int64(i),
			Kind: wire.DataKind(i % 3), Data: []byte(`"` + strings.Repeat("x", bytes) + `"`), Flush: i%5 == 0,
		}}
		batch = append(batch, r)
	}
	if rapid.Bool().Draw(m.t, "repeats") && len(m.records) > 0 {
		batch = append([]wire.Record{m.records[len(m.records)-1]}, batch...)
	}
	m.ring.Append(batch)
	m.records = append(m.records, batch[len(batch)-n:]...)
	if m.ring.Head() != m.head() {
		m.t.Fatalf("head %d, want %d", m.ring.Head(), m.head())
	}
}

// hole marks one; it is no event of any channel.
func (m *model) hole() {
	r := wire.Record{Seq: m.head() + 1, Event: wire.Event{Channel: wire.HoleChannel, Data: []byte("null")}}
	m.ring.Append([]wire.Record{r})
	m.records, m.holes = append(m.records, r), append(m.holes, r.Seq)
}

// holed tells whether a reader from after to upto passes a hole.
func (m *model) holed(after, upto uint64) bool {
	return slices.ContainsFunc(m.holes, func(seq uint64) bool { return after < seq && seq <= upto })
}

// span is a run of events that a subscription was told it has lost.
type span struct{ after, upto uint64 }

// client is a reconnecting client: what it got, and what it was told.
type client struct {
	subs      *wire.SubSet
	lost      map[string]span // by subscription; it is not replayed any more
	delivered []uint64
}

// promised proves what can be replayed after a position, and notes the rest as
// lost.
func (c *client) promised(m *model, after, upto uint64) *wire.SubSet {
	for _, l := range m.ring.Complete(c.subs, after) {
		if _, known := c.lost[l.Channel]; !known {
			c.lost[l.Channel] = span{after, upto}
		}
	}
	var kept []string
	for _, s := range c.subs.All() {
		if _, lost := c.lost[s]; !lost {
			kept = append(kept, s)
		}
	}
	rest, err := wire.QualifiedSubSet(kept)
	if err != nil {
		m.t.Fatal(err)
	}
	return rest
}

// resume reads as a reconnecting client does, while the log goes on evicting,
// and checks the law.
func (m *model) resume() {
	c := client{subs: subscriptions(m.t), lost: map[string]span{}}
	after := rapid.Uint64Range(m.floor, m.head()).Draw(m.t, "after")
	upto := m.head()
	maxBytes := rapid.SampledFrom([]int{1, 500, 5000, 64 << 10}).Draw(m.t, "maxBytes")
	evict := rapid.Bool().Draw(m.t, "evict")
	var batch Batch
	for at := after; at < upto; {
		rest := c.promised(m, at, upto)
		next, err := m.ring.Replay(rest, at, upto, maxBytes, &batch)
		if err != nil {
			m.t.Fatalf("proven complete at %d, yet %v", at, err)
		}
		if next == at {
			m.t.Fatalf("replay stands at %d of %d", at, upto)
		}
		m.checkElements(&batch)
		c.delivered = append(c.delivered, seqsIn(&batch)...)
		at = next
		if evict {
			time.Sleep(rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute}).Draw(m.t, "pause"))
			m.ring.Evict(time.Now())
		}
	}
	m.checkLaw(&c, after, upto)
}

// checkLaw: delivered and named lost together are all that was published after
// the cursor, in order and once.
func (m *model) checkLaw(c *client, after, upto uint64) {
	delivered := map[uint64]bool{}
	last := after
	for _, seq := range c.delivered {
		if seq <= last || !c.subs.Match(m.records[seq-m.floor-1].Channel) {
			m.t.Fatalf("delivered %d after %d", seq, last)
		}
		delivered[seq], last = true, seq
	}
	for _, r := range m.after(after, upto, c.subs.Match) {
		if delivered[r.Seq] {
			continue
		}
		for _, s := range c.subs.All() {
			p, _ := wire.ParseQualified(s)
			if lost := c.lost[s]; p.Match(r.Channel) && (r.Seq <= lost.after || r.Seq > lost.upto) {
				m.t.Fatalf("event %d of %s is neither delivered to %q nor named", r.Seq, r.Channel, s)
			}
		}
	}
}

func (m *model) checkElements(b *Batch) {
	bytes := 0
	for _, e := range b.Elements {
		r := m.records[e.Seq-m.floor-1]
		want := wire.ElementOf(m.ring.Epoch(), &r)
		if diff := cmp.Diff(want, e); diff != "" {
			m.t.Fatalf("element %d:\n%s", e.Seq, diff)
		}
		bytes += len(e.JSON)
	}
	if bytes != b.Bytes {
		m.t.Fatalf("batch says %d bytes, has %d", b.Bytes, bytes)
	}
}

// prove compares Complete with what the ring really holds.
func (m *model) prove() {
	subs := subscriptions(m.t)
	n := rapid.Uint64Range(m.floor, m.head()).Draw(m.t, "n")
	lost := map[string]ChannelLoss{}
	for _, l := range m.ring.Complete(subs, n) {
		lost[l.Channel] = l
	}
	var batch Batch
	_, err := m.ring.Replay(subs, n, m.head(), 100, &batch)
	if wantErr := len(lost) > 0 && n < m.head(); errors.Is(err, ErrEvicted) != wantErr {
		m.t.Fatalf("replay after %d: %v, lost are %v", n, err, lost)
	}
	gone := m.ring.First() - 1
	for _, s := range subs.All() {
		p, _ := wire.ParseQualified(s)
		missing := m.after(n, gone, p.Match)
		l, named := lost[s]
		switch {
		case len(missing) > 0 && !named:
			m.t.Fatalf("%q misses %v after %d and is proven complete", s, seqsOf(missing), n)
		case named && l.EvictedUpto <= n:
			m.t.Fatalf("%q is named lost up to %d for a reader at %d", s, l.EvictedUpto, n)
		case named && len(missing) > 0 && l.EvictedUpto < missing[len(missing)-1].Seq:
			m.t.Fatalf("%q is named lost up to %d, but %v are gone", s, l.EvictedUpto, seqsOf(missing))
		case !named && m.holed(n, m.head()):
			m.t.Fatalf("%q is proven complete from %d, across one of the holes at %v", s, n, m.holes)
		case named && l.Hole && (!m.holed(n, m.head()) || l.EvictedUpto != m.holes[len(m.holes)-1]):
			m.t.Fatalf("%q: %+v, holes are at %v", s, l, m.holes)
		case named && len(missing) == 0 && !l.Hole && m.ring.Stats().FoldedChannels == 0:
			m.t.Fatalf("%q is named lost at %d for nothing", s, n)
		}
	}
}

func (m *model) read() {
	gone := m.ring.First() - 1
	var batch Batch
	name := channelNames().Draw(m.t, "channel")
	n := rapid.IntRange(1, 100).Draw(m.t, "n")
	held := m.after(gone, m.head(), func(ch string) bool { return ch == name })
	m.ring.Last(name, m.head(), n, &batch)
	if diff := cmp.Diff(seqsOf(held[max(0, len(held)-n):]), seqsIn(&batch)); diff != "" {
		m.t.Fatalf("last %d of %s:\n%s", n, name, diff)
	}

	after := rapid.Uint64Range(gone, m.head()).Draw(m.t, "after")
	upto := rapid.OneOf(
		rapid.Uint64Range(after, m.head()),
		rapid.Uint64Range(after, min(after+10, m.head())), // fewer events than channels
	).Draw(m.t, "upto")
	var each []uint64
	if err := m.ring.Each(after, upto, func(e *wire.Element) bool { each = append(each, e.Seq); return true }); err != nil {
		m.t.Fatal(err)
	}
	if diff := cmp.Diff(seqsOf(m.after(after, upto, func(string) bool { return true })), append([]uint64{}, each...)); diff != "" {
		m.t.Fatalf("each of (%d, %d]:\n%s", after, upto, diff)
	}
	if gone > m.floor {
		if err := m.ring.Each(gone-1, upto, func(*wire.Element) bool { return true }); !errors.Is(err, ErrEvicted) {
			m.t.Fatalf("each from an evicted event: %v", err)
		}
	}

	subs := subscriptions(m.t)
	newest, count := map[string]uint64{}, map[string]uint64{}
	for _, r := range m.after(after, upto, subs.Match) {
		newest[r.Channel] = r.Seq
		count[r.Channel]++
	}
	var want, got []uint64
	for _, seq := range newest {
		want = append(want, seq)
	}
	slices.Sort(want)
	maxBytes := rapid.SampledFrom([]int{1, 1000, 1 << 20}).Draw(m.t, "maxBytes")
	for at := after; at < upto; {
		at = m.ring.Newest(subs, at, upto, maxBytes, &batch)
		got = append(got, seqsIn(&batch)...)
	}
	if !slices.Equal(want, got) {
		m.t.Fatalf("newest of (%d, %d]: %v, want %v", after, upto, got, want)
	}
	counted := map[string]uint64{}
	for _, c := range m.ring.Count(subs, after, upto, 1<<20) {
		if !c.Exact {
			m.t.Fatalf("count of %s is not exact", c.Channel)
		}
		counted[c.Channel] = c.Events
	}
	if diff := cmp.Diff(count, counted); diff != "" {
		m.t.Fatalf("count of (%d, %d]:\n%s", after, upto, diff)
	}

	seq := rapid.Uint64Range(0, m.head()+1).Draw(m.t, "seq")
	e, ok := m.ring.Get(seq)
	if ok != (seq > gone && seq <= m.head()) || ok && e.Seq != seq {
		m.t.Fatalf("get %d: %v %v, held are (%d, %d]", seq, e.Seq, ok, gone, m.head())
	}
}

func (m *model) bounds() {
	s, t := m.ring.Stats(), *m.ring.tuning.Load()
	held := m.records[s.First-m.floor-1:]
	events := func(records []wire.Record) (n int) {
		for i := range records {
			if records[i].Channel != wire.HoleChannel {
				n++
			}
		}
		return n
	}
	if s.Events != events(held) || s.EvictedAge+s.EvictedBytes != uint64(events(m.records)-events(held)) {
		m.t.Fatalf("stats %+v, held are %d of %d", s, events(held), events(m.records))
	}
	if chunks := len(*m.ring.dir.Load()); s.Bytes > t.MaxBytes && chunks > 1 {
		m.t.Fatalf("%d bytes in %d chunks, allowed are %d", s.Bytes, chunks, t.MaxBytes)
	}
	if limit := t.TTL + m.longest/chunksPerTTL; s.Held > limit {
		m.t.Fatalf("the oldest event is %v old, after %v it goes", s.Held, limit)
	}
}

// The law of the ring, against a slice that never forgets: what a reader gets
// and what it is told it lost are together what was published.
func TestDeliveredAndNamedLostIsAllThatWasPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(bubbled{t}, func(t *rapid.T) {
			floor := rapid.SampledFrom([]uint64{0, 0, 1000}).Draw(t, "floor")
			tuning := rapid.Custom(func(t *rapid.T) Replay {
				return Replay{
					TTL:      rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 5 * time.Minute}).Draw(t, "ttl"),
					MaxBytes: rapid.SampledFrom([]int64{50 << 10, 300 << 10, 4 << 20}).Draw(t, "maxBytes"),
				}
			})
			m := &model{floor: floor, longest: 5 * time.Minute, ring: New("k3f9x2", floor, tuning.Draw(t, "tuning"))}
			t.Repeat(map[string]func(*rapid.T){
				"append": func(t *rapid.T) { m.t = t; m.append() },
				"again":  func(t *rapid.T) { m.t = t; m.append() },
				"hole":   func(t *rapid.T) { m.t = t; m.hole() },
				"sleep": func(t *rapid.T) {
					time.Sleep(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 20 * time.Second, 11 * time.Minute}).Draw(t, "sleep"))
				},
				"evict": func(t *rapid.T) {
					m.t = t
					m.ring.Evict(time.Now())
					m.bounds()
				},
				"tune":   func(t *rapid.T) { m.ring.Tune(tuning.Draw(t, "tuning")); m.ring.Evict(time.Now()) },
				"resume": func(t *rapid.T) { m.t = t; m.resume() },
				"prove":  func(t *rapid.T) { m.t = t; m.prove() },
				"read":   func(t *rapid.T) { m.t = t; m.read() },
			})
		})
	})
}
