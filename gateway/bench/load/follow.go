//go:build linux

package load

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"
)

// Follower reads one stream line by line, to know its position: what a client
// would send to resume behind the newest event.
type Follower struct {
	conn     net.Conn
	position atomic.Pointer[string]
	newest   atomic.Uint64 // number of the newest event
}

// Follow opens a stream. position makes of a line and of the position so far
// the position after it.
func Follow(server netip.AddrPort, request []byte, position func(line, before string) string) (*Follower, error) {
	conn, err := net.Dial("tcp", server.String())
	if err != nil {
		return nil, fmt.Errorf("connecting a follower: %w", err)
	}
	f := &Follower{conn: conn}
	f.position.Store(new(string))
	in := bufio.NewReader(conn)
	answer, err := f.ask(in, request) //nolint:bodyclose // read closes it
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("following a stream: %w", err)
	}
	go f.read(answer, position)
	return f, nil
}

func (f *Follower) ask(in *bufio.Reader, request []byte) (*http.Response, error) {
	if err := f.conn.SetReadDeadline(time.Now().Add(openTimeout)); err != nil {
		return nil, err
	}
	if _, err := f.conn.Write(request); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, fmt.Errorf("%w: %s", errRefused, answer.Status)
	}
	return answer, f.conn.SetReadDeadline(time.Time{})
}

func (f *Follower) read(answer *http.Response, position func(line, before string) string) {
	defer answer.Body.Close()
	var found scanner
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(make([]byte, 64<<10), 8<<20)
	for lines.Scan() {
		p := position(lines.Text(), *f.position.Load())
		f.position.Store(&p)
		found.scan(lines.Bytes(), func(s stamp) { f.newest.Store(s.n) })
	}
}

// Wait gives the position once event n was read.
func (f *Follower) Wait(n uint64, longest time.Duration) (string, error) {
	for end := time.Now().Add(longest); f.newest.Load() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return "", fmt.Errorf("event %d did not arrive within %s", n, longest)
		}
	}
	time.Sleep(10 * time.Millisecond) // an id may come in a line behind the data
	return *f.position.Load(), nil
}

// Close ends the stream.
func (f *Follower) Close() error { return f.conn.Close() }
