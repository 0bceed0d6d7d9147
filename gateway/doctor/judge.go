package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// seen is all that was observed. The rules below read nothing else.
type seen struct {
	base            *url.URL
	watch, patience time.Duration
	clock           answer        // of /time
	timed           bool          // the clock told the time
	offset          time.Duration // server's clock minus ours
	trip            time.Duration // fastest way there and back
	plain           stream        // asked for without compression
	long            stream        // watched
	padded          stream        // only when the long one is held back
	poll            answer        // likewise
}

const (
	late         = time.Second // a heartbeat that takes longer was held by somebody
	expiresSoon  = 14 * 24 * time.Hour
	sessionLabel = "SG-Session"
)

// judge turns what was seen into findings, the worst first.
func judge(s seen) (r Report) {
	r.Facts = facts(s)
	r.Examined = s.long.opened() || s.plain.opened() || s.heldBack()
	for _, rule := range []func(seen) []Finding{
		reach, security, version, refusal, held, cut, compression, headers, position, names,
	} {
		r.Findings = append(r.Findings, rule(s)...)
	}
	order := []Level{Problem, Warning, Note}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return slices.Index(order, a.Level) - slices.Index(order, b.Level)
	})
	return r
}

// Problems counts the findings that hurt.
func (r Report) Problems() (n int) {
	for _, f := range r.Findings {
		if f.Level == Problem {
			n++
		}
	}
	return n
}

func one(level Level, name, text, fix string) []Finding {
	return []Finding{{level, name, text, fix}}
}

// reach: does a gateway answer behind this URL at all?
func reach(s seen) []Finding {
	a := s.clock
	var authority x509.UnknownAuthorityError
	var invalid *tls.CertificateVerificationError
	var dns *net.DNSError
	switch {
	case errors.Is(a.err, errNothing):
		return one(Problem, "unreachable", fmt.Sprintf("No answer to /time within %s.", s.patience),
			"Look for a firewall between here and the address, and at the proxy's log.")
	case errors.As(a.err, &authority), errors.As(a.err, &invalid):
		return one(Problem, "tls-untrusted", "The certificate is not trusted: "+a.err.Error()+".",
			"Give the proxy its full chain, or name your own authority with --ca.")
	case errors.As(a.err, &dns):
		return one(Problem, "unreachable", "The name is not known: "+a.err.Error()+".", "Correct the URL, or the DNS record.")
	case a.err != nil:
		return one(Problem, "unreachable", "No connection: "+a.err.Error()+".", "Look whether the proxy listens there, and with TLS or without as the URL says.")
	case a.status >= 300 && a.status < 400:
		return one(Problem, "redirect", fmt.Sprintf("The answer is a redirect (%d) to %s.", a.status, a.header.Get("Location")),
			"Give pages the address it leads to: publishers do not follow redirects, and browsers repeat them at every reconnect.")
	case a.status != http.StatusOK:
		return one(Problem, "path", fmt.Sprintf("GET %s/time is answered with %d.", s.base.Path, a.status),
			"Send this path to the gateway's Service, unchanged or as "+basePath+"; or correct the URL.")
	case !s.timed:
		return one(Problem, "path", "Something answers /time that is no gateway.", "Send this path to the gateway's Service, or correct the URL.")
	}
	return nil
}

// security: TLS.
func security(s seen) []Finding {
	a := s.clock
	if a.err != nil {
		return nil
	}
	host := s.base.Hostname()
	if ip := net.ParseIP(host); s.base.Scheme == "http" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return one(Warning, "no-tls", "Everybody on the way reads events and credentials, and browsers speak HTTP/1.1 only.",
			"End TLS in the proxy, and let this address lead to https.")
	}
	if a.tls == nil || len(a.tls.PeerCertificates) == 0 {
		return nil
	}
	if left := time.Until(a.tls.PeerCertificates[0].NotAfter); left < expiresSoon {
		return one(Warning, "tls-expires", fmt.Sprintf("The certificate ends in %s.", left.Round(time.Hour)), "Renew it.")
	}
	return nil
}

// version: browsers open six connections to a host in HTTP/1.1, in all tabs.
func version(s seen) []Finding {
	switch {
	case s.clock.err == nil && s.clock.proto == "HTTP/1.0":
		return one(Warning, "http-version", "Answers come in HTTP/1.0, so every poll opens a connection.", "Let the proxy speak HTTP/1.1 or 2.")
	case s.base.Scheme == "https" && strings.HasPrefix(s.clock.proto, "HTTP/1."):
		return one(Warning, "http-version", "Streams are "+s.clock.proto+": a browser opens six connections to one host, over all of its tabs; the seventh page waits.",
			"Turn on HTTP/2 for this host (nginx: listen 443 ssl http2).")
	}
	return nil
}

