//go:build linux

// Package bench measures this gateway and its peers, one after the other on
// the same machine, in the same scenarios, each next to the floor: a server
// that does nothing but the writes.
//
// It judges from outside: by what arrives on sockets and what the kernel says
// of the server's process. It is called by gateway/cmd/bench.
package bench

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/streamgateway/streamgateway/gateway/bench/contest"
)

// Options is what a run does.
type Options struct {
	Tools     contest.Tools
	Scenarios []string // by name; none = all
	Servers   []string // by name; none = all. Floors always run: they are what the others are compared with
	Quick     bool     // the quick scenarios only, half as long, one round
	Rounds    int      // of floor and gateway, in turn
	// PeerRounds is how many of these rounds have the peers in them.
	PeerRounds int
	// Within is how long a run may take: a scenario's further rounds are left
	// out when they would end later, and after it even first rounds are without
	// peers. 0 = as long as it takes.
	Within time.Duration
	// Core is where servers run; everything else of this program runs on
	// another one.
	Core int
	Seed uint64
}

// Run is everything a run found, and where.
type Run struct {
	Machine   Machine           `json:"machine"`
	Command   string            `json:"command"`
	Began     time.Time         `json:"began"`
	Seconds   float64           `json:"seconds"`
	Rounds    int               `json:"rounds"`
	Seed      uint64            `json:"seed"`
	Quick     bool              `json:"quick"`
	Versions  map[string]string `json:"versions"`
	Scenarios []Scenario        `json:"scenarios"`
	Results   []*Result         `json:"results"`
	Goals     []Goal            `json:"goals"`
}

// Machine is where it ran.
type Machine struct {
	Processor string            `json:"processor"`
	Cores     int               `json:"cores"`
	Kernel    string            `json:"kernel"`
	Go        string            `json:"go"`
	Sysctl    map[string]string `json:"sysctl"`
}

// Do runs the scenarios, every one of them once before any runs again. In each
// round all servers of a scenario take their turn, so that what changes on the
// machine meets all of them. It says each result on progress.
func Do(ctx context.Context, o Options, progress io.Writer) (*Run, error) {
	run := &Run{Began: time.Now().UTC(), Rounds: o.Rounds, Seed: o.Seed, Quick: o.Quick, Machine: machine(o.Core), Versions: map[string]string{}, Command: "bench " + strings.Join(os.Args[1:], " ")}
	servers, err := o.servers()
	if err != nil {
		return nil, err
	}
	if run.Scenarios, err = o.scenarios(); err != nil {
		return nil, err
	}
	for _, s := range servers {
		run.Versions[s.Name] = s.Version(o.Tools)
	}
	took := make([]time.Duration, len(run.Scenarios)) // by those that have more rounds
	for round := range o.Rounds {
		for i, sc := range run.Scenarios {
			spent := time.Since(run.Began)
			if round > 0 && o.Within > 0 && spent+took[i] > o.Within {
				fmt.Fprintf(progress, "%s: no round %d, it would end after %s\n", sc.Name, round+1, o.Within)
				continue
			}
			fmt.Fprintf(progress, "%s (%d of %d, round %d, after %.0f s): %s\n", sc.Name, i+1, len(run.Scenarios), round+1, spent.Seconds(), sc.Title)
			again, err := run.round(ctx, o, servers, sc, round, progress)
			if err != nil {
				return nil, err
			}
			took[i] = again
		}
	}
	run.Seconds = time.Since(run.Began).Seconds()
	run.Goals = run.judge()
	return run, nil
}

// round lets every server take its turn. It tells how long those took that
// take part in the next round too.
func (run *Run) round(ctx context.Context, o Options, servers []*contest.Server, sc Scenario, round int, progress io.Writer) (again time.Duration, err error) {
	for _, server := range servers {
		if !o.takesPart(sc, server, round) {
			continue
		}
		if late := o.Within > 0 && time.Since(run.Began) > o.Within; late && !server.Floor && server.Name != contest.Ours {
			fmt.Fprintf(progress, "  %-14s left out, %s are over\n", server.Name, o.Within)
			continue
		}
		began := time.Now()
		t := &trial{Scenario: sc, seed: o.Seed, result: &Result{Scenario: sc.Name, Server: server.Name, Round: round + 1}}
		t.run(ctx, server, o.Tools, o.Core)
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if o.takesPart(sc, server, round+1) {
			again += time.Since(began)
		}
		run.Results = append(run.Results, t.result)
		fmt.Fprintln(progress, t.result)
	}
	return again, nil
}

