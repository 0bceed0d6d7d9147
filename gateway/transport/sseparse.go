package transport

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

const (
	maxStreamURLBytes = 8 << 10
	maxLast           = 100 // events of each channel
)

// streamRequest is a request that can be understood.
type streamRequest struct {
	engine.Request
	who *auth.Principal // sent it
	// inBand: transient refusals are told inside of a stream, since a native
	// EventSource gives up for good on any other status.
	inBand bool
	poll   bool // one answer instead of a stream
	wait   time.Duration
	limit  int // events of one answer
}

// parseStream reads a stream request. What it refuses is permanent: the client
// has to change something.
func parseStream(w http.ResponseWriter, r *http.Request, c *Connections) (*streamRequest, *refusal) {
	if len(r.RequestURI) > maxStreamURLBytes {
		return nil, streamRefusal(http.StatusRequestURITooLong, KindURITooLong,
			fmt.Sprintf("the URL has %d bytes, %d are allowed", len(r.RequestURI), maxStreamURLBytes))
	}
	ask := &streamRequest{}
	query, no := parseParameters(w, r, ask)
	if no != nil {
		return nil, no
	}
	if no := parsePoll(r, query, c, ask); no != nil {
		return nil, no
	}
	var err error
	if ask.Subs, no = parseChannels(query["channels"], c); no != nil {
		return nil, no
	}
	if ask.Position, err = wire.ParsePosition(r.Header.Get("Last-Event-ID"), query.Get("cursor")); err != nil {
		return nil, streamRefusal(http.StatusBadRequest, KindInvalidCursor, err.Error(), Parameter("cursor"))
	}
	if no = parseRest(query, ask); no != nil {
		return nil, no
	}
	ask.Gzip = query.Get("compress") != "off" && takesGzip(r.Header)
	ask.inBand = r.Method == http.MethodGet && !ask.poll && query.Get("errors") != "http" &&
		accepts(r.Header.Values("Accept"), "text/event-stream", false)
	return ask, checkFrom(ask)
}

func streamRefusal(status int, kind, detail string, options ...ProblemOption) *refusal {
	return &refusal{status, kind, append(options, Detail(detail))}
}

// parseChannels reads the parameter channels: repeatable, each a comma list.
func parseChannels(values []string, c *Connections) (*wire.SubSet, *refusal) {
	var names []string
	for _, value := range values {
		if value != "" {
			names = append(names, strings.Split(value, ",")...)
		}
	}
	if len(names) == 0 {
		return nil, streamRefusal(http.StatusBadRequest, KindInvalidParameter,
			"channels must name at least one channel or pattern", Parameter("channels"))
	}
	subs, err := wire.NewSubSet(names)
	if err != nil {
		at := slices.IndexFunc(names, func(name string) bool {
			_, err := wire.ParsePattern(name)
			return err != nil
		})
		return nil, streamRefusal(http.StatusBadRequest, KindInvalidChannel, err.Error(), Parameter("channels"), Index(at))
	}
	for _, bound := range []struct {
		name      string
		have, max int
	}{
		{"subscriptions", subs.Len(), c.MaxSubscriptions},
		{"patterns", len(subs.Patterns()), c.MaxPatterns},
	} {
		if bound.have > bound.max {
			return nil, streamRefusal(http.StatusUnprocessableEntity, KindTooManySubscriptions,
				fmt.Sprintf("%d %s asked for, %d are allowed on one stream", bound.have, bound.name, bound.max),
				Limit(bound.name, int64(bound.max), "request"))
		}
	}
	return subs, nil
}

// parseRest reads the parameters that need no more than a look.
func parseRest(query url.Values, ask *streamRequest) *refusal {
	var err error
	if ask.Format, err = wire.ParseFormat(query.Get("format")); err != nil {
		return badParameter("format", err)
	}
	var no *refusal
	if ask.Last, no = parseNumber(query, "last", 0, 0, maxLast); no != nil {
		return no
	}
	switch query.Get("pad") {
	case "", "0":
	case "1":
		ask.Pad = true
	default:
		return badParameter("pad", errors.New("must be 0 or 1"))
	}
	switch query.Get("compress") {
	case "", "auto", "off":
	default:
		return badParameter("compress", errors.New("must be auto or off"))
	}
	switch query.Get("errors") {
	case "", "auto", "http":
	default:
		return badParameter("errors", errors.New("must be auto or http"))
	}
	return nil
}

func badParameter(name string, err error) *refusal {
	return streamRefusal(http.StatusBadRequest, KindInvalidParameter, name+": "+err.Error(), Parameter(name))
}

// accepts tells whether a client takes an answer of a kind: because it names
// it, or, when wildcards count, anything that includes it.
func accepts(accept []string, kind string, wildcards bool) bool {
	all := strings.Join(accept, ",")
	if strings.TrimSpace(all) == "" {
		return wildcards
	}
	family, _, _ := strings.Cut(kind, "/")
	for part := range strings.SplitSeq(all, ",") {
		named, parameters, err := mime.ParseMediaType(part)
		if err != nil || parameters["q"] == "0" {
			continue
		}
		if named == kind || wildcards && (named == "*/*" || named == family+"/*") {
			return true
		}
	}
	return false
}
