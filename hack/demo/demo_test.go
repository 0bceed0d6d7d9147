package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/hack/demo/try"
)

const testToken = "test-token"

// bench is a real gateway and a real demo, each a process that can be killed.
type bench struct {
	t                            *testing.T
	folder, gatewayURL, adminURL string
	demoURL                      string
	gateway, demo                *exec.Cmd
	output                       syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, folder: t.TempDir(), gatewayURL: "http://" + free(t), adminURL: "http://" + free(t), demoURL: "http://" + free(t)}
	for program, where := range map[string][2]string{"gateway": {"../..", "./gateway/cmd/gateway"}, "demo": {".", "."}} {
		build := exec.CommandContext(t.Context(), "go", "build", "-C", where[0], "-o", filepath.Join(b.folder, program), where[1])
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", program, err, out)
		}
	}
	t.Cleanup(func() {
		kill(b.demo)
		kill(b.gateway)
		if t.Failed() {
			t.Logf("output of demo and gateway:\n%s", b.output.b.String())
		}
	})
	return b
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // closed at once
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func address(url string) string { return strings.TrimPrefix(url, "http://") }

func kill(c *exec.Cmd) {
	if c != nil && c.ProcessState == nil {
		_ = c.Process.Kill()
		_ = c.Wait() // "signal: killed" is what was wanted
	}
}

func (b *bench) run(program, ready string, args ...string) *exec.Cmd {
	b.t.Helper()
	c := exec.Command(filepath.Join(b.folder, program), args...) // killed by the test
	c.Env = append(os.Environ(), tokenVariable+"="+testToken)
	c.Stderr, c.Stdout = &b.output, &b.output
	if err := c.Start(); err != nil {
		b.t.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(ready); err == nil { // a loopback poll
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return c
			}
		}
	}
	kill(c)
	b.t.Fatalf("%s is not ready after 20 s", program)
	return nil
}

func (b *bench) startGateway() {
	b.gateway = b.run("gateway", b.adminURL+"/readyz", "--dev", "--listen", address(b.gatewayURL), "--admin", address(b.adminURL), "--log-level", "warn")
}

func (b *bench) startDemo() {
	b.demo = b.run("demo", b.demoURL+"/healthz", "serve", "--listen", address(b.demoURL), "--gateway", b.gatewayURL, "--database", filepath.Join(b.folder, "demo.db"))
}

// post returns the id of a stored revenue, or "" if it was not answered: then
// nobody knows whether it was stored.
func (b *bench) post() string {
	req, err := http.NewRequest(http.MethodPost, b.demoURL+"/finance/revenue", strings.NewReader(`{"amount":10000,"propertyId":1}`)) // the demo answers or is killed
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+testToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var answer struct{ ID string }
	if resp.StatusCode != http.StatusCreated || json.NewDecoder(resp.Body).Decode(&answer) != nil {
		return ""
	}
	return answer.ID
}

// events reads everything the gateway holds of the channel.
func (b *bench) events(t *testing.T) (ids []string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.gatewayURL+"/v2/realtime/stream?channels=finance.revenue&cursor=earliest", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		data, found := strings.CutPrefix(lines.Text(), `data: {"id":"`)
		if id, _, ok := strings.Cut(data, `"`); found && ok {
			ids = append(ids, id)
		}
		if lines.Text() == "event: sg.caught-up" {
			return ids
		}
	}
	t.Fatalf("the stream ended before all of the past was read: %v", lines.Err())
	return nil
}

func (b *bench) waitForEmptyOutbox(t *testing.T) (revenues int) {
	t.Helper()
	var got struct{ Revenues, Waiting, Refused int }
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(b.demoURL + "/healthz") // a loopback poll
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(resp.Body).Decode(&got)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got.Waiting == 0 && got.Refused == 0 {
			return got.Revenues
		}
	}
	t.Fatalf("the outbox does not empty: %+v", got)
	return 0
}

// TestRevenuesTakenWithoutAGatewayArriveLater covers the outage of the gateway
// and the death of the demo during it.
func TestRevenuesTakenWithoutAGatewayArriveLater(t *testing.T) {
	b := newBench(t)
	b.startDemo()
	var want []string
	for range 5 {
		want = append(want, b.post())
	}
	kill(b.demo)
	b.startGateway()
	b.startDemo()
	want = append(want, b.post())
	if n := b.waitForEmptyOutbox(t); n != 6 {
		t.Errorf("%d revenues, want 6", n)
	}
	if got := b.events(t); !slices.Equal(got, want) || slices.Contains(want, "") {
		t.Errorf("events %v\nwant   %v", got, want)
	}
}

