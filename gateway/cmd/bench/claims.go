//go:build linux

package main

import (
	"context"
	"os"

	"github.com/spf13/pflag"

	"github.com/streamgateway/streamgateway/gateway/bench"
)

// claims compares streams with polling and renews that table.
func claims(ctx context.Context, args []string) error {
	o := options{}
	set := pflag.NewFlagSet("bench claims", pflag.ContinueOnError)
	o.common(set)
	o.results(set)
	if err := o.prepare(set, args); err != nil {
		return err
	}
	c, err := bench.MeasureClaims(ctx, o.Options, os.Stdout)
	if err != nil {
		return err
	}
	return o.write("claims", c, c.Table())
}
