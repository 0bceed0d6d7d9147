package transport

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// maxWaitSeconds is the longest wait that a client may ask for; the hot
// configuration may hold it for less.
const maxWaitSeconds = 120

// parsePoll finds out whether one answer is asked for or a stream, and whether
// the client takes it.
func parsePoll(r *http.Request, query url.Values, c *Connections, ask *streamRequest) *refusal {
	ask.poll = query.Has("wait")
	kind := "text/event-stream"
	if ask.poll {
		kind = "application/json"
	}
	if !accepts(r.Header.Values("Accept"), kind, true) {
		return streamRefusal(http.StatusNotAcceptable, KindNotAcceptable, "this request is answered with "+kind)
	}
	if !ask.poll {
		return nil
	}
	seconds, no := parseNumber(query, "wait", 0, 0, maxWaitSeconds)
	if no != nil {
		return no
	}
	ask.wait = min(time.Duration(seconds)*time.Second, c.LongPollTimeout)
	ask.limit, no = parseNumber(query, "limit", maxPageEvents, 1, maxPageEvents)
	return no
}

// poll answers once. The events are those that a stream would have got from
// the same position, so one rule serves both.
func (s *Streams) poll(w http.ResponseWriter, r *http.Request, ask *streamRequest) {
	// Without deadlines (tests, some middlewares) the answer waits for the client.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(ask.wait + AnswerTimeout))
	a, err := s.engine.Poll(r.Context(), ask.Request, engine.Poll{Wait: ask.wait, MaxEvents: ask.limit, MaxBytes: maxPageBytes})
	switch {
	case err == nil:
		writeBody(w, appendAnswer(a))
	case r.Context().Err() != nil: // the client is gone; nobody is left to tell
	default:
		s.refuse(w, r, ask, cannotOpen(err))
	}
}

func appendAnswer(a *engine.Answer) []byte {
	size := 256
	for i := range a.Events {
		size += len(a.Events[i].JSON) + 1
	}
	body := fmt.Appendf(make([]byte, 0, size), `{"sid":null,"cursor":"%s","events":`, a.Cursor)
	body = wire.AppendElements(body, a.Events)
	body = append(body, `,"controls":[`...)
	for i, c := range a.Controls {
		if i > 0 {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, `{"event":"%s","data":`, c.Name)
		body = append(wire.AppendPayload(body, c.Payload), '}')
	}
	return fmt.Appendf(body, `],"more":%t,"retryMs":%d,"time":%d}`, a.More, a.Retry.Milliseconds(), time.Now().UnixMilli())
}
