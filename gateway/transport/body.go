package transport

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire/decode"
)

// bodyTimeout is how long a publisher may take to send its body.
const bodyTimeout = 15 * time.Second

// refusal is an answer found below the handler.
type refusal struct {
	status  int
	kind    string
	options []ProblemOption
}

// readBody reads at most the batch limit, before and after decompression, and
// for at most bodyTimeout.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	// Not every ResponseWriter has deadlines (tests, some middlewares): the
	// size limit below holds without them.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	tooLarge := &refusal{http.StatusRequestEntityTooLarge, KindBatchTooLarge, []ProblemOption{
		Limit("batch-bytes", decode.MaxBatchBytes, "request"),
		Detail("the body is over " + strconv.Itoa(decode.MaxBatchBytes) + " bytes; send it in parts"),
	}}
	if r.ContentLength > decode.MaxBatchBytes {
		return nil, tooLarge
	}
	sent := http.MaxBytesReader(w, r.Body, decode.MaxBatchBytes)
	var from io.Reader = sent
	switch encoding := strings.ToLower(r.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip":
		unzipped, err := gzip.NewReader(sent)
		if err != nil {
			return nil, unreadable("the body is not gzip")
		}
		from = unzipped
	default:
		return nil, &refusal{http.StatusUnsupportedMediaType, KindUnsupportedMediaType, []ProblemOption{
			Detail("Content-Encoding must be gzip or identity")}}
	}
	body, err := io.ReadAll(io.LimitReader(from, decode.MaxBatchBytes+1))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over), len(body) > decode.MaxBatchBytes:
		return nil, tooLarge
	case err != nil:
		return nil, unreadable("the body ended early or is not what Content-Encoding says")
	}
	return body, nil
}

func unreadable(detail string) *refusal {
	return &refusal{http.StatusBadRequest, KindInvalidParameter, []ProblemOption{Parameter("body"), Detail(detail)}}
}
