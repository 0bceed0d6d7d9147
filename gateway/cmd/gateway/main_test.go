package main

import (
	"bufio"
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be the command itself, so that signals, exit
// codes and output are those of a process.
func TestMain(m *testing.M) {
	if os.Getenv("RUN_GATEWAY") == "1" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func command(args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), "RUN_GATEWAY=1")
	return c
}

func TestTheCommandExplainsItselfAndRefusesWhatDoesNotFit(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "hot.json")
	if err := os.WriteFile(bad, []byte(`{"serial":1,"stable":{"hot":{"queue":{"maxLag":"-1s"}}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		args []string
		code int
		want string
	}{
		"help":                          {[]string{"--help"}, 0, "--listen host:port"},
		"version":                       {[]string{"--version"}, 0, "dev"},
		"an unknown flag":               {[]string{"--colour"}, 1, "gateway: unknown flag: --colour"},
		"an argument":                   {[]string{"serve"}, 1, `gateway: unexpected argument "serve"; see --help`},
		"two ways to run":               {[]string{"--dev", "--cluster"}, 1, "--dev runs alone"},
		"a cluster without mount":       {[]string{"--cluster"}, 1, "--cluster needs --config"},
		"a transport nobody has":        {[]string{"--transport", "pigeon"}, 1, "--transport is auto or generic"},
		"a certificate without key":     {[]string{"--dev", "--tls-cert", bad}, 1, "--tls-cert and --tls-key go together"},
		"a certificate that is none":    {[]string{"--dev", "--tls-cert", bad, "--tls-key", bad}, 1, "reading the TLS certificate: "},
		"a check of nothing":            {[]string{"--check"}, 1, "--check needs --config"},
		"a check of a bad document":     {[]string{"--check", "--config", bad}, 1, `stable.hot.queue.maxLag: "-1s" is not a duration; write it like 50ms`},
		"a check of a file not there":   {[]string{"--check", "--config", bad + "x"}, 1, "reading config: "},
		"a start without configuration": {[]string{"--config", bad + "x"}, 1, "reading config: "},
		"help of the doctor":            {[]string{"doctor", "--help"}, 0, "--watch long"},
		"a doctor without a URL":        {[]string{"doctor"}, 3, "gateway doctor: one URL is needed"},
		"a doctor for no URL":           {[]string{"doctor", "app.example.com"}, 3, "is no URL; write it like https://"},
		"a doctor with a lost token":    {[]string{"doctor", "http://127.0.0.1:1", "--token-file", bad + "x"}, 3, "reading the token: "},
		"a doctor with a bad authority": {[]string{"doctor", "https://127.0.0.1:1", "--ca", bad}, 3, "holds no PEM certificate"},
		"a doctor and nobody there":     {[]string{"doctor", "http://127.0.0.1:1"}, 2, "unreachable"},
		"a port nobody has":             {[]string{"--dev", "--listen", "127.0.0.1:99999"}, 1, "opening the port for clients: "},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cmd := command(c.args...)
			out, err := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.want) {
				t.Errorf("exit %d (%v):\n%s\nwant %d and %q", code, err, out, c.code, c.want)
			}
		})
	}
}

func TestASignalDrainsAndExitsWithZero(t *testing.T) {
	cmd := command("--dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	var logs bytes.Buffer
	cmd.Stderr = &logs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("said nothing")
	}
	_, url, _ := strings.Cut(strings.Trim(lines.Text(), "'"), "'")
	res, err := http.Get(url)
	for err != nil && time.Since(began) < 10*time.Second {
		time.Sleep(5 * time.Millisecond)
		res, err = http.Get(url)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	t.Logf("first stream %s after the start", time.Since(began).Round(time.Millisecond))
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var stream bytes.Buffer
	if _, err := stream.ReadFrom(res.Body); err != nil || !strings.Contains(stream.String(), "event: sg.end") {
		t.Errorf("the stream ended with %v: %s", err, stream.String())
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(logs.String(), `"msg":"drained"`) {
		t.Errorf("ended with %v: %s", err, logs.String())
	}
}
