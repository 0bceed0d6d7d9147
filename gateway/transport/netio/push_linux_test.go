package netio

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPiecesAreOneRun writes frames of all kinds of sizes, smaller and larger
// than what is laid side by side, until the socket is full and until nobody reads
// any more.
func TestPiecesAreOneRun(t *testing.T) {
	p, err := NewSockets()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(ends[0]) }() // the test is over
	got := make([]byte, 4*sideBySide)
	for _, size := range []int{1, 2, 300, sideBySide - 9, sideBySide - 8, sideBySide - 7, sideBySide, 2 * sideBySide} {
		for _, head := range []string{"", "2000\r\n"} {
			for _, tail := range []string{"", chunkEnd} {
				body := bytes.Repeat([]byte{byte(size)}, size)
				took, err := p.push(ends[0], []byte(head), body, tail)
				want := head + string(body) + tail
				n, readErr := unix.Read(ends[1], got)
				if err != nil || readErr != nil || took != len(want) || string(got[:n]) != want {
					t.Fatalf("%q, %d bytes, %q: took %d of %d, read %d, errors %v, %v", head, size, tail, took, len(want), n, err, readErr)
				}
			}
		}
	}
	for _, size := range []int{300, 2 * sideBySide} {
		for took := -1; took != 0; {
			if took, err = p.push(ends[0], nil, make([]byte, size), ""); err != nil {
				t.Fatalf("a full socket says %v to %d bytes", err, size)
			}
		}
	}
	_ = unix.Close(ends[1])
	if _, err = p.push(ends[0], nil, []byte("x"), ""); !errors.Is(err, unix.EPIPE) {
		t.Errorf("a socket that nobody reads says %v", err)
	}
}
