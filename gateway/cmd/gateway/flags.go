package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/streamgateway/streamgateway/gateway/server"
)

const usage = `The gateway takes events over HTTP and writes them to subscribers over
server-sent events.

  gateway --dev                        alone, on loopback, everybody may publish
  gateway --config hot.json            with a hot document that is re-read when it changes
  gateway --config DIR                 with DIR/hot.json and DIR/cold.json
  gateway --config DIR --check         say what is wrong with a configuration, and exit
  gateway doctor URL                   say what stands between a URL and its gateway

In a cluster the operator starts it with --cluster: then hot.json comes by a
watch of its ConfigMap, and publishers are judged by token and access reviews.
POD_NAME and POD_NAMESPACE say which pod it is.

The first SIGTERM or SIGINT drains: clients are asked to move, events are taken
until the end. The second one ends at once.

Flags:
`

// Values of --transport.
const (
	transportAuto    = "auto"
	transportGeneric = "generic"
)

// flags are what a gateway is started with.
type flags struct {
	server.Options
	level          slog.Level
	levelByHand    bool
	audit          bool
	check, version bool
	transport      string
}

func parse(args []string) (flags, error) {
	f := flags{Options: server.Options{Version: version, Pod: podName(), Namespace: os.Getenv("POD_NAMESPACE")}}
	set := pflag.NewFlagSet("gateway", pflag.ContinueOnError)
	set.SortFlags = false
	set.Usage = func() { fmt.Print(usage + set.FlagUsages()) }
	set.BoolVar(&f.Dev, "dev", false, "run alone: everybody may publish, / shows a page; listens on loopback unless told otherwise")
	set.StringVar(&f.Config, "config", "", "folder with hot.json and the cold document, or a hot document alone (`path`); none = defaults")
	set.StringVar(&f.Listen, "listen", "", "`host:port` for clients (default :8080, with --dev 127.0.0.1:8080)")
	set.StringVar(&f.Admin, "admin", "", "`host:port` for /status, /metrics, /healthz and /readyz (default :9090, with --dev 127.0.0.1:9090)")
	set.StringVar(&f.Local, "local", "127.0.0.1:6060", "loopback `host:port` of the console, a page for whoever looks after this gateway; empty = none")
	set.StringVar(&f.TLSCert, "tls-cert", "", "PEM `file` of the certificate that clients are answered with; read again when it changes")
	set.StringVar(&f.TLSKey, "tls-key", "", "PEM `file` of its key")
	set.StringVar(&f.TLSPath, "tls-path", "", "`folder` where the Secret listener.tls.secretName of the cold document is mounted; while it is empty, the port for clients is closed")
	set.StringVar(&f.NATSPath, "nats-path", "", "`folder` where the Secrets that broker.nats of the cold document names are mounted, as credentials and ca")
	set.StringVar(&f.Keys, "keys", "", "`folder` with the file secret of 32 bytes that all replicas share, from which tickets are made; none = of this process alone")
	set.BoolVar(&f.Cluster, "cluster", false, "watch the ConfigMap and review publishers through the API server; needs --config")
	set.StringVar(&f.TemplateHash, "template-hash", "", "which cold document to read: cold.`hash`.json")
	set.StringVar(&f.transport, "transport", transportAuto, "`way` to serve streams: auto takes plain HTTP/1.1 connections over on Linux, generic leaves all to net/http")
	set.TextVar(&f.level, "log-level", slog.LevelInfo, "`level`: debug, info, warn or error; overrules observability.logLevel")
	set.BoolVar(&f.audit, "audit", true, "publish an event to itself every second, read it back and tell of losses")
	set.BoolVar(&f.check, "check", false, "check --config strictly and exit: 0 = valid")
	set.BoolVar(&f.version, "version", false, "print the version and exit")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	f.levelByHand = set.Changed("log-level")
	if set.NArg() > 0 {
		return f, fmt.Errorf("unexpected argument %q; see --help", set.Arg(0))
	}
	return f, f.complete()
}

// complete refuses what does not go together and fills in what --dev means.
func (f *flags) complete() error {
	switch {
	case f.Dev && (f.Cluster || f.Config != ""):
		return errors.New("--dev runs alone; leave out --cluster and --config")
	case f.Cluster && f.Config == "":
		return errors.New("--cluster needs --config, the mounted copy of the ConfigMap")
	case f.transport != transportAuto && f.transport != transportGeneric:
		return errors.New("--transport is auto or generic")
	case (f.TLSCert == "") != (f.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key go together")
	case f.Local != "" && !loopback(f.Local):
		return errors.New("--local must be an address such as 127.0.0.1:6060: the console shows channels and asks for no password")
	case f.check && f.Config == "":
		return errors.New("--check needs --config")
	}
	if f.audit {
		f.AuditEvery = time.Second
	}
	f.GenericTransport = f.transport == transportGeneric
	if f.Dev && f.Listen == "" {
		f.Listen = "127.0.0.1:8080"
	}
	if f.Dev && f.Admin == "" {
		f.Admin = "127.0.0.1:9090"
	}
	return nil
}

// loopback tells whether nobody but this machine, or this pod, reaches an
// address.
func loopback(hostPort string) bool {
	address, err := netip.ParseAddrPort(hostPort)
	return err == nil && address.Addr().IsLoopback()
}

// podName is the pod's name, or the machine's.
func podName() string {
	if name := os.Getenv("POD_NAME"); name != "" {
		return name
	}
	name, _ := os.Hostname() // a name is nice to have
	return name
}
