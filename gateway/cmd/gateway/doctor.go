package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/streamgateway/streamgateway/gateway/doctor"
)

const doctorUsage = `Opens streams to itself through a URL and names what stands between here and
the gateway: buffers, compression, timeouts, headers that are taken away.

  gateway doctor https://app.example.com/v2/realtime

Run it where browsers are: outside of the cluster, through all proxies. It
subscribes to one channel and publishes nothing. Each finding comes with what
to do about it.

Exit codes: 0 = nothing hurts streams, 1 = something does, 2 = no stream could
be opened, 3 = the command line makes no sense.

Flags:
`

// Values of gateway doctor.
const (
	doctorCommand = "doctor"
	exitMisused   = 3
	defaultWatch  = 70 * time.Second // above the minute that many proxies have as a timeout
)

// examine is the subcommand; it gives the exit code.
func examine(args []string, out, progress io.Writer) int {
	o := doctor.Options{}
	var tokenFile, ca string
	set := pflag.NewFlagSet("gateway doctor", pflag.ContinueOnError)
	set.SortFlags = false
	set.Usage = func() { fmt.Fprint(out, doctorUsage+set.FlagUsages()) }
	set.StringVar(&o.Channel, "channel", "doctor", "`channel` to subscribe to")
	set.DurationVar(&o.Watch, "watch", defaultWatch, "how `long` to hold a stream open; idle timeouts above it are not found")
	set.StringVar(&tokenFile, "token-file", "", "`file` with a token to read with")
	set.StringVar(&ca, "ca", "", "PEM `file` of an authority to trust besides the system's")
	err := set.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return doctor.ExitWell
	case err == nil && set.NArg() != 1:
		err = errors.New("one URL is needed; see gateway doctor --help")
	}
	if err == nil {
		o.URL = set.Arg(0)
		err = readFiles(&o, tokenFile, ca)
	}
	var report doctor.Report
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		o.Step = func(what string) { fmt.Fprintln(progress, what+" …") }
		report, err = doctor.Examine(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(progress, "gateway doctor:", err)
		return exitMisused
	}
	report.Print(out)
	return report.Exit()
}

// readFiles takes secrets from files, so that no list of processes shows them.
func readFiles(o *doctor.Options, tokenFile, ca string) error {
	if tokenFile != "" {
		text, err := os.ReadFile(tokenFile)
		if err != nil {
			return fmt.Errorf("reading the token: %w", err)
		}
		o.Token = strings.TrimSpace(string(text))
	}
	if ca == "" {
		return nil
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		return fmt.Errorf("reading the authority: %w", err)
	}
	if o.Roots, err = x509.SystemCertPool(); err != nil {
		o.Roots = x509.NewCertPool() // a system without any: the file is all there is
	}
	if !o.Roots.AppendCertsFromPEM(text) {
		return fmt.Errorf("reading the authority: %s holds no PEM certificate", ca)
	}
	return nil
}
