package deflate

import (
	"bytes"
	"compress/gzip"
	"hash/crc32"
	"io"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// plain reads a whole member with the standard library, checksum and length
// included, and fails when anything follows it.
func plain(t interface {
	Helper()
	Fatalf(string, ...any)
}, member []byte) []byte {
	t.Helper()
	in := bytes.NewReader(member)
	z, err := gzip.NewReader(in)
	if err != nil {
		t.Fatalf("reading the header: %v", err)
	}
	z.Multistream(false)
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatalf("decoding after %d bytes: %v", len(text), err)
	}
	if in.Len() != 0 {
		t.Fatalf("%d bytes after the member", in.Len())
	}
	return text
}

// reader is a member with all it was sent and all it should have read.
type reader struct {
	Member
	sent, want []byte
}

func (r *reader) private(text []byte) {
	r.sent = r.Private(r.sent, text)
	r.want = append(r.want, text...)
}

func (r *reader) next(p *Piece, e *Encoder) {
	r.sent = append(r.sent, r.Next(p, e)...)
	r.want = append(r.want, p.text...)
}

// TestEveryMixOfPiecesDecodesToItsText lets members come, go, skip pieces, get
// joined ones, private ones and those of another output, in any order.
func TestEveryMixOfPiecesDecodesToItsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := NewEncoder(rapid.SampledFrom([]string{Fastest, Default, Best}).Draw(t, "level"),
			rapid.Int64Range(0, 600).Draw(t, "minBytes"))
		text := newMix(rapid.Uint64().Draw(t, "seed"))
		outputs := [2]*Output{{}, {}}
		rows := [2][]*Piece{}
		readers := make([]*reader, rapid.IntRange(1, 5).Draw(t, "members"))
		for i := range readers {
			readers[i] = &reader{}
			readers[i].private([]byte("retry: 3000\n\n"))
		}
		t.Repeat(map[string]func(*rapid.T){
			"piece": func(t *rapid.T) {
				o := rapid.IntRange(0, 1).Draw(t, "output")
				p := outputs[o].Add(text.batch(rapid.IntRange(0, 12).Draw(t, "events")), rapid.IntRange(0, 9).Draw(t, "secret") == 0)
				rows[o] = append(rows[o], p)
				for _, r := range readers {
					if rapid.IntRange(0, 4).Draw(t, "gets it") > 0 {
						r.next(p, e)
					}
				}
			},
			"joined": func(t *rapid.T) {
				o := rapid.IntRange(0, 1).Draw(t, "output")
				if len(rows[o]) == 0 {
					t.Skip("nothing to join")
				}
				row := rows[o][rapid.IntRange(0, len(rows[o])-1).Draw(t, "from"):]
				row = row[:rapid.IntRange(1, len(row)).Draw(t, "pieces")]
				var joined []byte
				for _, p := range row {
					joined = append(joined, p.text...)
				}
				rapid.SampledFrom(readers).Draw(t, "member").next(Join(joined, row), e)
			},
			"private": func(t *rapid.T) {
				rapid.SampledFrom(readers).Draw(t, "member").private(text.batch(rapid.IntRange(0, 3).Draw(t, "frames")))
			},
			"alone": func(t *rapid.T) {
				p := Alone(text.batch(rapid.IntRange(0, 300).Draw(t, "events")), rapid.Bool().Draw(t, "secret"))
				for _, r := range readers {
					r.next(p, e)
				}
			},
			"forget": func(t *rapid.T) { outputs[rapid.IntRange(0, 1).Draw(t, "output")].Forget() },
		})
		for i, r := range readers {
			if got := plain(t, r.End(r.sent)); !bytes.Equal(got, r.want) {
				t.Fatalf("member %d reads %d bytes, not the %d it was sent", i, len(got), len(r.want))
			}
		}
	})
}

func TestLongPiecesAreStoredInSeveralBlocks(t *testing.T) {
	text := newMix(1).batch(900) // over 3 × 64 KiB
	r := &reader{}
	r.private(text)
	r.next(Alone(text, true), NewEncoder(Fastest, 0))
	if got := plain(t, r.End(r.sent)); !bytes.Equal(got, r.want) {
		t.Fatal("damaged")
	}
}

