//go:build linux

// Package contest knows the servers that are compared: how each is started on
// loopback, asked for a stream, given an event, and asked to resume.
//
// It measures nothing. It is called by gateway/bench.
package contest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/streamgateway/streamgateway/gateway/bench/load"
)

// Setup is what a scenario wants of a server.
type Setup struct {
	Window      time.Duration // of batching; 0 = every event at once
	Connections int           // streams that will be open at a time
	Keep        time.Duration // events at most so long, by this gateway; 0 = its default
}

// Tools are the programs that servers are started from.
type Tools struct {
	Gateway string // this gateway
	Peers   string // hack/bench/peers; "" = not built
	Bench   string // this program, for the floor
	Dir     string // for configurations and logs
}

// place is where a server is to listen, on loopback.
type place struct{ server, admin netip.AddrPort }

// Server is one contestant.
type Server struct {
	Name string
	// Floor is true for what others are compared with.
	Floor bool
	// Batches tells that it can gather events before it writes, Replays that a
	// client can come back to its position, Pages that it has the channel's
	// events as JSON to be polled for.
	Batches, Replays bool

	command func(t Tools, s Setup, p place) ([]string, error)
	stream  func(channels []string, since string) (target string, header string)
	target  load.Target // Server is filled in by Start
	// position is what to resume with, see load.Follow.
	position func(line, before string) string
	version  func(t Tools) string
}

// Running is a server that serves.
type Running struct {
	*Server
	Address netip.AddrPort
	Admin   netip.AddrPort // only this gateway has one
	process *exec.Cmd
	log     *os.File
}

const startTimeout = 10 * time.Second

// ErrMissing tells that a server is not installed here.
var ErrMissing = errors.New("not installed")

// AllCores is the core of a server that may use all of them.
const AllCores = -1

// Start runs the server on one core and waits until its port takes
// connections.
func (s *Server) Start(ctx context.Context, t Tools, set Setup, core int) (*Running, error) {
	p := place{}
	for _, a := range []*netip.AddrPort{&p.server, &p.admin} {
		free, err := freePort()
		if err != nil {
			return nil, err
		}
		*a = free
	}
	args, err := s.command(t, set, p)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(t.Dir, s.Name+".log"))
	if err != nil {
		return nil, fmt.Errorf("making a log: %w", err)
	}
	cores := fmt.Sprint(core)
	if core == AllCores {
		cores = "0-1023" // as many of them as there are; this process has one only
	}
	args = append([]string{"taskset", "-c", cores}, args...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own, to end workers with their master.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd) }
	r := &Running{Server: s, Address: p.server, Admin: p.admin, process: cmd, log: log}
	if err := cmd.Start(); err != nil {
		log.Close()
		return nil, fmt.Errorf("starting %s: %w", s.Name, err)
	}
	for end := time.Now().Add(startTimeout); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", p.server.String(), time.Second)
		if err == nil {
			conn.Close()
			return r, nil
		}
		if time.Now().After(end) {
			return nil, errors.Join(fmt.Errorf("waiting for %s (see %s): %w", s.Name, log.Name(), err), r.Stop())
		}
	}
}

func freePort() (netip.AddrPort, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("looking for a free port: %w", err)
	}
	defer l.Close()
	return netip.ParseAddrPort(l.Addr().String())
}

// PID is that of the server's first process.
func (r *Running) PID() int { return r.process.Process.Pid }

// Request is what asks for a stream of these channels, from a position or "".
func (r *Running) Request(channels []string, since string) []byte {
	target, header := r.stream(channels, since)
	return []byte("GET " + target + " HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n" + header + "\r\n")
}

// Target is how it takes events.
func (r *Running) Target() load.Target {
	t := r.target
	t.Server = r.Address
	return t
}

// Follow opens a stream that knows its position.
func (r *Running) Follow(channel string) (*load.Follower, error) {
	return load.Follow(r.Address, r.Request([]string{channel}, ""), r.position)
}

// Stop kills it: what it would do at an orderly end is not measured here.
func (r *Running) Stop() error {
	defer r.log.Close()
	if err := killGroup(r.process); err != nil {
		return fmt.Errorf("stopping %s: %w", r.Name, err)
	}
	_ = r.process.Wait() // "killed" is what was wanted
	return nil
}

// killGroup ends a server and its children; that it has ended is no error.
func killGroup(cmd *exec.Cmd) error {
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// idLine is the position where streams have plain ids.
func idLine(line, before string) string {
	if id, ok := strings.CutPrefix(line, "id: "); ok {
		return id
	}
	return before
}

func lastEventID(since string) string {
	if since == "" {
		return ""
	}
	return "Last-Event-ID: " + since + "\r\n"
}

const jsonHeader = "Content-Type: application/json\r\n"

func plainHeader(string) string { return jsonHeader }

// Version says what was measured; "" = it is not there.
func (s *Server) Version(t Tools) string { return s.version(t) }
