package doctor

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// patient is a gateway under examination.
type patient struct {
	Options
	base   *url.URL
	client *http.Client
}

const (
	requestID   = "gateway-doctor"
	problemURN  = "urn:streamgateway:problem:"
	maxAnswer   = 64 << 10 // bytes of an answer that is no stream
	timeTries   = 3
	maxLine     = 1 << 20 // bytes
	badPosition = "doctor"
)

// ownGzip begins every compressed stream of a gateway.
const ownGzip = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// errNothing ends a wait for an answer or for the stream's first event.
var errNothing = errors.New("nothing came in time")

// answer is what came back for one request.
type answer struct {
	err    error // no answer: errNothing, or what the network says
	status int
	proto  string
	header http.Header
	tls    *tls.ConnectionState
	body   []byte // of an answer that is no stream
}

// kind is the gateway's own word for a refusal, "" when somebody else refused.
func (a answer) kind() string {
	var p struct{ Type string }
	_ = json.Unmarshal(a.body, &p) // what is no problem has no kind
	kind, ours := strings.CutPrefix(p.Type, problemURN)
	if !ours {
		return ""
	}
	return kind
}

// stream is an answer that goes on, with the time of everything in it.
type stream struct {
	answer
	asked    bool
	encoding string // Content-Encoding
	head     []byte // first bytes of the body, as they came
	headers  time.Time
	blocks   []block
	lastByte time.Time
	silence  time.Duration // longest time without a byte that the stream survived
	ended    time.Time
	end      error // why; nil = the doctor left, io.EOF = an end in order
}

// block is one event or comment of a stream.
type block struct {
	comment, event, data string
	at                   time.Time
}

// open is the content of sg.open.
type open struct {
	Resume string          `json:"resume"`
	Time   int64           `json:"time"` // server's, in milliseconds
	HB     int64           `json:"hb"`   // milliseconds from heartbeat to heartbeat
	Flags  map[string]bool `json:"flags"`
}

func (s stream) open() (o open, at time.Time, ok bool) {
	for _, b := range s.blocks {
		if b.event == "sg.open" {
			return o, b.at, json.Unmarshal([]byte(b.data), &o) == nil
		}
	}
	return o, at, false
}

func (s stream) opened() bool {
	_, _, ok := s.open()
	return ok
}

// refused tells that an answer came, and that it is no stream.
func (s stream) refused() bool { return s.err == nil && s.status != http.StatusOK }

func (p *patient) request(ctx context.Context, path string) *http.Request {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base.String()+path, nil)
	if err != nil { // base is a URL, path is ours
		panic(err)
	}
	if p.Token != "" {
		r.Header.Set("Authorization", "Bearer "+p.Token)
	}
	r.Header.Set("X-Request-Id", requestID)
	r.Header.Set("User-Agent", "gateway-doctor")
	return r
}

// get reads an answer that is no stream.
func (p *patient) get(ctx context.Context, path string) answer {
	ctx, stop := context.WithTimeout(ctx, p.patience)
	defer stop()
	res, err := p.client.Do(p.request(ctx, path))
	if err != nil {
		return answer{err: failure(ctx, err)}
	}
	defer res.Body.Close()
	return answerOf(res, true)
}

func answerOf(res *http.Response, read bool) answer {
	a := answer{status: res.StatusCode, proto: res.Proto, header: res.Header, tls: res.TLS}
	if read {
		a.body, _ = io.ReadAll(io.LimitReader(res.Body, maxAnswer)) // a part says enough
	}
	return a
}

// failure tells a wait that was too long from what the network says.
func failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errNothing
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// clock learns who answers, and how far the gateway's clock is from this one.
// The fastest of a few tries counts.
func (p *patient) clock(ctx context.Context, s *seen) {
	for range timeTries {
		asked := time.Now()
		a := p.get(ctx, "/time")
		trip := time.Since(asked)
		s.clock = a
		var now struct{ T int64 }
		if a.err != nil || a.status != http.StatusOK || json.Unmarshal(a.body, &now) != nil || now.T == 0 {
			s.clock.body = a.body
			return
		}
		if !s.timed || trip < s.trip {
			s.timed, s.trip = true, trip
			s.offset = time.UnixMilli(now.T).Sub(asked.Add(trip / 2))
		}
	}
}

