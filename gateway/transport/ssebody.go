package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// maxStreamBodyBytes bounds the bodies of POST /stream and PATCH.
const maxStreamBodyBytes = 64 << 10

// parseParameters gives the parameters of a stream request, from the URL or
// from the JSON body of a POST, which may also give channels their own
// position.
func parseParameters(w http.ResponseWriter, r *http.Request, ask *streamRequest) (url.Values, *refusal) {
	if r.Method != http.MethodPost {
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return nil, streamRefusal(http.StatusBadRequest, KindInvalidParameter, "the query cannot be decoded")
		}
		return query, nil
	}
	body, no := readSmallJSON(w, r)
	if no != nil {
		return nil, no
	}
	return parseBody(body, ask)
}

// parseBody reads a JSON object with the keys of the query. Keys that are not
// known are passed over, as in a query.
func parseBody(body []byte, ask *streamRequest) (url.Values, *refusal) {
	var members struct {
		Channels []string          `json:"channels"`
		From     map[string]string `json:"from"`
		Cursor   text              `json:"cursor"`
		Last     text              `json:"last"`
		Format   text              `json:"format"`
		Wait     text              `json:"wait"`
		Limit    text              `json:"limit"`
		Errors   text              `json:"errors"`
		Pad      text              `json:"pad"`
		Compress text              `json:"compress"`
	}
	if no := unmarshal(body, &members); no != nil {
		return nil, no
	}
	query := url.Values{"channels": members.Channels}
	for name, value := range map[string]text{
		"cursor": members.Cursor, "last": members.Last, "format": members.Format, "wait": members.Wait,
		"limit": members.Limit, "errors": members.Errors, "pad": members.Pad, "compress": members.Compress,
	} {
		if value != "" {
			query.Set(name, string(value))
		}
	}
	var no *refusal
	ask.From, no = parseFrom(members.From)
	return query, no
}

// text is a JSON string or number: parameters may be written as either.
type text string

// UnmarshalJSON takes null for an absent one.
func (t *text) UnmarshalJSON(raw []byte) error {
	switch {
	case string(raw) == "null":
		return nil
	case raw[0] == '"':
		return json.Unmarshal(raw, (*string)(t))
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		*t = text(raw)
		return nil
	}
	return errors.New("a parameter must be a string or a number")
}

// parseFrom reads positions of single channels.
func parseFrom(from map[string]string) (map[string]wire.Cursor, *refusal) {
	if len(from) == 0 {
		return nil, nil
	}
	own := make(map[string]wire.Cursor, len(from))
	for name, position := range from {
		if err := wire.CheckChannel(name); err != nil {
			return nil, streamRefusal(http.StatusBadRequest, KindInvalidChannel, err.Error(), Parameter("from"))
		}
		c, err := wire.ParseCursor(position)
		if err != nil {
			return nil, streamRefusal(http.StatusBadRequest, KindInvalidCursor, err.Error(), Parameter("from"))
		}
		own[name] = c
	}
	return own, nil
}

// checkFrom refuses a position of a channel that is not read.
func checkFrom(ask *streamRequest) *refusal {
	for name := range ask.From {
		if !slices.Contains(ask.Subs.Exact(), name) {
			return badParameter("from", fmt.Errorf("%s is not one of the channels asked for", name))
		}
	}
	return nil
}

// readSmallJSON reads a body of at most maxStreamBodyBytes.
func readSmallJSON(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, streamRefusal(http.StatusUnsupportedMediaType, KindUnsupportedMediaType, "send application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxStreamBodyBytes))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, streamRefusal(http.StatusRequestEntityTooLarge, KindBatchTooLarge,
			fmt.Sprintf("the body is over %d bytes", maxStreamBodyBytes), Limit("body-bytes", maxStreamBodyBytes, "request"))
	case err != nil:
		return nil, unreadable("the body ended early")
	}
	bodyRead(w)
	return body, nil
}

// unmarshal reads one JSON object and nothing after it.
func unmarshal(body []byte, to any) *refusal {
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return streamRefusal(http.StatusBadRequest, KindInvalidJSON, "the body must be a JSON object")
	}
	if err := json.Unmarshal(body, to); err != nil {
		return streamRefusal(http.StatusBadRequest, KindInvalidJSON, err.Error())
	}
	return nil
}
