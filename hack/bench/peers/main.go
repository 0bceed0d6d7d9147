// Command peers runs one of the servers of streams that the benchmark compares
// this gateway with, so that none of them is a dependency of the product:
//
//	peers textbook    what most people write first, on net/http
//	peers go-sse      github.com/tmaxmax/go-sse
//	peers centrifuge  github.com/centrifugal/centrifuge with its SSE handler
//
// All take GET /stream?channels=a,b and POST /publish?channel=a on a loopback
// address, and ask nobody who he is.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// replayEvents is how many of a channel's newest events can be resumed from.
const replayEvents = 1024

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("which one: textbook, go-sse or centrifuge?")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:0", "loopback `address`")
	window := flags.Duration("window", 0, "gather events so long before they are written, where the server can")
	version := flags.Bool("version", false, "say the version and exit")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if *version {
		fmt.Println(versionOf(args[0]))
		return nil
	}
	handler, err := server(args[0], *window)
	if err != nil {
		return err
	}
	return (&http.Server{Addr: *listen, Handler: handler}).ListenAndServe()
}

// server makes the handler of one of them.
func server(name string, window time.Duration) (http.Handler, error) {
	switch name {
	case "textbook":
		return newTextbook(), nil
	case "go-sse":
		return newGoSSE()
	case "centrifuge":
		return newCentrifuge(window)
	}
	return nil, fmt.Errorf("no server %q: textbook, go-sse or centrifuge", name)
}

func versionOf(name string) string {
	info, _ := debug.ReadBuildInfo() // always there in a module
	for _, m := range info.Deps {
		if strings.HasSuffix(m.Path, "/"+name) {
			return m.Path + " " + m.Version
		}
	}
	return "net/http of " + info.GoVersion
}

func channelsOf(r *http.Request) []string {
	return strings.Split(r.URL.Query().Get("channels"), ",")
}

// publishing is the handler of POST /publish?channel=NAME.
func publishing(take func(channel, data string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err == nil {
			err = take(r.URL.Query().Get("channel"), string(data))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, "{}")
	}
}
