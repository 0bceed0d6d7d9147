//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/streamgateway/streamgateway/gateway/bench"
	"github.com/streamgateway/streamgateway/gateway/bench/floor"
)

const usage = `bench measures servers of streams one after the other on this machine: the
server on one core, everything else on another. Load goes to loopback only.

  bench [flags]          run the scenarios, write JSON and a table
  bench claims [flags]   compare streams with long-polls and with polling every 25 s
  bench soak [flags]     let the gateway work for long, plot its memory
  bench guards [flags]   what tokens and limits cost
  bench fair [flags]     how late a quiet tenant's events are beside a noisy one
  bench floor            be the floor (started by bench itself)
  bench noise            be a noisy tenant (started by bench itself)

Flags:
`

func command(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "floor":
			return serveFloor(args[1:])
		case "claims":
			return claims(ctx, args[1:])
		case "soak":
			return soak(ctx, args[1:])
		case "guards":
			return guards(ctx, args[1:])
		case "fair":
			return fair(ctx, args[1:])
		case "noise":
			return noise(ctx, os.Stdin, os.Stdout)
		}
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

// measure runs the scenarios.
func measure(ctx context.Context, args []string) error {
	o := options{}
	set := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	set.Usage = func() { fmt.Print(usage + set.FlagUsages()) }
	o.common(set)
	o.results(set)
	set.StringVar(&o.Tools.Peers, "peers", "", "`program` of hack/bench/peers; none = without these peers")
	set.StringSliceVar(&o.Scenarios, "scenario", nil, "`names`; default all: "+names())
	set.StringSliceVar(&o.Servers, "server", nil, "`names` beside the floor; default all")
	set.BoolVar(&o.Quick, "quick", false, "few scenarios, half as long, one round")
	set.IntVar(&o.Rounds, "rounds", 2, "rounds of floor and gateway in turn")
	set.IntVar(&o.PeerRounds, "peer-rounds", 1, "of these with the peers")
	set.DurationVar(&o.Within, "within", 10*time.Minute, "leave out further rounds that would end `later`; 0 = none")
	runs := set.String("runs", "", "`file` that keeps the two newest whole runs of one version; the table shows them side by side")
	if err := o.prepare(set, args); err != nil {
		return err
	}
	if o.Quick {
		o.Rounds = 1
	}
	run, err := bench.Do(ctx, o.Options, os.Stdout)
	if err != nil {
		return err
	}
	fmt.Println()
	for _, g := range run.Goals {
		fmt.Println(g)
	}
	all, err := keep(*runs, run)
	if err != nil {
		return err
	}
	return o.write("bench", run, bench.Table(all...))
}

func names() string {
	var all []string
	for _, s := range bench.Scenarios() {
		all = append(all, s.Name)
	}
	return strings.Join(all, ", ")
}
