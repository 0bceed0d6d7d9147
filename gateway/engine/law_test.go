package engine_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/deflate"
	"github.com/streamgateway/streamgateway/gateway/engine/fanout"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// TestEveryEventIsDeliveredOnceInOrderOrNamed is the law of the engine, for
// clients that take bytes in odd pieces, stall, break off, and come back, while
// the log evicts and the tuning changes: what a client can read from its bytes
// is an ordered run without repeats, and every event of its channels between
// its first and its last position is delivered, or counted by a gap, or named
// by a reset; and no hole lies between them of which a channel was not told.
func TestEveryEventIsDeliveredOnceInOrderOrNamed(t *testing.T) {
	rapid.Check(t, inBubble(t, func(rt *rapid.T) {
		w := newWorld(rt)
		defer w.rig.Close()
		rt.Repeat(map[string]func(*rapid.T){
			"publish": w.publish, "open": w.open, "mood": w.mood, "cut": w.cut,
			"advance": w.advance, "evict": w.evict, "tune": w.tune, "flags": w.flags, "hole": w.hole,
			"": func(*rapid.T) { synctest.Wait() },
		})
		w.settle(rt)
	}))
}

// inBubble runs every check in a bubble of its own, so that rapid's own
// deadlines run on the real clock.
func inBubble(t *testing.T, property func(*rapid.T)) func(*rapid.T) {
	return func(rt *rapid.T) {
		var failure any
		synctest.Test(t, func(*testing.T) {
			defer func() { failure = recover() }()
			property(rt)
		})
		if failure != nil {
			panic(failure)
		}
	}
}

// world is one run: a log known in full, and clients.
type world struct {
	rig      *rig
	log      []string // channel by seq-1; data of an event is its seq
	clients  []*session
	loose    []wire.Cursor // positions of clients that were cut
	revision int
}

// session is one client and what it asked for.
type session struct {
	client
	subs   *wire.SubSet
	format wire.Format
	from   uint64
	rand   *rand.Rand
	ended  bool
}

// position is that of the last byte that came; the zero one before any came.
func (s *session) position() wire.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return wire.Position{Where: wire.At, Cursor: s.last}
}

func newWorld(rt *rapid.T) *world {
	loops := rapid.IntRange(1, 2).Draw(rt, "loops")
	e := makeRig(loops, func(tun *engine.Tuning) {
		tun.Replay.TTL = 10 * time.Second
		tun.Replay.MaxBytes = 64 << 10
		tun.Queue.MaxEvents = rapid.IntRange(3, 60).Draw(rt, "maxEvents")
		tun.Queue.SlowConsumerPolicy = drawPolicy(rt)
		tun.Compression = drawCompression(rt)
	})
	return &world{rig: e}
}

func drawPolicy(rt *rapid.T) string {
	return rapid.SampledFrom([]string{fanout.PolicyDropWithGap, fanout.PolicyConflate, fanout.PolicyDisconnect}).Draw(rt, "policy")
}

func (w *world) publish(rt *rapid.T) {
	n := rapid.IntRange(1, 40).Draw(rt, "n")
	size := rapid.SampledFrom([]int{1, 1, 1, 300, 3000}).Draw(rt, "size")
	var batch []wire.Event
	for range n {
		channel := rapid.SampledFrom([]string{"a", "b", "c.x", "c.y", "z"}).Draw(rt, "channel")
		w.log = append(w.log, channel)
		data := fmt.Sprintf("[%d,%q]", len(w.log), strings.Repeat("x", size))
		batch = append(batch, wire.Event{Channel: channel, Data: []byte(data)})
		if rapid.Bool().Draw(rt, "split") {
			w.rig.append(batch...)
			batch = nil
		}
	}
	if len(batch) > 0 {
		w.rig.append(batch...)
	}
}

