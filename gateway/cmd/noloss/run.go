package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/streamgateway/streamgateway/gateway/noloss"
)

const about = `noloss publishes to a gateway, reads with many subscribers, breaks their connections at
random places, resumes with Last-Event-ID, and accounts for every acknowledged event: delivered exactly once,
in order, unchanged, or named in sg.reset or sg.gap.

Exit code 0: all accounted for; 1: a promise was broken; 2: the run could not take place.

`

// settings are the options of a run, and what only the command knows.
type settings struct {
	noloss.Options
	delays int
	pause  time.Duration
	asJSON bool
}

func parse(args []string, out io.Writer) (settings, error) {
	s := settings{Options: noloss.DefaultOptions()}
	flags := flag.NewFlagSet("noloss", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // a mistake gets a line, not a page
	flags.StringVar(&s.URL, "url", s.URL, "base `URL` of the gateway")
	tokenFile := flags.String("token-file", "", "`file` with the bearer token to publish with, read before every request; default: the variable NOLOSS_TOKEN, or none")
	flags.IntVar(&s.Publishers, "publishers", s.Publishers, "publishers")
	flags.IntVar(&s.Subscribers, "subscribers", s.Subscribers, "subscribers")
	flags.IntVar(&s.Channels, "channels", s.Channels, "channels")
	flags.Float64Var(&s.Rate, "rate", s.Rate, "events per second, all publishers together")
	flags.DurationVar(&s.Duration, "duration", s.Duration, "time of publishing")
	flags.DurationVar(&s.Settle, "settle", s.Settle, "longest wait for an acknowledgement, and at the end for what is on its way")
	flags.IntVar(&s.Cuts, "cuts", s.Cuts, "connections to break")
	flags.DurationVar(&s.Away, "away", s.Away, "longest wait before a cut connection is opened again; longer than the replay buffer needs --strict=false")
	flags.IntVar(&s.Slow, "slow", s.Slow, "subscribers that stop reading now and then; needs --strict=false, and a rate that fills their buffers")
	formats := flags.String("formats", strings.Join(s.Formats, ","), "formats, taken in turn by the subscribers")
	flags.BoolVar(&s.Strict, "strict", s.Strict, "a loss that the gateway named is a fault too; set =false when gateways are restarted meanwhile")
	flags.Uint64Var(&s.Seed, "seed", s.Seed, "seed of channels, forms, sizes and cut places")
	flags.IntVar(&s.delays, "latency", 0, "measure the delay of so many events, one after the other, instead")
	flags.DurationVar(&s.pause, "pause", 20*time.Millisecond, "with --latency: wait between an event and the next one")
	flags.BoolVar(&s.asJSON, "json", false, "print the result as JSON")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, about)
		flags.SetOutput(out)
		flags.PrintDefaults()
		return s, err
	case err != nil:
		return s, fmt.Errorf("%w; see noloss --help", err)
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	s.Formats = strings.Split(*formats, ",")
	s.Token = token(*tokenFile)
	return s, s.Validate()
}

// token gives the bearer token; nil when there is none. It is no flag: process
// lists show flags.
func token(file string) func() (string, error) {
	fixed := os.Getenv("NOLOSS_TOKEN")
	switch {
	case file != "":
		return func() (string, error) {
			text, err := os.ReadFile(file)
			if err != nil {
				return "", fmt.Errorf("reading token: %w", err)
			}
			return strings.TrimSpace(string(text)), nil
		}
	case fixed != "":
		return func() (string, error) { return fixed, nil }
	}
	return nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	s, err := parse(args, out)
	if err != nil {
		return err
	}
	if s.delays > 0 {
		l, err := noloss.Delay(ctx, s.Options, s.delays, s.pause)
		if err != nil {
			return err
		}
		return show(out, s.asJSON, l)
	}
	result, err := noloss.Run(ctx, s.Options)
	if err != nil {
		return err
	}
	if err := show(out, s.asJSON, result); err != nil {
		return err
	}
	if !result.Passed {
		return errLoss
	}
	return nil
}
