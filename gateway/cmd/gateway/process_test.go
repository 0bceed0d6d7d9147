package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a gateway that listens on ports of its own, with a drain like the
// default one but for a shorter preStopDelay.
type process struct {
	*testing.T
	main, admin, folder string
	serial              int
	pid                 int
	stop                func() error // SIGTERM, and waits
}

const podName1 = "prices-1"

func startProcess(t *testing.T) *process {
	t.Helper()
	return startOver(t, podName1, "")
}

// startOver is startProcess with a log of these NATS servers; "" = its memory.
func startOver(t *testing.T, pod, servers string) *process {
	t.Helper()
	p := &process{T: t, main: freeAddress(t), admin: freeAddress(t), folder: t.TempDir()}
	broker := `{"type":"Memory"}`
	if servers != "" {
		broker = `{"type":"NATS","subjectPrefix":"sg.shop.prices","nats":{"url":"` + servers + `"}}`
	}
	p.write("cold.json", `{"drain":{"timeout":"30s","preStopDelay":"1s"},"broker":`+broker+`}`)
	p.configure("")
	cmd := command("--config", p.folder, "--listen", p.main, "--admin", p.admin)
	cmd.Env = append(cmd.Env, "POD_NAME="+pod)
	var logs bytes.Buffer
	cmd.Stderr = &logs
	if other := os.Getenv("HANDOVER_GATEWAY"); other != "" {
		cmd.Path = other
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.pid = cmd.Process.Pid
	p.stop = sync.OnceValue(func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("%w: %s", err, logs.String())
		}
		return nil
	})
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = p.stop() })
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if res, err := http.Get("http://" + p.admin + "/readyz"); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return p
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %s", logs.String())
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (p *process) write(name, text string) {
	p.Helper()
	path := filepath.Join(p.folder, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		p.Fatal(err)
	}
}

// configure pushes a document, with more fields of the document in front.
func (p *process) configure(more string) {
	p.Helper()
	p.serial++
	p.write("hot.json", fmt.Sprintf(`{"serial":%d,%s"stable":{"revision":"r","hot":{`+
		`"auth":{"publishers":{"mode":"Anonymous"}},"limits":{"publish":{"perPublisherEventsPerSecond":0}},"drain":{"reconnectSpread":"%ds"}}}}`, p.serial, more, int(spread().Seconds())))
}

// cpu is the processor time that the gateway has used; 0 where the system does
// not tell as Linux does, in hundredths of a second.
func (p *process) cpu() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return 0
	}
	// The name in parentheses may hold anything; user and system time are the
	// 12th and 13th field behind it.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
