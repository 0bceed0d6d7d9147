package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/streamgateway/streamgateway/hack/demo/answer"
	"github.com/streamgateway/streamgateway/hack/demo/ledger"
	"github.com/streamgateway/streamgateway/hack/demo/publish"
	"github.com/streamgateway/streamgateway/hack/demo/relay"
	"github.com/streamgateway/streamgateway/hack/demo/web"
)

const (
	tokenVariable = "DEMO_TOKEN"
	stopTimeout   = 5 * time.Second
)

type settings struct {
	listen, database, tokenFile string
	gateway                     *url.URL
}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("demo serve", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "Takes POST /finance/revenue with the bearer token in the variable %s.\n\n", tokenVariable)
		flags.PrintDefaults()
	}
	flags.StringVar(&s.listen, "listen", "127.0.0.1:8088", "`address` to serve on")
	flags.StringVar(&s.database, "database", "demo.db", "SQLite `file`, made when absent")
	flags.StringVar(&s.tokenFile, "publish-token-file", "", "`file` with the token to publish with, read again as it is replaced; none for an open gateway")
	gateway := flags.String("gateway", "http://127.0.0.1:8080", "`URL` of the gateway")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	target, err := url.Parse(*gateway)
	if err != nil || (target.Scheme != "http" && target.Scheme != "https") || target.Host == "" {
		return s, fmt.Errorf("--gateway must be an http or https URL, not %q", *gateway)
	}
	s.gateway = target
	return s, nil
}

// serve runs the demo until ctx ends, then stops in order: no new revenue, the
// outbox emptied as far as the gateway takes it, the database closed.
func serve(ctx context.Context, args []string) error {
	s, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	token := os.Getenv(tokenVariable)
	if token == "" {
		return fmt.Errorf("the variable %s is empty; it is the token that POST /finance/revenue asks for", tokenVariable)
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	book, err := ledger.Open(ctx, s.database)
	if err != nil {
		return err
	}
	defer book.Close() //nolint:errcheck // every commit is on disk already
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	log.Info("serving", "address", listener.Addr().String(), "gateway", s.gateway.String())

	publishing, stopPublishing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopPublishing()
	var wg sync.WaitGroup
	wg.Go(func() { publisher(s, book, log).Run(publishing) })
	speaker := &answer.Speaker{Gateway: s.publishTo(), Log: log}
	err = listen(ctx, listener, web.Options{
		Store: book, Gateway: s.gateway, Token: token, NewID: rand.Text, Speaker: speaker, Speaking: ctx, Closing: ctx.Done(), Log: log,
	})
	speaker.Wait()
	stopPublishing()
	wg.Wait()
	return err
}

// publishTo is where events are published.
func (s settings) publishTo() *publish.Gateway {
	return &publish.Gateway{
		Endpoint: s.gateway.JoinPath("/v2/realtime/events").String(),
		Client:   &http.Client{},
		Token:    publish.FileToken(s.tokenFile),
	}
}

func publisher(s settings, book *ledger.Ledger, log *slog.Logger) *relay.Relay {
	return &relay.Relay{
		Outbox:  book,
		Gateway: s.publishTo(),
		Log:     log,
		Rand:    mathrand.New(mathrand.NewPCG(mathrand.Uint64(), mathrand.Uint64())),
	}
}

func listen(ctx context.Context, l net.Listener, o web.Options) error {
	server := &http.Server{Handler: web.Handler(o), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer stop()
	if err := server.Shutdown(last); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	return nil
}
