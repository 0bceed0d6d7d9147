//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/streamgateway/streamgateway/gateway/bench"
	"github.com/streamgateway/streamgateway/gateway/bench/floor"
)

const usage = `bench measures servers of streams one after the other on this machine: the
server on one core, everything else on another. Load goes to loopback only.

  bench [flags]     run the scenarios, write JSON and a table
  bench floor       be the floor (started by bench itself)

Flags:
`

func command(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "floor" {
		return serveFloor(args[1:])
	}
	return measure(ctx, args)
}

func serveFloor(args []string) error {
	set := pflag.NewFlagSet("bench floor", pflag.ContinueOnError)
	listen := set.String("listen", "127.0.0.1:0", "loopback `address`")
	window := set.Duration("window", 0, "gather events so long")
	if err := set.Parse(args); err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(*listen)
	if err != nil {
		return fmt.Errorf("reading --listen: %w", err)
	}
	s, err := floor.New(at, *window)
	if err != nil {
		return err
	}
	return s.Run()
}

// options are those of a run, and where its results go.
type options struct {
	bench.Options
	json, table string
	core        int // of everything but the server
}

func parse(args []string) (options, error) {
	o := options{}
	set := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	set.SortFlags = false
	set.Usage = func() { fmt.Print(usage + set.FlagUsages()) }
	set.StringVar(&o.Tools.Gateway, "gateway", "bin/gateway", "`program` of this gateway")
	set.StringVar(&o.Tools.Peers, "peers", "", "`program` of hack/bench/peers; none = without these peers")
	set.StringSliceVar(&o.Scenarios, "scenario", nil, "`names`; default all: "+names())
	set.StringSliceVar(&o.Servers, "server", nil, "`names` beside the floor; default all")
	set.BoolVar(&o.Quick, "quick", false, "few scenarios, two seconds each, one round")
	set.IntVar(&o.Rounds, "rounds", 2, "rounds of floor and gateway in turn")
	set.IntVar(&o.PeerRounds, "peer-rounds", 1, "of these with the peers")
	set.IntVar(&o.Core, "server-core", 0, "core of the server")
	set.IntVar(&o.core, "core", 1, "core of everything else")
	set.Uint64Var(&o.Seed, "seed", 1, "of who reads what and of what is sent")
	set.StringVar(&o.json, "json", "", "`file` for everything that was found")
	set.StringVar(&o.table, "table", "", "`file` with the markers of a table, which is renewed")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q; see --help", set.Arg(0))
	}
	if o.Quick {
		o.Rounds = 1
	}
	return o, nil
}

func names() string {
	var all []string
	for _, s := range bench.Scenarios() {
		all = append(all, s.Name)
	}
	return strings.Join(all, ", ")
}

// pinned is set in the environment of the process that runs on its core.
const pinned = "BENCH_PINNED=1"

// pin runs this program again on one core: affinity of a running process would
// miss threads that Go has started already.
func pin(core int) error {
	if os.Getenv("BENCH_PINNED") == "1" {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return fmt.Errorf("looking for taskset (Debian's util-linux): %w", err)
	}
	args := append([]string{taskset, "-c", fmt.Sprint(core), self}, os.Args[1:]...)
	// More threads than cores: the kernel shares the core between the reader
	// and the publishers more finely than Go does.
	return syscall.Exec(taskset, args, append(os.Environ(), pinned, "GOMAXPROCS=4"))
}

func measure(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if err := pin(o.core); err != nil {
		return err
	}
	if err := os.Unsetenv("GOMAXPROCS"); err != nil { // servers see their own core
		return err
	}
	if o.Tools.Bench, err = os.Executable(); err != nil {
		return err
	}
	if o.Tools.Dir, err = os.MkdirTemp("", "bench"); err != nil {
		return fmt.Errorf("making a folder for logs: %w", err)
	}
	run, err := bench.Do(ctx, o.Options, os.Stdout)
	if err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(o.Tools.Dir), write(run, o))
}

func write(run *bench.Run, o options) error {
	if o.json != "" {
		text, err := json.MarshalIndent(run, "", " ")
		if err == nil {
			err = os.MkdirAll(filepath.Dir(o.json), 0o755)
		}
		if err == nil {
			err = os.WriteFile(o.json, text, 0o600)
		}
		if err != nil {
			return fmt.Errorf("writing results: %w", err)
		}
	}
	if o.table == "" {
		fmt.Print("\n", run.Table())
		return nil
	}
	document, err := os.ReadFile(o.table)
	if err == nil {
		document, err = bench.Renew(document, run.Table())
	}
	if err == nil {
		err = os.WriteFile(o.table, document, 0o600)
	}
	if err != nil {
		return fmt.Errorf("renewing the table: %w", err)
	}
	return nil
}