// refusal: an answer that is no stream.
func refusal(s seen) []Finding {
	st := s.plain
	if !st.asked || !st.refused() {
		st = s.long
	}
	if !st.asked || !st.refused() {
		return nil
	}
	kind := st.kind()
	text := fmt.Sprintf("The stream is refused with %d %s.", st.status, kind)
	switch {
	case kind == "":
		return one(Problem, "refused", fmt.Sprintf("The stream is answered with %d by somebody in between; /time passes.", st.status),
			"Let the proxy pass GET "+s.base.Path+"/stream with the header Accept: text/event-stream as it passes /time.")
	case kind == "unauthenticated":
		return one(Problem, "refused", text, "Give a token with --token-file. If you did, the proxy takes the header Authorization away, or the token has expired.")
	case kind == "channel-denied":
		return one(Problem, "refused", text, "Name a channel that may be read with --channel.")
	case kind == "invalid-parameter":
		return one(Problem, "query-stripped", text, "Let the proxy pass the query string: the gateway did not see which channels are asked for.")
	}
	return one(Problem, "refused", text, "The gateway itself says so; see the list of problems in docs/protocol.md.")
}

// delay is how long a block took from the gateway's clock to here; 0 when it
// has no time.
func (s seen) delay(b block) time.Duration {
	ms := int64(0)
	if text, ok := strings.CutPrefix(b.comment, "hb "); ok {
		ms, _ = strconv.ParseInt(text, 10, 64) // no number, no time
	} else if b.event == "sg.open" {
		o, _, _ := stream{blocks: []block{b}}.open()
		ms = o.Time
	}
	if ms == 0 || !s.timed {
		return 0
	}
	return max(0, b.at.Add(s.offset).Sub(time.UnixMilli(ms)))
}

// beats are the heartbeats of the long stream, and the longest delay of anything
// in it.
func (s seen) beats() (n int, longest time.Duration) {
	for _, b := range s.long.blocks {
		longest = max(longest, s.delay(b))
		if strings.HasPrefix(b.comment, "hb ") {
			n++
		}
	}
	return n, longest
}

// heldBack tells that bytes of the long stream came late or not at all.
func (s seen) heldBack() bool {
	if !s.long.asked || s.long.refused() {
		return false
	}
	o, at, ok := s.long.open()
	if !ok {
		return errors.Is(s.long.err, errNothing) || s.long.err == nil && (s.long.end == nil || len(s.long.blocks) == 0)
	}
	n, longest := s.beats()
	heartbeat := time.Duration(o.HB) * time.Millisecond
	missing := n == 0 && s.long.ended.Sub(at) > heartbeat*3/2
	return missing || longest > late || at.Sub(s.long.headers) > openPatience
}

// held: somebody collects bytes before passing them on.
func held(s seen) []Finding {
	if !s.heldBack() {
		return nil
	}
	text := "The stream's first event never came"
	if n, longest := s.beats(); s.long.opened() {
		text = fmt.Sprintf("Events come up to %s late", longest.Round(100*time.Millisecond))
		if n == 0 {
			text = "After the first event nothing came, no heartbeat either"
		}
	} else if s.long.err != nil {
		text = "Not even the answer's header came"
	}
	remedy := "Clients that notice fall back to long-poll, which works."
	switch {
	case s.padded.opened():
		remedy = "With 2 KiB of padding (pad=1) the first event comes, so it is a buffer that wants to be filled."
	case s.poll.err != nil || s.poll.status != http.StatusOK:
		remedy = "Long-poll, which clients fall back to, does not work either."
	}
	return one(Problem, "buffering", text+": somebody collects the answer before passing it on. "+remedy,
		"Turn response buffering off for this path (nginx: proxy_buffering off, and do not ignore X-Accel-Buffering; also caches, virus scanners and compression).")
}

// cut: the stream ended and the gateway did not say so.
func cut(s seen) []Finding {
	st := s.long
	for _, b := range st.blocks {
		if b.event == "sg.end" {
			return one(Note, "ended", "The gateway itself ended the stream: "+b.data+".", "Nothing in between did. Ask again when the gateway is calm.")
		}
	}
	if !st.asked || st.refused() {
		return nil
	}
	if st.err != nil && !errors.Is(st.err, errNothing) {
		return one(Problem, "cut", "The stream's connection broke before an answer: "+st.err.Error()+".", "Look at the proxy's error log.")
	}
	o, at, ok := st.open()
	heartbeat := time.Duration(o.HB) * time.Millisecond
	if st.end == nil {
		if ok && st.ended.Sub(at) < heartbeat*5/4 {
			return one(Note, "short-watch", fmt.Sprintf("Watched for %s, heartbeats come every %s: nothing is known of idle timeouts.", s.watch, heartbeat),
				fmt.Sprintf("Look again with --watch %s.", max(2*time.Minute, 3*heartbeat)))
		}
		return nil
	}
	return one(Problem, "cut", cutText(st), cutFix(st, heartbeat))
}

// idle tells that a stream may have been cut for saying nothing: it never
// survived a longer silence.
func (s stream) idle() bool { return s.ended.Sub(s.lastByte) >= max(s.silence, minSilence) }