// stream opens one, with a position that no gateway knows in the header that
// browsers resume by. It reads for so long after the answer began, or only
// until sg.open without watch.
func (p *patient) stream(ctx context.Context, length time.Duration, query string, watch bool) stream {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	patience := time.AfterFunc(p.patience, stop)
	r := p.request(ctx, "/stream?errors=http&channels="+url.QueryEscape(p.Channel)+"&"+query)
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Accept-Encoding", "gzip")
	r.Header.Set("Last-Event-ID", badPosition)
	res, err := p.client.Do(r)
	if err != nil {
		return stream{asked: true, answer: answer{err: failure(ctx, err)}}
	}
	defer res.Body.Close()
	patience.Stop()
	s := stream{asked: true, headers: time.Now(), encoding: res.Header.Get("Content-Encoding")}
	s.answer = answerOf(res, res.StatusCode != http.StatusOK)
	if s.status != http.StatusOK {
		return s
	}
	left := time.AfterFunc(length, stop)
	defer left.Stop()
	s.read(ctx, res.Body, !watch)
	return s
}

// read takes blocks with the time of each until the stream ends or ctx does.
func (s *stream) read(ctx context.Context, body io.Reader, untilOpen bool) {
	s.lastByte = s.headers
	raw := &timed{from: body, stream: s}
	var plain io.Reader = raw
	if strings.EqualFold(s.encoding, "gzip") {
		plain = &lazyGzip{from: raw}
	} else if s.encoding != "" && !strings.EqualFold(s.encoding, "identity") {
		plain = raw.opaque()
	}
	lines := bufio.NewScanner(plain)
	lines.Buffer(nil, maxLine)
	lines.Split(blocks)
	for lines.Scan() {
		b := parse(lines.Text())
		b.at = time.Now()
		s.blocks = append(s.blocks, b)
		if untilOpen && b.event == "sg.open" {
			return
		}
	}
	s.ended = time.Now()
	if ctx.Err() != nil {
		return // the doctor left
	}
	if s.end = lines.Err(); s.end == nil {
		s.end = io.EOF
	}
}

// timed notes when bytes come, and the first of them.
type timed struct {
	from   io.Reader
	stream *stream
}

func (t *timed) Read(b []byte) (int, error) {
	n, err := t.from.Read(b)
	if n > 0 {
		now := time.Now()
		t.stream.silence = max(t.stream.silence, now.Sub(t.stream.lastByte))
		t.stream.lastByte = now
		if missing := len(ownGzip) - len(t.stream.head); missing > 0 {
			t.stream.head = append(t.stream.head, b[:min(n, missing)]...)
		}
	}
	return n, err
}

// opaque reads what cannot be decoded, to see when it ends.
func (t *timed) opaque() io.Reader { return opaque{t} }

type opaque struct{ from io.Reader }

func (o opaque) Read(b []byte) (int, error) {
	for {
		if _, err := o.from.Read(b); err != nil {
			return 0, err
		}
	}
}

// lazyGzip reads the gzip header when it comes, not before.
type lazyGzip struct {
	from io.Reader
	to   *gzip.Reader
}

func (g *lazyGzip) Read(b []byte) (n int, err error) {
	if g.to == nil {
		if g.to, err = gzip.NewReader(g.from); err != nil {
			return 0, err
		}
	}
	return g.to.Read(b)
}

// blocks splits a stream at its empty lines. A block that is cut is none.
func blocks(data []byte, _ bool) (advance int, token []byte, err error) {
	if i := bytes.Index(data, []byte("\n\n")); i >= 0 {
		return i + 2, data[:i], nil
	}
	return 0, nil, nil
}

func parse(text string) (b block) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "":
			b.comment = value
		case "event":
			b.event = value
		case "data":
			b.data += value
		}
	}
	return b
}

// between are the words by which those in between name themselves.
func (a answer) between() (names []string) {
	for _, header := range []string{"Via", "Server", "X-Served-By", "X-Cache", "CF-Ray", "X-Amz-Cf-Id", "X-Envoy-Upstream-Service-Time", "X-Varnish"} {
		if v := a.header.Get(header); v != "" {
			names = append(names, header+": "+v)
		}
	}
	return slices.Clip(names)
}