func (w *world) open(rt *rapid.T) {
	names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c.x", "c.>", "*.y", "never"}), 1, 4, rapid.ID).Draw(rt, "channels")
	set, err := wire.NewSubSet(names)
	if err != nil {
		rt.Fatal(err)
	}
	q := engine.Request{Subs: set, Format: rapid.SampledFrom([]wire.Format{wire.Plain, wire.Envelope, wire.Array}).Draw(rt, "format")}
	switch rapid.SampledFrom([]string{"now", "earliest", "loose", "any"}).Draw(rt, "position") {
	case "earliest":
		q.Position.Where = wire.Earliest
	case "loose":
		if len(w.loose) > 0 {
			q.Position = wire.Position{Where: wire.At, Cursor: rapid.SampledFrom(w.loose).Draw(rt, "cursor")}
		}
	case "any":
		q.Position = at(rapid.Uint64Range(0, uint64(len(w.log))).Draw(rt, "seq"))
	}
	q.Gzip = rapid.Bool().Draw(rt, "gzip")
	stream, err := w.rig.Open(q)
	if err != nil {
		rt.Fatal(err)
	}
	s := &session{subs: set, format: q.Format, from: stream.Cursor().Seq, rand: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))}
	s.stream = stream
	s.setMood(rapid.IntRange(0, 3).Draw(rt, "mood"))
	w.clients = append(w.clients, s)
	stream.Start(s)
}

// setMood makes a client take bytes in one of four ways.
func (s *session) setMood(mood int) {
	later := func() { time.AfterFunc(time.Duration(s.rand.IntN(200))*time.Millisecond, s.stream.Writable) }
	switch mood {
	case 0: // all at once, as an empty socket buffer does
		s.set(nil)
	case 1: // all, but busy until later, as a sink with a goroutine does
		s.set(func(n int) (int, bool) { later(); return n, true })
	case 2: // in odd pieces
		s.set(func(n int) (int, bool) {
			take := s.rand.IntN(n + 1)
			if take < n {
				later()
			}
			return take, take < n
		})
	case 3: // nothing
		s.block()
	}
}

func (w *world) pick(rt *rapid.T) *session {
	if len(w.clients) == 0 {
		rt.Skip("no client")
	}
	return rapid.SampledFrom(w.clients).Draw(rt, "client")
}

func (w *world) mood(rt *rapid.T) {
	s := w.pick(rt)
	s.setMood(rapid.IntRange(0, 3).Draw(rt, "mood"))
	s.stream.Writable()
}

// cut breaks a connection off, wherever it is; its client may come back.
func (w *world) cut(rt *rapid.T) {
	s := w.pick(rt)
	s.mu.Lock()
	s.broken = true
	s.mu.Unlock()
	if rapid.Bool().Draw(rt, "fail") {
		s.mu.Lock()
		s.err = fmt.Errorf("broken pipe")
		s.mu.Unlock()
		s.stream.Writable()
	} else {
		s.stream.Leave()
	}
	w.end(rt, s)
}

func (w *world) end(rt *rapid.T, s *session) {
	s.check(rt, w.log)
	if !s.last.IsZero() {
		w.loose = append(w.loose, s.last)
	}
	w.clients = slices.DeleteFunc(w.clients, func(o *session) bool { return o == s })
}

func (w *world) advance(rt *rapid.T) {
	time.Sleep(rapid.SampledFrom([]time.Duration{time.Millisecond, 30 * time.Millisecond, time.Second, 20 * time.Second}).Draw(rt, "d"))
}

// hole marks one, with events before and behind it in the same batch or not.
func (w *world) hole(rt *rapid.T) {
	w.log = append(w.log, wire.HoleChannel)
	batch := []wire.Event{holeEvent}
	if rapid.Bool().Draw(rt, "behind") {
		w.log = append(w.log, "a")
		batch = append(batch, wire.Event{Channel: "a", Data: fmt.Appendf(nil, "[%d]", len(w.log))})
	}
	w.rig.append(batch...)
}

func (w *world) evict(*rapid.T) { w.rig.Evict() }