// ComparesWith tells whether another run measured the same programs in the same
// scenarios.
func (run *Run) ComparesWith(other *Run) bool {
	return run.Quick == other.Quick && maps.Equal(run.Versions, other.Versions) && slices.EqualFunc(run.Scenarios, other.Scenarios, func(a, b Scenario) bool {
		a.Quick = b.Quick // is not written down
		return a == b
	})
}

// takesPart leaves out what would say nothing new: a batching floor where
// nobody batches, peers after their rounds.
func (o Options) takesPart(sc Scenario, server *contest.Server, round int) bool {
	switch {
	case sc.Kind == Bytes && server.Name != contest.Ours && (!server.Floor || round > 0):
		return false // none of them compresses: one plain stream beside ours says it all
	case server.Floor && server.Batches:
		return sc.Window > 0 && sc.Kind == Paced
	case server.Floor || server.Name == contest.Ours:
		return true
	case sc.Alone:
		return false
	}
	return round < o.PeerRounds
}

func (o Options) servers() ([]*contest.Server, error) {
	all := contest.All()
	for _, name := range o.Servers {
		if !slices.ContainsFunc(all, func(s *contest.Server) bool { return s.Name == name }) {
			return nil, fmt.Errorf("no server %q", name)
		}
	}
	return slices.DeleteFunc(all, func(s *contest.Server) bool {
		return len(o.Servers) > 0 && !s.Floor && !slices.Contains(o.Servers, s.Name)
	}), nil
}

func (o Options) scenarios() ([]Scenario, error) {
	all := Scenarios()
	for _, name := range o.Scenarios {
		if !slices.ContainsFunc(all, func(s Scenario) bool { return s.Name == name }) {
			return nil, fmt.Errorf("no scenario %q", name)
		}
	}
	all = slices.DeleteFunc(all, func(s Scenario) bool {
		return len(o.Scenarios) > 0 && !slices.Contains(o.Scenarios, s.Name) || o.Quick && len(o.Scenarios) == 0 && !s.Quick
	})
	if o.Quick {
		for i := range all {
			if k := all[i].Kind; k == Paced || k == Flood || k == Publish {
				all[i].Lasts /= 2
			}
		}
	}
	return all, nil
}

func machine(core int) Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Sysctl: map[string]string{"serverCore": fmt.Sprint(core)}}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.Cores = strings.Count(string(text), "\nprocessor") + 1
		if _, after, ok := strings.Cut(string(text), "model name\t: "); ok {
			m.Processor, _, _ = strings.Cut(after, "\n")
		}
	}
	for name, path := range map[string]string{
		"kernel": "/proc/sys/kernel/osrelease", "tcp_wmem": "/proc/sys/net/ipv4/tcp_wmem",
		"tcp_rmem": "/proc/sys/net/ipv4/tcp_rmem", "somaxconn": "/proc/sys/net/core/somaxconn",
	} {
		if text, err := os.ReadFile(path); err == nil {
			m.Sysctl[name] = strings.Join(strings.Fields(string(text)), " ")
		}
	}
	m.Kernel = m.Sysctl["kernel"]
	delete(m.Sysctl, "kernel")
	return m
}

// String is one line for a person who waits.
func (r *Result) String() string {
	head := fmt.Sprintf("  %-14s round %d  ", r.Server, r.Round)
	switch {
	case r.Skipped != "":
		return head + "skipped: " + r.Skipped
	case r.Error != "":
		return head + "FAILED: " + strings.ReplaceAll(r.Error, "\n", "; ")
	}
	if r.Idle > 0 {
		user, buffers, kernel := r.memoryPerStream()
		return head + fmt.Sprintf("user %.0f B, socket buffers %.0f B, kernel structures %.0f B a stream", user, buffers, kernel)
	}
	if lost := int64(r.Expected) - int64(r.Delivered); lost != 0 || r.Duplicates != 0 {
		head += fmt.Sprintf("MISSING %d, TWICE %d: ", lost, r.Duplicates)
	}
	return head + fmt.Sprintf("%8.2f µs CPU each, %9d of %9d, p50 %6.1f p99 %6.1f ms, %.2f s (server %.2f, generator %.2f), load %.1f",
		r.MicrosecondsPerDelivery(), r.Delivered, r.Expected, float64(r.Latency.P50)/1000, float64(r.Latency.P99)/1000,
		r.Seconds, r.CPU(), r.BenchSeconds, r.LoadBefore)
}
