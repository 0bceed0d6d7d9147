package transport

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire/decode"
)

// AnswerTimeout is how long a request may take from its header to the last byte
// of its answer, streams and the wait of polls aside: a client that reads
// nothing of an answer does not hold it for ever. The server sets it.
const AnswerTimeout = time.Minute

// bodyTimeout is how long a client may take to send its body.
const bodyTimeout = 15 * time.Second

// maxBodiesBytes bounds the bodies in memory at once, so that publishers that
// all come together cost them a retry and not the pod its life.
const maxBodiesBytes = 64 << 20

// budget counts bytes that are promised to requests.
type budget struct{ used atomic.Int64 }

// take promises the bytes that a body may need at most, or says no.
func (b *budget) take(r *http.Request) (bytes int64, ok bool) {
	bytes = decode.MaxBatchBytes
	if r.ContentLength >= 0 && r.Header.Get("Content-Encoding") == "" {
		bytes = min(r.ContentLength, bytes)
	}
	if b.used.Add(bytes) > maxBodiesBytes {
		b.used.Add(-bytes)
		return 0, false
	}
	return bytes, true
}

func (b *budget) give(bytes int64) { b.used.Add(-bytes) }

// refusal is an answer found below the handler.
type refusal struct {
	status  int
	kind    string
	options []ProblemOption
}

// withBodyTimeout gives the body of every request so long to come, also one
// that no handler reads: net/http reads it then, before the answer.
func withBodyTimeout(w http.ResponseWriter, r *http.Request) {
	if r.Body != nil && r.Body != http.NoBody {
		// Not every ResponseWriter has deadlines (tests, some middlewares): the
		// limits of size hold without them.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	}
}

// bodyRead ends the time for a body that has come whole: what follows, a stream
// or the wait for a log, may last longer.
func bodyRead(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // as above
}

// readBody reads at most the batch limit, before and after decompression.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
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
	bodyRead(w)
	return body, nil
}

func unreadable(detail string) *refusal {
	return &refusal{http.StatusBadRequest, KindInvalidParameter, []ProblemOption{Parameter("body"), Detail(detail)}}
}
