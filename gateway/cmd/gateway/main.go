// Command gateway is the data plane: it takes events over HTTP and writes them
// to subscribers over server-sent events.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/streamgateway/streamgateway/gateway/server"
)

// version is set by the linker.
var version = "dev"

func main() {
	if len(os.Args) > 1 && os.Args[1] == doctorCommand {
		os.Exit(examine(os.Args[2:], os.Stdout, os.Stderr))
	}
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