func cutText(st stream) string {
	how := "ended in the middle"
	if errors.Is(st.end, io.EOF) {
		how = "ended as if it were complete"
	}
	return fmt.Sprintf("The stream %s after %s, %s after its last byte, without a word of the gateway (sg.end).",
		how, st.ended.Sub(st.headers).Round(10*time.Millisecond), st.ended.Sub(st.lastByte).Round(10*time.Millisecond))
}

func cutFix(st stream, heartbeat time.Duration) string {
	if !st.idle() {
		return "It had survived a longer silence, so this is a limit on the whole length of an answer: raise it above connections.maxAge (2 h) for this path, or lower connections.maxAge below it, so that clients are told before."
	}
	fix := fmt.Sprintf("An idle timeout, most likely: raise it above the heartbeat of %s, better to a minute (nginx: proxy_read_timeout; HAProxy: timeout tunnel, timeout server; AWS ALB: idle timeout), or lower connections.heartbeat below it.", heartbeat)
	if len(st.blocks) <= 3 { // retry, sg.open, sg.caught-up: no heartbeat yet
		fix += " It may as well be a limit on the whole length: if it stays after that, raise that."
	}
	return fix
}

// compression: somebody else's, or none.
func compression(s seen) []Finding {
	if e := s.plain.encoding; e != "" && !s.plain.refused() {
		return one(Warning, "recompressed", "A stream that asked for no compression came with Content-Encoding "+e+": somebody in between compresses, once for each client, and may hold bytes back for it.",
			"Leave text/event-stream out of the proxy's compression (nginx: gzip_types), and let it keep to Cache-Control: no-transform.")
	}
	o, _, ok := s.long.open()
	switch {
	case s.long.encoding != "" && s.long.err == nil && len(s.long.head) > 0 && string(s.long.head) != ownGzip:
		return one(Warning, "recompressed", "The compressed stream is not the gateway's own: somebody in between decodes and compresses again.",
			"Leave text/event-stream out of the proxy's compression (nginx: gzip_types, gunzip).")
	case ok && s.long.encoding == "" && o.Flags["compression"]:
		return one(Warning, "uncompressed", "A client that accepts gzip got a stream without compression.",
			"Let the proxy pass Accept-Encoding and Content-Encoding. If spec.compression.mode is Disabled it is as it should be.")
	}
	return nil
}

// headers: what a stream's answer must have.
func headers(s seen) (found []Finding) {
	st := s.long
	if !st.opened() {
		st = s.plain
	}
	if !st.opened() {
		return nil
	}
	if kind := st.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		found = append(found, Finding{Problem, "content-type", fmt.Sprintf("Content-Type is %q: an EventSource stops for good.", kind),
			"Let the proxy pass Content-Type."})
	}
	cache := st.header.Get("Cache-Control")
	if !strings.Contains(cache, "no-transform") {
		found = append(found, Finding{Warning, "no-transform", fmt.Sprintf("Cache-Control is %q; the gateway says no-store, no-transform. Others on the way, mobile carriers among them, may compress or collect.", cache),
			"Let the proxy pass Cache-Control as it is."})
	}
	if !strings.Contains(cache, "no-store") || st.header.Get("Age") != "" {
		found = append(found, Finding{Problem, "cached", "A cache stands between, or is allowed to: answers are not marked no-store, or have an Age.",
			"Take this path out of the cache."})
	}
	var gone []string
	for _, name := range []string{sessionLabel, "SG-Protocol", "SG-Cursor", "X-Content-Type-Options", "Referrer-Policy"} {
		if st.header.Get(name) == "" {
			gone = append(gone, name)
		}
	}
	if gone != nil {
		found = append(found, Finding{Warning, "headers-stripped", "Headers of the answer are missing: " + strings.Join(gone, ", ") + ".",
			"Let the proxy pass them; pages change their subscriptions by " + sessionLabel + "."})
	}
	if st.header.Get("X-Request-Id") != requestID {
		found = append(found, Finding{Note, "request-id", "X-Request-Id is replaced on the way, so the client's id is not in the gateway's log.",
			"Let the proxy pass it, or log the one it makes (nginx: $request_id)."})
	}
	return found
}

// position: the header by which a browser resumes.
func position(s seen) []Finding {
	o, _, ok := s.long.open()
	if !ok {
		o, _, ok = s.plain.open()
	}
	if !ok || o.Resume == "reset" {
		return nil
	}
	return one(Problem, "last-event-id", "The header Last-Event-ID does not reach the gateway: browsers that reconnect lose what came in between.",
		"Let the proxy pass Last-Event-ID, and take the path out of every cache.")
}

// names: who says that it is there.
func names(s seen) []Finding {
	if s.clock.err != nil {
		return nil
	}
	if between := s.clock.between(); between != nil {
		return one(Note, "in-between", "Answers name who passes them on: "+strings.Join(between, "; ")+".", "")
	}
	return nil
}
