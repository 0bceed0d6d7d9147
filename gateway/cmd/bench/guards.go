//go:build linux

package main

import (
	"context"
	"os"

	"github.com/spf13/pflag"

	"github.com/streamgateway/streamgateway/gateway/bench"
)

// guards measures what tokens and limits cost.
func guards(ctx context.Context, args []string) error {
	o := options{}
	set := pflag.NewFlagSet("bench guards", pflag.ContinueOnError)
	o.common(set)
	o.results(set)
	set.StringSliceVar(&o.Scenarios, "scenario", nil, "`names` of scenarios; default those in which doors are passed")
	set.IntVar(&o.Rounds, "rounds", 4, "rounds of both")
	if err := o.prepare(set, args); err != nil {
		return err
	}
	g, err := bench.MeasureGuards(ctx, o.Options, os.Stdout)
	if err != nil {
		return err
	}
	return o.write("guards", g, g.Table())
}
