// Package doctor opens streams through a URL, as a browser would, and names what
// stands between the browser and the gateway: who holds bytes back, compresses
// again, cuts connections or takes headers away.
//
// It knows the gateway only by its wire and nothing of its parts, so it can
// look at one that runs anywhere. It is called by gateway/cmd/gateway.
package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// basePath is where a gateway serves, unless a proxy moves it.
const basePath = "/v2/realtime"

// Patience with steps that take milliseconds when nothing is wrong.
const (
	headerPatience = 10 * time.Second // until an answer begins
	openPatience   = 3 * time.Second  // from there to sg.open, as clients wait
	minSilence     = 100 * time.Millisecond
)

// Options say what is looked at.
type Options struct {
	// URL is the base of the gateway as browsers reach it. One without a path
	// means /v2/realtime.
	URL string
	// Channel is what the streams subscribe to; nothing is published to it.
	Channel string
	// Token is sent as Authorization: Bearer; "" = none.
	Token string
	// Watch is how long the long stream is held open, to see who cuts it.
	Watch time.Duration
	// Roots are the certificates that are trusted; nil = the system's.
	Roots *x509.CertPool
	// Step is told what begins now, in a few words.
	Step func(string)

	patience time.Duration // until an answer begins; 0 = headerPatience
}

// Level tells how bad a finding is.
type Level string

// Levels of findings.
const (
	Problem Level = "PROBLEM" // streams are late, are cut, or lose their place
	Warning Level = "WARNING" // it works, at a price
	Note    Level = "NOTE"    // worth knowing
)

// Finding is one thing that stands between.
type Finding struct {
	Level Level
	Name  string // never reworded, so that scripts can look for it
	Text  string // what was seen
	Fix   string // what to do about it; "" = nothing
}

// Report is the outcome of an examination.
type Report struct {
	URL      string
	Facts    []Fact
	Findings []Finding
	// Examined is false when no stream could be opened, so that most questions
	// are open.
	Examined bool
}

// Fact is something measured that is neither good nor bad.
type Fact struct{ Name, Value string }

// Examine looks at a gateway through its URL. It takes Options.Watch and some
// seconds. An error means that the options make no sense; all that goes wrong on
// the way is a finding.
func Examine(ctx context.Context, o Options) (Report, error) {
	base, err := baseOf(o.URL)
	if err != nil {
		return Report{}, err
	}
	if o.Channel == "" || o.Watch <= 0 {
		return Report{}, errors.New("a channel and a time to watch are needed")
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	o.patience = cmp.Or(o.patience, headerPatience)
	p := &patient{Options: o, base: base, client: clientOf(o.Roots)}
	defer p.client.CloseIdleConnections()
	s := p.look(ctx)
	r := judge(s)
	r.URL = base.String()
	return r, nil
}

// look makes every request whose answer the rules need.
func (p *patient) look(ctx context.Context) seen {
	s := seen{base: p.base, watch: p.Watch, patience: p.patience}
	p.Step("asking for the time")
	p.clock(ctx, &s)
	if s.clock.err != nil || !s.timed {
		return s
	}
	p.Step("opening a stream that must not be compressed")
	s.plain = p.stream(ctx, openPatience, "compress=off", false)
	if !s.plain.refused() {
		p.Step(fmt.Sprintf("watching a stream for %s", p.Watch))
		s.long = p.stream(ctx, p.Watch, "", true)
	}
	if s.heldBack() {
		p.Step("trying what clients try against buffers: padding, then long-poll")
		s.padded = p.stream(ctx, openPatience, "compress=off&pad=1", false)
		s.poll = p.get(ctx, "/stream?wait=1&channels="+url.QueryEscape(p.Channel))
	}
	return s
}

func baseOf(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		return nil, fmt.Errorf("%q is no URL; write it like https://app.example.com%s", text, basePath)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the URL: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("%q is no http or https URL; write it like https://app.example.com%s", text, basePath)
	}
	u.RawQuery, u.Fragment, u.User = "", "", nil
	u.Path = strings.TrimSuffix(u.Path, "/")
	if u.Path == "" {
		u.Path = basePath
	}
	return u, nil
}

// clientOf follows no redirect and decodes nothing, so that what came is seen.
// Every stream has a connection of its own.
func clientOf(roots *x509.CertPool) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:              http.ProxyFromEnvironment,
			DisableCompression: true, ForceAttemptHTTP2: true, TLSHandshakeTimeout: headerPatience,
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		},
	}
}
