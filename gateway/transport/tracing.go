package transport

import (
	"net/http"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/trace"
)

// trace begins the span of a publish request, nil when it is not sampled, and
// gives each event the context that its subscribers see. The parent is the
// request's header traceparent, or that of its first event.
func (p *Publish) trace(r *http.Request, events []wire.Event, began time.Time) *trace.Span {
	parent := wire.ParseTrace(r.Header.Get("Traceparent"))
	if parent.IsZero() && len(events) > 0 {
		parent = events[0].Trace
	}
	span := p.tracer.Start("publish", parent, began)
	span.Text("http.request.method", r.Method)
	span.Text("http.route", r.Pattern)
	span.Text("sg.request.id", RequestID(r.Context()))
	span.Number("sg.events", int64(len(events)))
	cause := span.Context()
	if cause.IsZero() {
		cause = parent
	}
	for i := range events {
		// What an event says of itself stands, but for the span it is under.
		if own := &events[i].Trace; own.IsZero() || own.ID == cause.ID {
			*own = cause
		}
	}
	return span
}
