package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/streamgateway/streamgateway/gateway/server"
)

// run serves until the first signal, then drains; the second one ends at once.
func run(f flags) error {
	level := new(slog.LevelVar)
	level.Set(f.level)
	f.Log = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	if !f.levelByHand {
		f.Level = level
	}
	gateway, err := server.New(f.Options)
	if err == nil {
		err = gateway.Listen()
	}
	if err != nil {
		return err
	}
	if f.Dev {
		main, _ := gateway.Addresses()
		fmt.Print(server.Try(main, f.TLSCert != ""))
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
