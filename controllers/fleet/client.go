package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/streamgateway/streamgateway/gateway/report"
)

// Bounds of what a pod may cost the operator.
const (
	maxReportBytes = 256 << 10
	maxHeaderBytes = 16 << 10
	maxAsksAtOnce  = 16 // over one call of Ask

	// Bytes of a refusal, which is copied into status.
	maxMessageLength  = 1024
	maxRevisionLength = 63
)

// Client asks pods. It is safe for use by several goroutines and keeps idle
// connections, so that a steady poll costs one request and no handshake.
type Client struct{ http *http.Client }

// NewClient makes a Client that reaches pods directly: no proxy, no redirect.
func NewClient() *Client {
	return &Client{http: &http.Client{
		Transport: &http.Transport{
			MaxIdleConnsPerHost:    1,
			MaxResponseHeaderBytes: maxHeaderBytes,
			IdleConnTimeout:        90 * time.Second,
			DisableCompression:     true, // a small answer must stay small
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Ask asks all targets, a bounded number at once, and returns one answer for
// each, in their order. A pod that has not answered after timeout is an error
// of its own answer and holds up nobody else. With serial > 0 a pod answers
// when it runs, or has refused, that serial, or shortly before the timeout.
func (c *Client) Ask(ctx context.Context, targets []Target, serial int64, timeout time.Duration) []Answer {
	answers := make([]Answer, len(targets))
	slots := make(chan struct{}, maxAsksAtOnce)
	var wait sync.WaitGroup
	for i, t := range targets {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			r, err := c.ask(ctx, t, serial, timeout)
			answers[i] = Answer{Pod: t.Pod, Report: r, Err: err}
		})
	}
	wait.Wait()
	return answers
}

func (c *Client) ask(ctx context.Context, t Target, serial int64, timeout time.Duration) (*report.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	u := url.URL{Scheme: "http", Host: t.Address, Path: report.Path}
	if serial > 0 {
		u.RawQuery = url.Values{report.WaitParameter: {strconv.FormatInt(serial, 10)}}.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("asking pod %s: %w", t.Pod, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking pod %s: %w", t.Pod, err)
	}
	defer response.Body.Close()
	r, err := read(response)
	if err != nil {
		return nil, fmt.Errorf("asking pod %s: %w", t.Pod, err)
	}
	if r.Pod != t.Pod {
		// Addresses are used again: what answers may be another gateway's pod.
		return nil, fmt.Errorf("asking pod %s: pod %.64q answered in its place", t.Pod, r.Pod)
	}
	return r, nil
}

func read(response *http.Response) (*report.Report, error) {
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReportBytes+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxReportBytes {
		return nil, fmt.Errorf("the report is longer than %d bytes", maxReportBytes)
	}
	var r report.Report
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("reading the report: %w", err)
	}
	if err := check(&r); err != nil {
		return nil, err
	}
	return &r, nil
}

// check refuses a report whose numbers cannot be, and cuts what a pod could
// fill status with.
func check(r *report.Report) error {
	switch {
	case r.Connections.Active < 0 || r.Queue.Slow < 0 || r.Serial < 0:
		return errors.New("the report holds a negative count")
	case r.Queue.LagPercent < 0 || r.Queue.LagPercent > 100:
		return errors.New("the report holds a lag outside 0..100 percent")
	case max(len(r.Latency.Counts), len(r.Browsers.Latency.Counts), len(r.Queue.Waiting.Counts)) > report.Buckets:
		return fmt.Errorf("the report holds a histogram of more than %d buckets", report.Buckets)
	}
	if err := checkFlags(r.Browsers.Flags); err != nil {
		return err
	}
	if a := r.Audit; a != nil {
		a.Message = cut(a.Message)
	}
	if t := r.TLS; t != nil {
		if t.Reason != "" && t.Reason != report.SecretNotFound && t.Reason != report.InvalidCertificate {
			return errors.New("the report holds a trouble with TLS that nobody knows")
		}
		t.Message = cut(t.Message)
	}
	if r.Nack == nil {
		return nil
	}
	if len(r.Nack.Revision) > maxRevisionLength {
		return errors.New("the report holds a revision that nobody pushed")
	}
	r.Nack.Message = cut(r.Nack.Message)
	return nil
}

func checkFlags(flags []report.Cohorts) error {
	if len(flags) > report.MaxFlags {
		return fmt.Errorf("the report tells of more than %d flags", report.MaxFlags)
	}
	for i := range flags {
		c := &flags[i]
		if len(c.Flag) > maxRevisionLength || max(len(c.On.Counts), len(c.Off.Counts)) > report.Buckets {
			return errors.New("the report tells of a flag that cannot be")
		}
	}
	return nil
}

// cut keeps a message within what status has room for.
func cut(message string) string {
	return strings.ToValidUTF8(message[:min(len(message), maxMessageLength)], "") // the cut may have split a character
}
