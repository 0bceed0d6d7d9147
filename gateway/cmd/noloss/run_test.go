package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/broker/jetstream/natstest"
	"github.com/streamgateway/streamgateway/gateway/noloss"
)

// gateway is a real one, as a process of its own that can be killed.
type gateway struct {
	t       *testing.T
	program string
	address string
	admin   string
	process *exec.Cmd
	output  bytes.Buffer
}

func build(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{t: t, program: filepath.Join(t.TempDir(), "gateway"), address: free(t), admin: free(t)}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", g.program, "../gateway").CombinedOutput(); err != nil {
		t.Fatalf("building the gateway: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if g.process != nil {
			g.kill()
		}
		if t.Failed() {
			t.Logf("gateway:\n%s", g.output.String())
		}
	})
	return g
}

// free finds a port of loopback that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // closed at once
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (g *gateway) start(args ...string) {
	g.t.Helper()
	if len(args) == 0 {
		args = []string{"--dev"}
	}
	g.process = exec.Command(g.program, append(args, "--listen", g.address, "--admin", g.admin, "--log-level", "warn")...) // killed by the test
	g.process.Stderr = &g.output
	if err := g.process.Start(); err != nil {
		g.t.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + g.admin + "/readyz") // a loopback poll
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
	}
	g.t.Fatal("the gateway is not ready after 20 s")
}

func (g *gateway) kill() {
	_ = g.process.Process.Signal(os.Kill)
	_ = g.process.Wait() // "signal: killed" is what was wanted
	g.process = nil
}

func (g *gateway) prove(t *testing.T, args ...string) (noloss.Result, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), append([]string{"--url", "http://" + g.address, "--json"}, args...), &out)
	var result noloss.Result
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &result); err != nil {
			t.Fatalf("reading %s: %v", out.Bytes(), err)
		}
	}
	return result, err
}

func TestTwoHundredCutsOfARealGatewayLoseAndRepeatNothing(t *testing.T) {
	g := build(t)
	g.start()
	result, err := g.prove(t, "--duration", "4s", "--cuts", "200")
	if err != nil || !result.Passed || result.Cuts < 200 || result.Named != 0 || result.Missing != 0 {
		t.Errorf("%v\n%s", err, result)
	}
	t.Logf("\n%s", result)
}

// TestKilledGatewayNamesWhatWasLostWithIt takes the only copy of the events
// away, twice, in the middle of a run.
func TestKilledGatewayNamesWhatWasLostWithIt(t *testing.T) {
	g := build(t)
	g.start()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2 {
			time.Sleep(1500 * time.Millisecond)
			g.kill()
			g.start()
		}
	}()
	result, err := g.prove(t, "--duration", "6s", "--cuts", "20", "--strict=false")
	<-done
	if err != nil || !result.Passed {
		t.Errorf("%v\n%s", err, result)
	}
	if result.Controls["sg.reset"] < result.Subscribers || result.Retries == 0 {
		t.Errorf("the kill was not felt:\n%s", result)
	}
	t.Logf("\n%s", result)
}

// TestKilledGatewayOverASharedLogLosesNothing kills the gateway twice and starts
// the log's server again in between: strictly nothing is missing, named or not.
func TestKilledGatewayOverASharedLogLosesNothing(t *testing.T) {
	servers := natstest.Start(t, 1)
	g := build(t)
	folder := t.TempDir()
	for name, text := range map[string]string{
		"cold.json": `{"broker":{"type":"NATS","subjectPrefix":"sg.noloss","nats":{"url":"` + servers.URL() + `"}}}`,
		"hot.json":  `{"serial":1,"stable":{"revision":"r","hot":{"auth":{"publishers":{"mode":"Anonymous"}},"limits":{"publish":{"perPublisherEventsPerSecond":0}}}}}`,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g.start("--config", folder)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2 {
			time.Sleep(time.Second)
			g.kill()
			g.start("--config", folder)
			time.Sleep(time.Second)
			servers.Stop(0)
			servers.Run(0)
		}
	}()
	result, err := g.prove(t, "--duration", "6s", "--cuts", "20")
	<-done
	if err != nil || !result.Passed || result.Named != 0 || result.Missing != 0 || result.Retries == 0 || result.Controls["sg.reset"] != 0 {
		t.Errorf("%v\n%s", err, result)
	}
	t.Logf("\n%s", result)
}