func (w *world) tune(rt *rapid.T) {
	tun := tuning()
	tun.Replay.TTL = rapid.SampledFrom([]time.Duration{time.Second, 10 * time.Second}).Draw(rt, "ttl")
	tun.Replay.MaxBytes = rapid.SampledFrom([]int64{8 << 10, 64 << 10, 1 << 20}).Draw(rt, "ring")
	tun.Batching.Window = rapid.SampledFrom([]time.Duration{0, 50 * time.Millisecond}).Draw(rt, "window")
	tun.Batching.MaxEvents = rapid.IntRange(1, 200).Draw(rt, "batch")
	tun.Queue.MaxEvents = rapid.IntRange(3, 60).Draw(rt, "maxEvents")
	tun.Queue.SlowConsumerPolicy = drawPolicy(rt)
	tun.Compression = drawCompression(rt)
	w.rig.Tune(tun)
}

func drawCompression(rt *rapid.T) fanout.Compression {
	return fanout.Compression{
		Mode:            rapid.SampledFrom([]string{"Auto", fanout.ModeDisabled}).Draw(rt, "mode"),
		Level:           rapid.SampledFrom([]string{deflate.Fastest, deflate.Fastest, deflate.Default, deflate.Best}).Draw(rt, "level"),
		MinBytes:        rapid.Int64Range(0, 400).Draw(rt, "minBytes"),
		ExcludeChannels: rapid.SampledFrom([][]string{nil, nil, {"b"}, {"c.>"}}).Draw(rt, "exclude"),
	}
}

func (w *world) flags(*rapid.T) {
	w.revision++
	w.rig.Flags(engine.Flags{Revision: int64(w.revision), Of: func(engine.Identity) (map[string]bool, *wire.End) {
		return map[string]bool{"x": true}, nil
	}})
}

// settle lets everyone catch up: then all have everything.
func (w *world) settle(rt *rapid.T) {
	for _, s := range w.clients {
		s.setMood(0)
		s.stream.Writable()
	}
	time.Sleep(20 * time.Second) // a heartbeat brings quiet clients up to date
	for _, s := range slices.Clone(w.clients) {
		if open := s.closedAt().IsZero(); open && s.last.Seq != uint64(len(w.log)) {
			rt.Fatalf("a client in step is at %v, the log at %d:\n%s", s.last, len(w.log), show(s.frames))
		}
		w.end(rt, s)
	}
}

// fataler is a test, rapid's or Go's.
type fataler interface {
	Fatalf(format string, args ...any)
}

// check holds what the client saw against the log.
func (s *session) check(rt fataler, log []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	seen := map[uint64]bool{}
	var newest uint64 // position so far
	var loose []uint64
	var gaps []wire.Gap
	var resets []wire.Reset
	for _, f := range s.frames {
		switch f.event {
		case wire.ControlGap:
			var g wire.Gap
			decode(rt, f.data, &g)
			gaps = append(gaps, g)
			loose = nil
		case wire.ControlReset:
			var r wire.Reset
			decode(rt, f.data, &r)
			resets = append(resets, r)
		case "sg.cp":
			loose = nil
		}
		for _, seq := range seqs(rt, f) {
			if seen[seq] || !s.subs.Match(log[seq-1]) {
				rt.Fatalf("%d twice, or not asked for:\n%s", seq, show(s.frames))
			}
			if f.id != "" && seq <= newest {
				rt.Fatalf("%d after %d:\n%s", seq, newest, show(s.frames))
			}
			if f.id == "" {
				loose = append(loose, seq) // conflated; valid once the gap notice is there
			}
			seen[seq] = true
		}
		if f.id != "" {
			c, err := wire.ParseCursor(f.id)
			if err != nil || c.Seq < newest {
				rt.Fatalf("id %s after %d:\n%s", f.id, newest, show(s.frames))
			}
			newest = c.Seq
		}
	}
	for _, seq := range loose {
		delete(seen, seq) // it will be had again
	}
	s.complete(rt, log, seen, newest, gaps, resets)
}

