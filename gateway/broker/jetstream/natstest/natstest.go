// Package natstest starts real NATS servers with JetStream inside of a test:
// one, or three as a cluster, with files in folders of their own, so that they
// can be ended, started again and robbed of what they stored.
//
// It is the only package that links a server, and is called by tests alone.
package natstest

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Patience is for what takes long only where many tests run at once.
const Patience = time.Minute

// Servers is a cluster, or one server, each with files in a folder of its own,
// on ports that stay the same.
type Servers struct {
	t       testing.TB
	Options []*server.Options // of each, for its next start
	mu      sync.Mutex
	running []*server.Server
}

// Start starts one server, or three as a cluster.
func Start(t testing.TB, n int) *Servers {
	t.Helper()
	s := &Servers{t: t, running: make([]*server.Server, n)}
	var routes []string
	for i := range n {
		o := &server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: FreePort(t), JetStream: true, StoreDir: t.TempDir(),
			NoLog: true, NoSigs: true, JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 1 << 30,
		}
		if n > 1 {
			o.Cluster = server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: FreePort(t)}
			routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", o.Cluster.Port))
		}
		s.Options = append(s.Options, o)
	}
	for _, o := range s.Options {
		o.Routes = server.RoutesFromStr(strings.Join(routes, ","))
	}
	for i := range n {
		s.Run(i)
	}
	t.Cleanup(func() {
		for i := range n {
			s.Stop(i)
		}
	})
	s.Await()
	return s
}

// FreePort is a port of loopback that nobody listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // closed at once
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Run starts a server, for the first time or again.
func (s *Servers) Run(i int) {
	s.t.Helper()
	o := s.Options[i].Clone()
	n, err := server.NewServer(o)
	if err != nil {
		s.t.Fatal(err)
	}
	n.Start()
	if !n.ReadyForConnections(Patience) {
		s.t.Fatal("a server does not start")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[i] = n
}

// Stop ends a server; what it acknowledged is in its files.
func (s *Servers) Stop(i int) {
	s.mu.Lock()
	n := s.running[i]
	s.running[i] = nil
	s.mu.Unlock()
	if n != nil {
		n.Shutdown()
		n.WaitForShutdown()
	}
}

// Forget takes a stopped server's files away.
func (s *Servers) Forget(i int) {
	s.t.Helper()
	if err := os.RemoveAll(s.Options[i].StoreDir); err != nil {
		s.t.Fatal(err)
	}
}

// Await waits until the servers have agreed on who leads.
func (s *Servers) Await() {
	s.t.Helper()
	Eventually(s.t, "a leader of the servers", func() bool {
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

// Leader is the server that leads a stream.
func (s *Servers) Leader(stream string) int {
	s.t.Helper()
	found := -1
	Eventually(s.t, "a leader of the stream", func() bool {
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

// URL names all servers.
func (s *Servers) URL() string {
	var all []string
	for _, o := range s.Options {
		all = append(all, fmt.Sprintf("nats://127.0.0.1:%d", o.Port))
	}
	return strings.Join(all, ",")
}

// Eventually waits until ok says so, and fails the test when it never does.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