// TestSlowSubscribersAreToldExactlyWhatWasSkipped lets some subscribers stop
// reading until they reach the limits of the queue, under each policy.
func TestSlowSubscribersAreToldExactlyWhatWasSkipped(t *testing.T) {
	g := build(t)
	for policy, event := range map[string]string{"DropWithGap": "sg.gap", "Conflate": "sg.gap", "Disconnect": "sg.end"} {
		t.Run(policy, func(t *testing.T) {
			hot := filepath.Join(t.TempDir(), "hot.json")
			text := `{"serial":1,"stable":{"revision":"slow","hot":{"auth":{"publishers":{"mode":"Anonymous"}},"queue":{"maxEvents":100,"maxLag":"1s","slowConsumerPolicy":"` + policy + `"}}}}`
			if err := os.WriteFile(hot, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			g.start("--config", hot)
			defer g.kill()
			result, err := g.prove(t, "--duration", "8s", "--rate", "1000", "--subscribers", "8", "--slow", "5", "--cuts", "10", "--strict=false")
			t.Logf("\n%s", result)
			if err != nil || !result.Passed || result.Controls[event] == 0 || (result.Named > 0) != (event == "sg.gap") {
				t.Errorf("%v: want %s, and nothing unnamed", err, event)
			}
		})
	}
}

// TestWhoComesBackTooLateIsToldWhichChannelsLost resumes behind a replay buffer
// that holds about a second, while it evicts.
func TestWhoComesBackTooLateIsToldWhichChannelsLost(t *testing.T) {
	g := build(t)
	hot := filepath.Join(t.TempDir(), "hot.json")
	text := `{"serial":1,"stable":{"revision":"short","hot":{"auth":{"publishers":{"mode":"Anonymous"}},"replay":{"ttl":"1s","maxBytes":1048576}}}}`
	if err := os.WriteFile(hot, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g.start("--config", hot)
	result, err := g.prove(t, "--duration", "8s", "--rate", "500", "--subscribers", "16", "--channels", "24", "--cuts", "60", "--away", "3s", "--strict=false")
	t.Logf("\n%s", result)
	if err != nil || !result.Passed || result.Controls["sg.reset"] == 0 || result.Named == 0 {
		t.Errorf("%v: want resets, and nothing unnamed", err)
	}
}

func TestDelayOfARealGatewayIsMeasured(t *testing.T) {
	g := build(t)
	g.start()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--url", "http://" + g.address, "--latency", "20", "--pause", "60ms", "--json"}, &out); err != nil {
		t.Fatal(err)
	}
	var l noloss.Latency
	if err := json.Unmarshal(out.Bytes(), &l); err != nil || l.Count != 20 || l.P50 <= 0 || l.P50 > l.P95 || l.P95 > l.Max {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestRunThatCannotTakePlaceIsNoVerdict(t *testing.T) {
	for name, args := range map[string][]string{
		"nobody there":         {"--url", "http://" + free(t), "--settle", "300ms"},
		"an unknown format":    {"--formats", "xml"},
		"an unknown flag":      {"--nope"},
		"a stray argument":     {"now"},
		"no subscriber":        {"--subscribers", "0"},
		"a token file missing": {"--token-file", "/nowhere", "--url", "http://" + free(t), "--latency", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := run(t.Context(), args, &out); err == nil || errors.Is(err, errLoss) || out.Len() > 0 {
				t.Errorf("error %v, output %q", err, out.String())
			}
		})
	}
	var help bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "Exit code") || !strings.Contains(help.String(), "-cuts") {
		t.Errorf("help: %v\n%s", err, help.String())
	}
}
