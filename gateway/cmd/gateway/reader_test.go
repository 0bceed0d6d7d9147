package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// reader is one stream over as many connections as it takes.
type reader struct {
	c      *crowd
	lastID string
	seen   []bool
	moves  int
	resets int
	late   time.Duration
	gaps   []time.Duration
	beyond []time.Duration
}

type connection struct {
	conn net.Conn
	in   *bufio.Reader
}

func (r *reader) dial() (*connection, error) {
	conn, err := net.Dial("tcp", *r.c.service.Load())
	if err != nil {
		return nil, err
	}
	last := ""
	if r.lastID != "" {
		last = "Last-Event-ID: " + r.lastID + "\r\n"
	}
	if _, err := fmt.Fprintf(conn, "GET /v2/realtime/stream?channels=c HTTP/1.1\r\nHost: gateway\r\nAccept: text/event-stream\r\n%s\r\n", last); err != nil {
		_ = conn.Close()
		return nil, err
	}
	res, err := http.ReadResponse(bufio.NewReaderSize(conn, 2<<10), nil)
	if err != nil || res.StatusCode != http.StatusOK {
		_ = conn.Close()
		return nil, fmt.Errorf("%v, %w", res, err)
	}
	return &connection{conn, bufio.NewReaderSize(res.Body, 2<<10)}, nil
}

// message is one event of a stream.
type message struct {
	id, event, data string
	retry           time.Duration
}

func (c *connection) next() (m message, err error) {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return m, err
		}
		field, value, _ := strings.Cut(strings.TrimRight(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			m.id = value
		case "event":
			m.event = value
		case "data":
			m.data = value
		case "retry":
			ms, _ := strconv.Atoi(value)
			m.retry = time.Duration(ms) * time.Millisecond
		case "":
			if m != (message{}) {
				return m, nil
			}
		}
	}
}

// follow reads until the crowd is closed. A program opens its next connection
// at its slot and closes the old one when the next one has caught up.
func (r *reader) follow(program bool) {
	defer r.c.readers.Done()
	var old *connection
	wait, asked, ended := time.Duration(0), time.Duration(0), time.Time{}
	for !r.c.closed.Load() {
		c, err := r.dial()
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		drain := r.read(c, program, &wait, func() {
			switch {
			case old != nil:
				_ = old.conn.Close()
				old = nil
			case !ended.IsZero():
				gap := time.Since(ended)
				r.gaps, r.beyond = append(r.gaps, gap), append(r.beyond, gap-asked)
			}
		})
		if drain {
			old = c // it is dropped when the next one has caught up
			r.moves++
			continue
		}
		_ = c.conn.Close()
		if ended = time.Now(); r.c.closed.Load() {
			break
		}
		r.moves++
		asked = wait
		time.Sleep(asked)
	}
	if old != nil {
		_ = old.conn.Close()
	}
	r.report()
}

// read reads one connection to its end, or, for a program, to the slot that
// sg.drain gave it; then it returns true.
func (r *reader) read(c *connection, program bool, wait *time.Duration, caughtUp func()) (drained bool) {
	var slot atomic.Bool
	first := true
	for {
		m, err := c.next()
		if slot.Load() {
			return true
		}
		if err != nil {
			return false
		}
		if m.retry > 0 {
			*wait = m.retry
		}
		if m.id != "" {
			r.lastID = m.id
		}
		switch m.event {
		case "sg.caught-up":
			caughtUp()
			if first && r.moves == 0 {
				r.c.live.Add(1)
			}
			first = false
		case "sg.reset":
			r.resets++
		case "sg.drain":
			var d struct{ InMs int }
			if json.Unmarshal([]byte(m.data), &d) == nil && program {
				time.AfterFunc(time.Duration(d.InMs)*time.Millisecond, func() {
					slot.Store(true)
					_ = c.conn.SetReadDeadline(time.Now())
				})
			}
		case "":
			r.take(m.data)
		}
		if r.c.closed.Load() {
			return false
		}
	}
}

func (r *reader) take(data string) {
	n, err := strconv.Atoi(data)
	if err != nil {
		return
	}
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if n >= len(r.seen) {
		r.seen = append(r.seen, make([]bool, n+1-len(r.seen))...)
	}
	if r.seen[n] {
		r.c.repeated++
	}
	r.seen[n] = true
	r.late = max(r.late, time.Since(r.c.sent[n]))
}

func (r *reader) report() {
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := range c.sent {
		switch {
		case n < len(r.seen) && r.seen[n]:
		case r.resets > 0:
			c.lost++
		default:
			c.unnamed++
		}
	}
	if r.moves > 0 {
		c.moved++
	}
	if r.resets > 0 {
		c.forgotten++
	}
	c.moves += r.moves
	c.gaps, c.beyond, c.late = append(c.gaps, r.gaps...), append(c.beyond, r.beyond...), append(c.late, r.late)
}
