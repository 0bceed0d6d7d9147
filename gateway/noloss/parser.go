// Package noloss proves, from outside, that a gateway keeps its promise: every
// acknowledged event reaches every subscriber exactly once, in order, unchanged,
// across broken connections, or the gateway named it as lost.
//
// It shares no code with the gateway's own packages, so that a mistake there
// cannot hide itself: parser, cursors and patterns are written a second time, by
// the protocol and by the standard of server-sent events. gateway/cmd/noloss is
// its command, controllers/e2e uses it on a cluster.
package noloss

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// Message is one dispatched server-sent event.
type Message struct {
	Event string // "message" when the frame named none
	Data  string // lines joined by LF
	ID    string // last event id after this frame, given in it or before
	OwnID bool   // the frame gave it
	Meta  string // the field "sg", which browsers ignore
	At    time.Time
}

// parser follows the WHATWG standard for event streams, byte by byte as they
// come: pieces may end anywhere. What is not finished by an empty line is never
// dispatched, and neither is its id taken over.
type parser struct {
	line    []byte
	afterCR bool // a LF now belongs to the CR before it
	started bool // the first line, which may begin with a byte order mark, is done

	data    strings.Builder
	hasData bool
	event   string
	meta    string
	id      string // of the frame being read
	ownID   bool   // it has an id field
	lastID  string // of the last finished frame

	retry    time.Duration // 0: not told
	comments int
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// feed parses b and calls emit for each event it finishes.
func (p *parser) feed(b []byte, emit func(Message)) {
	for len(b) > 0 {
		if p.afterCR {
			p.afterCR = false
			if b[0] == '\n' {
				b = b[1:]
				continue
			}
		}
		end := bytes.IndexAny(b, "\r\n")
		if end < 0 {
			p.line = append(p.line, b...)
			return
		}
		p.line = append(p.line, b[:end]...)
		p.afterCR = b[end] == '\r'
		b = b[end+1:]
		if !p.started {
			p.started = true
			p.line = bytes.TrimPrefix(p.line, byteOrderMark)
		}
		p.endLine(emit)
		p.line = p.line[:0]
	}
}

func (p *parser) endLine(emit func(Message)) {
	if len(p.line) == 0 {
		p.dispatch(emit)
		return
	}
	if p.line[0] == ':' {
		p.comments++
		return
	}
	field, value, _ := strings.Cut(string(p.line), ":")
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "data":
		if p.hasData {
			p.data.WriteByte('\n')
		}
		p.data.WriteString(value)
		p.hasData = true
	case "event":
		p.event = value
	case "id":
		if !strings.Contains(value, "\x00") {
			p.id, p.ownID = value, true
		}
	case "retry":
		if ms, err := strconv.ParseUint(value, 10, 31); err == nil {
			p.retry = time.Duration(ms) * time.Millisecond
		}
	case "sg":
		p.meta = value
	}
}

func (p *parser) dispatch(emit func(Message)) {
	p.lastID = p.id
	if p.hasData {
		m := Message{Event: p.event, Data: p.data.String(), ID: p.lastID, OwnID: p.ownID, Meta: p.meta, At: time.Now()}
		if m.Event == "" {
			m.Event = "message"
		}
		emit(m)
	}
	p.data.Reset()
	p.hasData, p.ownID, p.event, p.meta = false, false, "", ""
}
