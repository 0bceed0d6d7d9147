// Command gateway is the data plane: it takes events over HTTP and writes them
// to subscribers over server-sent events.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/streamgateway/streamgateway/gateway/server"
)

// version is set by the linker.
var version = "dev"

func main() {
	f, err := parse(os.Args[1:])
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return
	case err == nil && f.version:
		fmt.Println(version)
		return
	case err == nil && f.check:
		if err = server.Check(f.Config); err == nil {
			fmt.Println(f.Config + ": valid")
		}
	case err == nil:
		err = run(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
}

// run serves until the first signal, then drains; the second one ends at once.
func run(f flags) error {
	f.Log = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: f.level}))
	gateway, err := server.New(f.Options)
	if err == nil {
		err = gateway.Listen()
	}
	if err != nil {
		return err
	}
	if f.Dev {
		main, _ := gateway.Addresses()
		fmt.Print(server.Try(main))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		again := make(chan os.Signal, 1)
		signal.Notify(again, syscall.SIGINT, syscall.SIGTERM)
		stop()
		<-again
		os.Exit(1)
	})
	return gateway.Run(ctx)
}