// complete checks every event between the first and the last position.
func (s *session) complete(rt fataler, log []string, seen map[uint64]bool, last uint64, gaps []wire.Gap, resets []wire.Reset) {
	lost := make([]map[string]uint64, len(gaps))
	for i := range lost {
		lost[i] = map[string]uint64{}
	}
	for seq := s.from + 1; seq <= last; seq++ {
		channel := log[seq-1]
		if channel == wire.HoleChannel {
			s.told(rt, seq, resets)
		}
		if !s.subs.Match(channel) || seen[seq] {
			continue
		}
		i := slices.IndexFunc(gaps, func(g wire.Gap) bool { return seqOf(g.After) < seq && seq <= seqOf(g.Upto) })
		if i < 0 && reset(resets, channel, seq) {
			continue
		}
		if i < 0 {
			rt.Fatalf("%d of %s is missing, and not named, between %d and %d:\n%s", seq, channel, s.from, last, show(s.frames))
		}
		lost[i][channel]++
	}
	for i, g := range gaps {
		for _, c := range g.Channels {
			if c.Lost != nil && *c.Lost != lost[i][c.Channel] {
				rt.Fatalf("gap %+v says %d of %s, the log says %d:\n%s", g, *c.Lost, c.Channel, lost[i][c.Channel], show(s.frames))
			}
			delete(lost[i], c.Channel)
		}
		for channel := range lost[i] {
			named := slices.ContainsFunc(g.Channels, func(c wire.GapChannel) bool { return matches(c.Channel, channel) })
			if !named {
				rt.Fatalf("gap %+v does not name %s:\n%s", g, channel, show(s.frames))
			}
		}
	}
}

// told checks that all that the client reads was reset behind a hole.
func (s *session) told(rt fataler, hole uint64, resets []wire.Reset) {
	for _, name := range s.subs.All() {
		if !slices.ContainsFunc(resets, func(r wire.Reset) bool {
			named := r.All || slices.ContainsFunc(r.Channels, func(c wire.ResetChannel) bool { return c.Channel == name })
			return named && hole <= seqOf(r.ResumeAt)
		}) {
			rt.Fatalf("%s was not told of the hole at %d:\n%s", name, hole, show(s.frames))
		}
	}
}

// reset tells whether a lost event is named by a reset.
func reset(resets []wire.Reset, channel string, seq uint64) bool {
	return slices.ContainsFunc(resets, func(r wire.Reset) bool {
		named := r.All || slices.ContainsFunc(r.Channels, func(c wire.ResetChannel) bool { return matches(c.Channel, channel) })
		return named && seq <= seqOf(r.ResumeAt)
	})
}

func matches(pattern, channel string) bool {
	p, err := wire.ParsePattern(pattern)
	return err == nil && p.Match(channel)
}

func seqOf(cursor string) uint64 {
	c, err := wire.ParseCursor(cursor)
	if err != nil {
		panic(err)
	}
	return c.Seq
}

// seqs gives the events of a frame, by the seq that each carries as data.
func seqs(rt fataler, f frame) (list []uint64) {
	number := func(data []any) uint64 { return uint64(data[0].(float64)) }
	type element struct {
		Seq  uint64 `json:"seq"`
		Data []any  `json:"data"`
	}
	switch {
	case f.event != "" || f.comment != "" || f.data == "":
	case f.sg != "":
		var data []any
		decode(rt, f.data, &data)
		list = append(list, number(data))
	case strings.HasPrefix(f.data, "["):
		var elements []element
		decode(rt, f.data, &elements)
		for _, e := range elements {
			list = append(list, e.Seq)
			if e.Seq != number(e.Data) {
				rt.Fatalf("seq %d carries the data of %d", e.Seq, number(e.Data))
			}
		}
	default:
		var e element
		decode(rt, f.data, &e)
		list = append(list, e.Seq)
	}
	if n := len(list); f.id != "" && n > 0 && strconv.FormatUint(list[n-1], 10) != strings.TrimPrefix(f.id, epoch+".") {
		rt.Fatalf("id %s on event %d", f.id, list[n-1])
	}
	return list
}

func decode(rt fataler, text string, into any) {
	if err := json.Unmarshal([]byte(text), into); err != nil {
		rt.Fatalf("%s: %v", text, err)
	}
}
