package noloss

import (
	"fmt"
	"strconv"
	"strings"
)

// kind is how an event's data is published.
type kind uint8

const (
	kindJSON kind = iota
	kindText
	kindBinary
)

const maxPad = 2000 // bytes

// event names one published event: the n-th of a publisher.
type event struct {
	publisher, n int
}

func (e event) id() string { return fmt.Sprintf("p%d-%d", e.publisher, e.n) }

// data is what the event carries. It follows from the name alone, so that a
// receiver can tell a single changed byte.
func (e event) data(k kind) string {
	pad := strings.Repeat(string(rune('a'+(e.n+e.publisher)%26)), e.n*97%maxPad)
	switch k {
	case kindText:
		return e.id() + "\nzweite Zeile: ünïcode, 日本 " + pad
	case kindBinary:
		return "\x00\xff\n" + e.id() + "\r\n" + pad
	}
	return `{"id":"` + e.id() + `","note":"a\nb <ü> 日本","pad":"` + pad + `"}`
}

// recognise reads the name of an event out of its data, where no envelope says
// it. ok is false for data that no publisher of a run made.
func recognise(data string) (e event, ok bool) {
	data = strings.TrimPrefix(strings.TrimPrefix(data, `{"id":"`), "\x00\xff\n")
	end := strings.IndexAny(data, "\"\r\n")
	if end < 0 {
		return event{}, false
	}
	return parseID(data[:end])
}

func parseID(id string) (e event, ok bool) {
	publisher, n, dash := strings.Cut(strings.TrimPrefix(id, "p"), "-")
	var err1, err2 error
	e.publisher, err1 = strconv.Atoi(publisher)
	e.n, err2 = strconv.Atoi(n)
	return e, dash && err1 == nil && err2 == nil && e.id() == id
}
