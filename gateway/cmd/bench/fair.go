//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/streamgateway/streamgateway/gateway/bench"
)

// fair measures what a noisy tenant costs a quiet one.
func fair(ctx context.Context, args []string) error {
	o := options{}
	set := pflag.NewFlagSet("bench fair", pflag.ContinueOnError)
	o.common(set)
	o.results(set)
	set.IntVar(&o.Rounds, "rounds", 8, "rounds, of about 15 s each")
	turn := set.Duration("turn", 3*time.Second, "how `long` each company lasts in a round")
	streams := set.Int("streams", 200, "of the noisy tenant")
	if err := o.prepare(set, args); err != nil {
		return err
	}
	f, err := bench.MeasureFair(ctx, o.Options, *streams, *turn, os.Stdout)
	if err != nil {
		return err
	}
	return o.write("fair", f, f.Table())
}

// noise does the job that its first line of input says, until that ends.
func noise(ctx context.Context, in io.Reader, out io.Writer) error {
	input := bufio.NewReader(in)
	line, err := input.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("reading what noise to make: %w", err)
	}
	var n bench.Noise
	if err := json.Unmarshal(line, &n); err != nil {
		return fmt.Errorf("reading what noise to make: %w", err)
	}
	return n.Make(ctx, input, out)
}