// TestKilledDemoNeitherLosesNorRepeatsNorReorders kills the demo again and again
// while revenues come in: between commit and publish, and between publish and
// the note of it.
func TestKilledDemoNeitherLosesNorRepeatsNorReorders(t *testing.T) {
	b := newBench(t)
	b.startGateway()
	var want []string
	for round := range 8 {
		b.startDemo()
		done := make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(time.Duration(5+23*round) * time.Millisecond)
			_ = b.demo.Process.Kill()
		}()
		for answered := true; answered; {
			id := b.post()
			if answered = id != ""; answered {
				want = append(want, id)
			}
		}
		<-done
		_ = b.demo.Wait() // "signal: killed" is what was wanted
	}
	b.startDemo()
	stored := b.waitForEmptyOutbox(t)
	got := b.events(t)
	if len(got) != stored {
		t.Errorf("%d events of %d revenues", len(got), stored)
	}
	seen := map[string]bool{}
	var answered []string
	for _, id := range got {
		if seen[id] {
			t.Errorf("event %s came twice", id)
		}
		seen[id] = true
		if slices.Contains(want, id) {
			answered = append(answered, id)
		}
	}
	if !slices.Equal(answered, want) {
		t.Errorf("%d revenues were answered with 201, their events are %d, or in another order", len(want), len(answered))
	}
	t.Logf("%d revenues answered, %d stored, %d events, 8 kills", len(want), stored, len(got))
}

func TestTryShowsTheEventOfItsRevenue(t *testing.T) {
	b := newBench(t)
	b.startGateway()
	b.startDemo()
	var out bytes.Buffer
	if err := try.Main(t.Context(), []string{"--url", b.demoURL, "--token", testToken, "--posts", "3"}, &out); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Count(text, "arrived") != 3 || !strings.Contains(text, "3 posts, POST to event: avg") {
		t.Errorf("output\n%s", text)
	}
	out.Reset()
	if err := try.Main(t.Context(), []string{"--url", b.demoURL, "--token", testToken, "--posts", "20", "--json"}, &out); err != nil {
		t.Fatal(err)
	}
	var sum try.Summary
	if err := json.Unmarshal(out.Bytes(), &sum); err != nil || sum.Posts != 20 || sum.AvgMs <= 0 || sum.P95Ms < sum.P50Ms || sum.MaxMs < sum.P95Ms {
		t.Errorf("%v: %s", err, out.String())
	}
	for name, args := range map[string][]string{
		"wrong token": {"--url", b.demoURL, "--token", "wrong"},
		"nobody":      {"--url", "http://" + free(t), "--token", testToken},
		"no posts":    {"--posts", "0"},
	} {
		if err := try.Main(t.Context(), args, &out); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestStopEndsStreamsAndExitsInOrder sends SIGTERM while a reader's stream is
// open, which must not hold the demo up.
func TestStopEndsStreamsAndExitsInOrder(t *testing.T) {
	b := newBench(t)
	b.startGateway()
	b.startDemo()
	resp, err := http.Get(b.demoURL + "/v2/realtime/stream?channels=finance.revenue") // ended by the demo
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if id := b.post(); id == "" {
		t.Fatal("no revenue")
	}
	begun := time.Now()
	if err := b.demo.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := b.demo.Wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
	if took := time.Since(begun); took >= stopTimeout {
		t.Errorf("the stop took %v", took)
	}
}

func TestServeRefusesWhatItCannotRunWith(t *testing.T) {
	t.Setenv(tokenVariable, "")
	for name, args := range map[string][]string{
		"no token":             nil,
		"a gateway without //": {"--gateway", "prices:80"},
		"a stray argument":     {"now"},
		"an unknown flag":      {"--nope"},
	} {
		if err := run(t.Context(), append([]string{"serve"}, args...)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	t.Setenv(tokenVariable, testToken)
	if err := run(t.Context(), []string{"serve", "--database", filepath.Join(t.TempDir(), "no", "folder.db")}); err == nil {
		t.Error("a database that cannot be made: no error")
	}
	if err := run(t.Context(), []string{"fly"}); err == nil || !strings.Contains(fmt.Sprint(err), "fly") {
		t.Errorf("unknown command: %v", err)
	}
}
