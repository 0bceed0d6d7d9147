//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/streamgateway/streamgateway/gateway/bench"
	"github.com/streamgateway/streamgateway/gateway/bench/contest"
)

// soak runs one, writes its samples, draws them, and fails when memory grows.
func soak(ctx context.Context, args []string) error {
	o := options{}
	set := pflag.NewFlagSet("bench soak", pflag.ContinueOnError)
	o.common(set)
	lasts := set.Duration("for", 20*time.Minute, "how `long`")
	csv := set.String("csv", "bin/soak.csv", "`file` for a sample a second")
	svg := set.String("svg", "bin/soak.svg", "`file` for a plot")
	table := set.String("table", "", "`file` with the markers of a table, which is renewed; none = print it")
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
			fmt.Printf("%5.0f s: heap %.1f MiB, %.1f of it live, resident %.1f MiB, sockets %.1f MiB, %d goroutines, %d descriptors, %d streams, %d channels known\n",
				s.Seconds, mib(s.Heap), mib(s.Live), mib(s.Resident), mib(s.Sockets), s.Goroutines, s.Descriptors, s.Streams, s.Known)
		}
	})
	if err = errors.Join(ran, err, out.Close(), os.WriteFile(*svg, []byte(bench.Plot(samples)), 0o600)); err != nil {
		return err
	}
	o.table = *table
	plot, err := link(o.table, *svg)
	if err == nil {
		err = o.write("soak", nil, bench.SoakTable(samples, contest.Gateway().Version(o.Tools), plot))
	}
	return errors.Join(err, judge(samples))
}

// link is how a document names a file.
func link(document, file string) (string, error) {
	from, err := filepath.Abs(filepath.Dir(document))
	if err != nil {
		return "", err
	}
	to, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	path, err := filepath.Rel(from, to)
	return filepath.ToSlash(path), err
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// judge fails when something that should be level grew.
func judge(samples []bench.Sample) error {
	var err error
	for _, t := range bench.Trends(samples) {
		if !t.Level() {
			err = errors.Join(err, fmt.Errorf("%s grew by %.1f %% in the second half, more than %.0f %%", t.What, 100*t.Growth, 100*t.Most))
		}
	}
	return err
}
