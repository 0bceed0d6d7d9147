//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/streamgateway/streamgateway/gateway/bench"
)

// maxGrowth of memory between the last two quarters of a soak.
const maxGrowth = 1.15

// soak runs one, writes its samples, draws them, and fails when memory grows.
func soak(ctx context.Context, args []string) error {
	o := options{}
	set := pflag.NewFlagSet("bench soak", pflag.ContinueOnError)
	o.common(set)
	lasts := set.Duration("for", 20*time.Minute, "how `long`")
	csv := set.String("csv", "bin/soak.csv", "`file` for a sample a second")
	svg := set.String("svg", "bin/soak.svg", "`file` for a plot")
	if err := o.prepare(set, args); err != nil {
		return err
	}
	out, err := os.Create(*csv)
	if err != nil {
		return fmt.Errorf("writing samples: %w", err)
	}
	_, err = out.WriteString(bench.CSVHead)
	var samples []bench.Sample
	ran := bench.Soak(ctx, o.Options, *lasts, func(s bench.Sample) {
		samples = append(samples, s)
		_, wrote := out.WriteString(s.CSV())
		err = errors.Join(err, wrote)
		if len(samples)%60 == 1 {
			fmt.Printf("%5.0f s: heap %.1f MiB, resident %.1f MiB, sockets %.1f MiB, %d goroutines, %d descriptors, %d streams, %d channels made\n",
				s.Seconds, mib(s.Heap), mib(s.Resident), mib(s.Sockets), s.Goroutines, s.Descriptors, s.Streams, s.Channels)
		}
	})
	if err = errors.Join(ran, err, out.Close(), os.WriteFile(*svg, []byte(bench.Plot(samples)), 0o600)); err != nil {
		return err
	}
	return errors.Join(judge(samples), os.RemoveAll(o.Tools.Dir))
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// judge fails when something that should be level grew.
func judge(samples []bench.Sample) error {
	var err error
	for _, level := range []struct {
		name  string
		value func(bench.Sample) int64
	}{
		{"heap in use", func(s bench.Sample) int64 { return s.HeapInUse }},
		{"resident memory", func(s bench.Sample) int64 { return s.Resident }},
		{"goroutines", func(s bench.Sample) int64 { return s.Goroutines }},
		{"descriptors", func(s bench.Sample) int64 { return int64(s.Descriptors) }},
	} {
		g := bench.Growth(samples, level.value)
		fmt.Printf("%s: last quarter %.2f times the one before\n", level.name, g)
		if g > maxGrowth {
			err = errors.Join(err, fmt.Errorf("%s grew %.2f times, more than %.2f", level.name, g, maxGrowth))
		}
	}
	return err
}
