package fanout

import (
	"slices"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/deflate"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// FlagCompression is the feature flag that keeps new streams plain where it is
// off.
const FlagCompression = "compression"

// ModeDisabled is the Mode of Compression that keeps new streams plain.
const ModeDisabled = "Disabled"

// compresses decides for a new stream whose client takes gzip.
func (f *Fanout) compresses(who Identity) bool {
	if f.tuning.Load().Compression.Mode == ModeDisabled {
		return false
	}
	flags, _ := f.flags.Load().Of(who)
	on, set := flags[FlagCompression]
	return on || !set
}

// tuneCompression takes over how forms are made from now on.
func (l *loop) tuneCompression() {
	c := &l.tuning.Compression
	l.encoder.Tune(c.Level, c.MinBytes)
	if slices.Equal(c.ExcludeChannels, l.excluded) {
		return
	}
	l.excluded, l.exclude = c.ExcludeChannels, nil
	for _, text := range c.ExcludeChannels {
		p, err := wire.ParsePattern(text)
		if err != nil {
			p = everything() // rather too much than a secret
		}
		l.exclude = append(l.exclude, p)
	}
	// What is excluded now may be in what later blocks would refer to, or in
	// forms that were made already.
	for _, g := range l.groups {
		g.output.Forget()
		l.segments.forget(g)
		g.dropRecent(len(g.recent))
	}
}

func everything() wire.Pattern {
	p, err := wire.ParsePattern(">")
	if err != nil {
		panic(err)
	}
	return p
}

// secret tells whether a batch holds an event that must not be compressed.
func (l *loop) secret(events []wire.Element) bool {
	if len(l.exclude) == 0 {
		return false
	}
	return slices.ContainsFunc(events, func(e wire.Element) bool {
		return slices.ContainsFunc(l.exclude, func(p wire.Pattern) bool { return p.Match(wire.Unqualified(e.Channel)) })
	})
}

// place gives a new block its place in the text that members of the group have
// in common. While nobody takes gzip there is no such text.
func (g *group) place(b *block) {
	if g.gzips > 0 {
		b.piece = g.output.Add(b.bytes, b.secret)
	} else {
		g.output.Forget()
	}
}

// keepWindow is how long a quiet group keeps what its next block may refer to.
const keepWindow = time.Minute

// joinPieces is join for what members that take gzip get; nil when a block of
// the row came while there were none.
func joinPieces(text []byte, row []*block) *deflate.Piece {
	pieces := make([]*deflate.Piece, len(row))
	for i, b := range row {
		if b.piece == nil {
			return nil
		}
		pieces[i] = b.piece
	}
	return deflate.Join(text, pieces)
}

// form gives a block's bytes as a stream needs them. They are shared by all
// streams that need the same.
func (l *loop) form(s *Stream, b *block) []byte {
	if s.gzip == nil {
		return b.bytes
	}
	if b.piece == nil {
		b.piece = deflate.Alone(b.bytes, b.secret)
	}
	s.group.n.gzipRaw += uint64(len(b.bytes))
	made := l.encoder.Made()
	text := s.gzip.Next(b.piece, l.encoder)
	s.group.n.compressed += l.encoder.Made() - made
	return text
}

// private gives bytes for one stream alone as it needs them, with the end of
// its gzip member after its last frame.
func (l *loop) private(s *Stream, text []byte) []byte {
	if s.gzip == nil {
		return text
	}
	s.group.n.gzipRaw += uint64(len(text))
	b := s.gzip.Private(make([]byte, 0, len(text)+privateBytes), text)
	if s.state == ending {
		b = s.gzip.End(b)
	}
	return b
}

// privateBytes is what header, block and end add to a text below 64 KiB.
const privateBytes = 10 + 10 + 13