// TestEveryPieceCanBeReadWhenItComes reads as a live client does: the decoder
// gets nothing more until it has given out all that was sent.
func TestEveryPieceCanBeReadWhenItComes(t *testing.T) {
	for _, level := range []string{Fastest, Default, Best} {
		t.Run(level, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, text, o, r := NewEncoder(level, 256), newMix(2), &Output{}, &reader{}
				wire, sent := io.Pipe()
				defer func() { _ = sent.Close() }() // a pipe's Close never fails
				var got bytes.Buffer                // read after synctest.Wait only
				go func() {
					z, err := gzip.NewReader(wire)
					if err == nil {
						_, _ = io.Copy(&got, z) // the end is cut off
					}
				}()
				for i := range 80 {
					before := len(r.sent)
					switch {
					case i%13 == 0:
						r.private(text.batch(i % 3))
					case i%7 == 0:
						r.next(Alone(text.batch(40*i), true), e)
					default:
						r.next(o.Add(text.batch(1+i%7), i%11 == 10), e)
					}
					if _, err := sent.Write(r.sent[before:]); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					if !bytes.Equal(got.Bytes(), r.want) {
						t.Fatalf("after piece %d, %d of %d bytes can be read", i, got.Len(), len(r.want))
					}
				}
			})
		})
	}
}

func TestChecksumsOfTextsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOf(rapid.Byte()).Draw(t, "a")
		b := rapid.SliceOfN(rapid.Byte(), 0, 5000).Draw(t, "b")
		sum := crc32.ChecksumIEEE
		if got, want := shift(sum(a), uint64(len(b)))^sum(b), sum(append(bytes.Clone(a), b...)); got != want {
			t.Fatalf("%08x, want %08x", got, want)
		}
	})
}

// TestSecretTextShowsInNoLength compares two members that differ in a secret
// only: one guesses it right in the next piece, the other wrong.
func TestSecretTextShowsInNoLength(t *testing.T) {
	e, text := NewEncoder(Best, 0), newMix(3)
	open := text.batch(8)
	length := func(secret bool, guess string) int {
		o, r := &Output{}, &reader{}
		r.private([]byte("retry: 3000\n\n"))
		r.next(o.Add(open, false), e)
		r.next(o.Add([]byte("data: {\"password\":\"correct horse battery staple 4711\"}\n\n"), secret), e)
		r.next(o.Add([]byte("data: {\"password\":\""+guess+"\"}\n\n"), false), e)
		return len(r.sent)
	}
	right, wrong := "correct horse battery staple 4711", "wdzqkxcpvj ohgyu mnbrtf laeis 9063"[:33]
	if length(true, right) != length(true, wrong) {
		t.Error("the length tells whether a guess was right")
	}
	if length(false, right) >= length(false, wrong) {
		t.Error("the test sees no difference where nothing is secret")
	}
}

func TestAnEncoderRefusesToBeShared(t *testing.T) {
	e := NewEncoder(Fastest, 0)
	e.busy.Store(true) // as while another goroutine encodes
	defer func() {
		if recover() == nil {
			t.Error("two goroutines may encode at once")
		}
	}()
	e.encode(newMix(4).batch(5), nil)
}

// TestADamagedRowIsSeen gives a member a form that refers to what it never had:
// the tests above are only worth something if they would notice.
func TestADamagedRowIsSeen(t *testing.T) {
	e, text, o, r := NewEncoder(Fastest, 0), newMix(5), &Output{}, &reader{}
	for range 10 {
		o.Add(text.batch(1), false)
	}
	p := o.Add(text.batch(1), false)
	r.private([]byte("retry: 3000\n\n"))
	r.sent = append(r.sent, p.form(fullWindow, e)...)
	r.count(p.text)
	z, err := gzip.NewReader(bytes.NewReader(r.End(r.sent)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(z); err == nil {
		t.Error("a form out of its row decodes without an error")
	}
}

func TestMembersInStepShareBytes(t *testing.T) {
	e, text, o := NewEncoder(Fastest, 256), newMix(6), &Output{}
	a, b := &Member{}, &Member{}
	a.Private(nil, []byte("retry: 3000\n\n"))
	b.Private(nil, []byte("retry: 2000\n\n"))
	for i := range 20 {
		p := o.Add(text.batch(1), false)
		if one, other := a.Next(p, e), b.Next(p, e); &one[0] != &other[0] {
			t.Fatalf("piece %d was encoded twice", i)
		}
	}
}

func FuzzMember(f *testing.F) {
	f.Add([]byte("data: a\n\n"), []byte{1, 2, 3}, uint16(3))
	f.Add(newMix(7).batch(20), []byte{0, 9, 4, 200, 7, 7, 7}, uint16(260))
	f.Fuzz(func(t *testing.T, text, script []byte, minBytes uint16) {
		e, o, r := NewEncoder([]string{Fastest, Default, Best}[len(script)%3], int64(minBytes)), &Output{}, &reader{}
		r.private([]byte("retry: 3000\n\n"))
		for _, step := range script {
			n := min(int(step)*7, len(text))
			switch step % 5 {
			case 0:
				r.private(text[:n])
			case 1:
				r.next(Alone(text[n:], step > 128), e)
			case 2:
				o.Add(text[:n], step > 200)
			default:
				r.next(o.Add(text[n:], step > 200), e)
			}
		}
		if got := plain(t, r.End(r.sent)); !bytes.Equal(got, r.want) {
			t.Fatal("damaged")
		}
	})
}
