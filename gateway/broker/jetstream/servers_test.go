package jetstream

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// patienceOfTests is for what takes long only where many tests run at once.
const patienceOfTests = time.Minute

// servers is a cluster, or one server, each with files in a folder of its own,
// on ports that stay the same.
type servers struct {
	t       *testing.T
	options []*server.Options
	mu      sync.Mutex
	running []*server.Server
}

// startServers starts one server, or three as a cluster.
func startServers(t *testing.T, n int) *servers {
	t.Helper()
	s := &servers{t: t, running: make([]*server.Server, n)}
	var routes []string
	for i := range n {
		o := &server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: freePort(t), JetStream: true, StoreDir: t.TempDir(),
			NoLog: true, NoSigs: true, JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 1 << 30,
		}
		if n > 1 {
			o.Cluster = server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: freePort(t)}
			routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", o.Cluster.Port))
		}
		s.options = append(s.options, o)
	}
	for _, o := range s.options {
		o.Routes = server.RoutesFromStr(strings.Join(routes, ","))
	}
	for i := range n {
		s.start(i)
	}
	t.Cleanup(func() {
		for i := range n {
			s.stop(i)
		}
	})
	s.await()
	return s
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // closed at once
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (s *servers) start(i int) {
	s.t.Helper()
	o := s.options[i].Clone()
	n, err := server.NewServer(o)
	if err != nil {
		s.t.Fatal(err)
	}
	n.Start()
	if !n.ReadyForConnections(patienceOfTests) {
		s.t.Fatal("a server does not start")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[i] = n
}

// stop ends a server; what it acknowledged is in its files.
func (s *servers) stop(i int) {
	s.mu.Lock()
	n := s.running[i]
	s.running[i] = nil
	s.mu.Unlock()
	if n != nil {
		n.Shutdown()
		n.WaitForShutdown()
	}
}

// forget takes a stopped server's files away.
func (s *servers) forget(i int) {
	s.t.Helper()
	if err := os.RemoveAll(s.options[i].StoreDir); err != nil {
		s.t.Fatal(err)
	}
}

// await waits until the servers have agreed on who leads.
func (s *servers) await() {
	s.t.Helper()
	eventually(s.t, "a leader of the servers", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, n := range s.running {
			if n != nil && (len(s.running) == 1 && n.JetStreamEnabled() || n.JetStreamIsLeader()) {
				return true
			}
		}
		return false
	})
}

// leader is the server that leads a stream.
func (s *servers) leader(stream string) int {
	s.t.Helper()
	found := -1
	eventually(s.t, "a leader of the stream", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, n := range s.running {
			if n != nil && n.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
				found = i
			}
		}
		return found >= 0
	})
	return found
}

func (s *servers) url() string {
	var all []string
	for _, o := range s.options {
		all = append(all, fmt.Sprintf("nats://127.0.0.1:%d", o.Port))
	}
	return strings.Join(all, ",")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patienceOfTests); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// options are those of a log of these servers.
func (s *servers) optionsOf(prefix string) Options {
	return Options{URL: s.url(), SubjectPrefix: prefix, Name: "test", Retention: 10 * time.Minute, Log: slog.New(slog.DiscardHandler)}
}

// open makes a log, and tries again while servers start.
func (s *servers) open(t *testing.T, prefix string) *Log {
	t.Helper()
	return open(t, s.optionsOf(prefix))
}

func open(t *testing.T, o Options) *Log {
	t.Helper()
	var l *Log
	var err error
	for deadline := time.Now().Add(patienceOfTests); ; time.Sleep(50 * time.Millisecond) {
		if l, err = Open(t.Context(), o); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}
