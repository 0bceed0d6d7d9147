//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/streamgateway/streamgateway/gateway/bench"
)

// options are those of all runs, and where results go.
type options struct {
	bench.Options
	json, table string
	core        int // of everything but the server
}

func (o *options) common(set *pflag.FlagSet) {
	set.SortFlags = false
	set.StringVar(&o.Tools.Gateway, "gateway", "bin/gateway", "`program` of this gateway")
	set.IntVar(&o.Core, "server-core", 0, "core of the server; -1 = all of them")
	set.IntVar(&o.core, "core", 1, "core of everything else")
	set.Uint64Var(&o.Seed, "seed", 1, "of who reads what and of what is sent")
}

func (o *options) results(set *pflag.FlagSet) {
	set.StringVar(&o.json, "json", "", "`file` for everything that was found")
	set.StringVar(&o.table, "table", "", "`file` with the markers of a table, which is renewed; none = print it")
}

// prepare reads the flags and moves this process to its core.
func (o *options) prepare(set *pflag.FlagSet, args []string) error {
	if err := set.Parse(args); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see --help", set.Arg(0))
	}
	if err := pin(o.core); err != nil {
		return err
	}
	err := os.Unsetenv("GOMAXPROCS") // servers see their own core
	if err == nil {
		o.Tools.Bench, err = os.Executable()
	}
	if err == nil {
		o.Tools.Dir, err = os.MkdirTemp("", "bench")
	}
	if err != nil {
		return fmt.Errorf("preparing a run: %w", err)
	}
	return nil
}

// pinned is set in the environment of the process that runs on its core.
const pinned = "BENCH_PINNED"

// pin runs this program again on one core: affinity of a running process would
// miss threads that Go has started already.
func pin(core int) error {
	if os.Getenv(pinned) != "" {
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
	return syscall.Exec(taskset, args, append(os.Environ(), pinned+"=1", "GOMAXPROCS=4"))
}

// write puts what was found where the flags say, and throws away the logs of
// servers: those of a run that failed stay.
func (o *options) write(name string, found any, table string) error {
	if err := os.RemoveAll(o.Tools.Dir); err != nil {
		return fmt.Errorf("removing logs: %w", err)
	}
	if o.json != "" {
		if err := writeJSON(o.json, found); err != nil {
			return err
		}
	}
	if o.table == "" {
		fmt.Print("\n", table)
		return nil
	}
	document, err := os.ReadFile(o.table)
	if err == nil {
		document, err = bench.Renew(document, name, table)
	}
	if err == nil {
		err = os.WriteFile(o.table, document, 0o600)
	}
	if err != nil {
		return fmt.Errorf("renewing the table: %w", err)
	}
	return nil
}

func writeJSON(path string, found any) error {
	text, err := json.MarshalIndent(found, "", " ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	return nil
}

// keep adds a run to those in a file, and gives those that are in it then: at
// most two, of the same program and the same scenarios. Without a file it is
// the run alone.
func keep(path string, run *bench.Run) ([]*bench.Run, error) {
	all := []*bench.Run{run}
	if path == "" {
		return all, nil
	}
	var before []*bench.Run
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &before)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the runs before: %w", err)
	}
	if n := len(before); n > 0 && before[n-1].ComparesWith(run) {
		all = []*bench.Run{before[n-1], run}
	}
	return all, writeJSON(path, all)
}
