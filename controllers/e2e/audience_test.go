//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/noloss"
)

// audience is a number of open streams that remember what they were told. It
// never reconnects: a stream that ends is what a test wants to know.
type audience struct {
	mu      sync.Mutex
	streams []*listener
}

// listener is one stream of an audience.
type listener struct {
	stream   *noloss.Stream
	controls []noloss.Message // sg.* events in their order
	data     []noloss.Message
	ended    error // nil while it is open
	at       time.Time
}

// Audience opens n streams of these channels and returns when all are live.
func (c *Cluster) Audience(t *testing.T, base string, n int, channels ...string) *audience {
	t.Helper()
	a := &audience{}
	var opening sync.WaitGroup
	limit := make(chan struct{}, 32) // connects at a time
	for range n {
		opening.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			stream, err := noloss.Open(t.Context(), c.HTTP, noloss.StreamURL(strings.TrimSuffix(base, "/v2/realtime"), channels, "plain"), "")
			if err != nil {
				t.Error(err)
				return
			}
			l := &listener{stream: stream}
			a.mu.Lock()
			a.streams = append(a.streams, l)
			a.mu.Unlock()
			go a.listen(l)
		})
	}
	opening.Wait()
	t.Cleanup(a.Close)
	if t.Failed() {
		t.FailNow()
	}
	Eventually(t, 20*time.Second, "streams live", func() error { return a.Told("sg.caught-up", nil) })
	return a
}

func (a *audience) listen(l *listener) {
	for {
		m, err := l.stream.Next()
		a.mu.Lock()
		switch {
		case err != nil:
			l.ended, l.at = err, time.Now()
		case strings.HasPrefix(m.Event, "sg."):
			l.controls = append(l.controls, m)
		default:
			l.data = append(l.data, m)
		}
		a.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Told returns an error unless every stream got a control event of this name
// whose data fits. A nil fits takes any.
func (a *audience) Told(event string, fits func(data string) bool) error {
	return a.all(func(l *listener) error {
		for _, m := range l.controls {
			if m.Event == event && (fits == nil || fits(m.Data)) {
				return nil
			}
		}
		return fmt.Errorf("no %s", event)
	})
}

// Got returns an error unless every stream got an event with this data.
func (a *audience) Got(data string) error {
	return a.all(func(l *listener) error {
		for _, m := range l.data {
			if m.Data == data {
				return nil
			}
		}
		return fmt.Errorf("no event %s", data)
	})
}

// Open returns an error if a stream has ended.
func (a *audience) Open() error {
	return a.all(func(l *listener) error { return l.ended })
}

// Ended returns an error while a stream is open.
func (a *audience) Ended() error {
	return a.all(func(l *listener) error {
		if l.ended == nil {
			return fmt.Errorf("is open")
		}
		return nil
	})
}

// all applies check to every stream and counts the failures by their text.
func (a *audience) all(check func(*listener) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	failures := map[string]int{}
	failed := 0
	for _, l := range a.streams {
		if err := check(l); err != nil {
			failures[err.Error()]++
			failed++
		}
	}
	if failed == 0 && len(a.streams) > 0 {
		return nil
	}
	var texts []string
	for text, n := range failures {
		texts = append(texts, fmt.Sprintf("%d × %s", n, text))
	}
	sort.Strings(texts)
	return fmt.Errorf("%d of %d streams: %s", failed, len(a.streams), strings.Join(texts, "; "))
}

// LastAt is the newest of the times that pick finds in a stream.
func (a *audience) LastAt(pick func(*listener) time.Time) (last time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.streams {
		if at := pick(l); at.After(last) {
			last = at
		}
	}
	return last
}

// Close ends all streams.
func (a *audience) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.streams {
		l.stream.Close()
	}
}

// flagIs fits sg.flags whose flag has this value.
func flagIs(name string, value bool) func(string) bool {
	return func(data string) bool {
		var in struct{ Flags map[string]bool }
		got, known := false, false
		if json.Unmarshal([]byte(data), &in) == nil {
			got, known = in.Flags[name]
		}
		return known && got == value
	}
}

// Answers waits until something behind url takes connections, as Gateway does
// for a gateway: a pod is Ready a moment before its node's proxy knows of it.
func (c *Cluster) Answers(t *testing.T, url string) {
	t.Helper()
	Eventually(t, 10*time.Second, url, func() error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := c.HTTP.Do(request)
		if err != nil {
			return err
		}
		return response.Body.Close()
	})
}

// WindowIs returns an error unless the gateway batches with this window. The
// JSON metrics are for those who may publish.
func (c *Cluster) WindowIs(t *testing.T, base, token string, window time.Duration) error {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/metrics", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := c.HTTP.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var m struct{ Batching struct{ WindowMs float64 } }
	if err := json.NewDecoder(response.Body).Decode(&m); err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("metrics: %s, %w", response.Status, err)
	}
	if m.Batching.WindowMs != float64(window/time.Millisecond) {
		return fmt.Errorf("the window is %v ms, want %v", m.Batching.WindowMs, window)
	}
	return nil
}
