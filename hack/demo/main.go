// Command demo is a small finance application that uses StreamGateway the way a
// product would: it stores revenues and publishes an event for each. Without an
// argument it serves; "demo try" posts to a running one and shows the events
// that arrive, with their latency.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/streamgateway/streamgateway/hack/demo/try"
)

const usage = `A finance application that publishes finance.revenue.created through StreamGateway.

  demo [serve]   take revenues, publish their events, show the live stream
  demo try       post revenues to a running demo and print the events that arrive

  demo serve --help, demo try --help: all flags
`

func main() { os.Exit(exitCode()) }

func exitCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, args []string) error {
	verb := "serve"
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		verb, args = args[0], args[1:]
	} else if len(args) > 0 && (args[0] == "-h" || args[0] == "--help") {
		verb = "help"
	}
	switch verb {
	case "serve":
		return serve(ctx, args)
	case "try":
		return try.Main(ctx, args, os.Stdout)
	case "help":
		fmt.Print(usage)
		return nil
	}
	return fmt.Errorf("unknown command %q; see demo --help", verb)
}
