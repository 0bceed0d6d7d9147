// Command noloss proves that a running gateway loses nothing: it publishes,
// subscribes in every format, breaks connections at random, and accounts for
// every acknowledged event. With --latency it measures delays instead.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes: a broken promise is told apart from a run that could not be.
const (
	exitLoss  = 1
	exitNoRun = 2
)

var errLoss = errors.New("the gateway broke a promise")

func main() { os.Exit(exitCode()) }

func exitCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout); {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errLoss):
		return exitLoss
	default:
		fmt.Fprintln(os.Stderr, "noloss:", err)
		return exitNoRun
	}
}

func show(out io.Writer, asJSON bool, result any) error {
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(result)
	}
	_, err := fmt.Fprint(out, result)
	return err
}
