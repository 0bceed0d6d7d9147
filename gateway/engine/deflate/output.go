package deflate

import "hash/crc32"

// windowBytes is how far back a piece may refer. More makes it little smaller
// (2 % at 4 KiB) and takes time, since an encoder has to read all of it.
const windowBytes = 2 << 10

// windowRoom is how much an Output appends behind its window before it moves
// the window to new memory.
const windowRoom = 1 << 10

// Output is all the text that the members of one group have in common, as if
// it were one running text. Its zero value is empty.
type Output struct {
	end    uint64 // bytes so far
	sum    uint32 // of all bytes so far
	window []byte // the newest of them, at most windowBytes, never changed
	last   int    // how many of the window are the newest piece
}

// Add appends a text, which must not change any more. A secret one is never
// compressed and nothing refers to it, so that no length tells anything about
// it.
func (o *Output) Add(text []byte, secret bool) *Piece {
	p := &Piece{text: text, secret: secret, output: o, start: o.end, before: o.sum, window: o.window, last: o.last}
	o.end += uint64(len(text))
	o.sum = crc32.Update(o.sum, crc32.IEEETable, text)
	p.after = o.sum
	if secret {
		o.Forget()
		return p
	}
	o.remember(text)
	return p
}

// Forget makes later pieces refer to nothing that was before.
func (o *Output) Forget() { o.window, o.last = nil, 0 }

// remember moves the window. Pieces hold on to windows before, so the memory
// behind one is only ever appended to.
func (o *Output) remember(text []byte) {
	o.last = min(len(text), windowBytes)
	if len(text) >= windowBytes {
		o.window = text[len(text)-windowBytes : len(text) : len(text)]
		return
	}
	keep := o.window[max(0, len(o.window)+len(text)-windowBytes):]
	if cap(keep)-len(keep) < len(text) {
		keep = append(make([]byte, 0, len(keep)+len(text)+windowRoom), keep...)
	}
	keep = append(keep, text...)
	o.window = keep
}

// Piece is a text that many members get, with the forms it is sent in. A form
// is made when the first member needs it.
type Piece struct {
	text   []byte
	secret bool
	forms  [reaches][]byte

	// What follows is of pieces that have a place in an output.
	output        *Output
	start         uint64 // bytes of the output before it
	before, after uint32 // checksum of the output where it begins and ends
	window        []byte // what it may refer to: the output just before it
	last          int    // how many of window are the piece before
}

// Alone makes a piece that has no place in an output: nothing refers to it and
// it refers to nothing.
func Alone(text []byte, secret bool) *Piece { return &Piece{text: text, secret: secret} }

// Join makes one piece of pieces that follow each other. text is their texts
// together. Where they are no row of one output, it has no place in any.
func Join(text []byte, row []*Piece) *Piece {
	first, last := row[0], row[len(row)-1]
	p := &Piece{
		text: text, output: first.output, start: first.start, before: first.before,
		after: last.after, window: first.window, last: first.last,
	}
	at := p.start
	for _, part := range row {
		p.secret = p.secret || part.secret
		if part.output != p.output || part.start != at {
			p.output = nil
		}
		at += uint64(len(part.text))
	}
	return p
}

// reach is how far back a form refers. There are few, so that a batch is not
// encoded once for each place where a member's row may have begun.
type reach int

const (
	nothing    reach = iota
	lastPiece        // the piece before
	fullWindow       // all of the window
	reaches
)

// reach gives the farthest one that a row allows which began at from.
func (p *Piece) reach(from uint64) reach {
	switch had := p.start - from; {
	case p.secret || had == 0 || len(p.window) == 0:
		return nothing
	case had >= uint64(len(p.window)):
		return fullWindow
	case had >= uint64(p.last):
		return lastPiece
	}
	return nothing
}

func (p *Piece) form(r reach, e *Encoder) []byte {
	if p.forms[r] == nil {
		switch {
		case p.secret:
			p.forms[r] = store(p.text)
		case r == nothing:
			p.forms[r] = e.encode(p.text, nil)
		case r == lastPiece:
			p.forms[r] = e.encode(p.text, p.window[len(p.window)-p.last:])
		default:
			p.forms[r] = e.encode(p.text, p.window)
		}
	}
	return p.forms[r]
}
