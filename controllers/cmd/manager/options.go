package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/streamgateway"
)

const usage = `manager runs StreamGateways: it turns each of them into gateway pods, a Service
and the config the pods follow, and keeps its status true.

It finds the API server from its pod, from --kubeconfig or $KUBECONFIG.

Examples:
  manager --gateway-image=example.com/streamgateway/gateway:1.2.3
  manager --gateway-image=... --watch-namespaces=shop,billing
  KUBECONFIG=~/.kube/config manager --gateway-image=... --leader-elect=false

Flags:
`

// namespaceFile tells a process that it runs in a pod, and in which namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// options are what the flags say.
type options struct {
	gatewayImage    string
	watchNamespaces []string
	namespace       string // of the pod; empty: this is none
	leaderElect     bool
	leaseNamespace  string
	metricsAddress  string
	healthAddress   string
	logLevel        string
	logFormat       string
	done            bool // --help or --version was asked for and answered
}

func parse(args []string, out io.Writer) (options, error) {
	namespace, err := os.ReadFile(namespaceFile)
	inCluster := err == nil
	o := options{namespace: strings.TrimSpace(string(namespace))}
	var showVersion bool
	f := pflag.NewFlagSet("manager", pflag.ContinueOnError)
	f.SetOutput(out)
	f.SortFlags = false
	f.Usage = func() { fmt.Fprint(out, usage, f.FlagUsages()) }
	f.StringVar(&o.gatewayImage, "gateway-image", "", "image of gateway pods whose StreamGateway names none; needed.\nGateways that run keep the image they were made with")
	f.StringSliceVar(&o.watchNamespaces, "watch-namespaces", nil, "namespaces to serve, separated by commas; empty: all.\nThe operator then needs its rights in these namespaces only")
	f.BoolVar(&o.leaderElect, "leader-elect", inCluster, "let one of several operators lead; on by default in a pod")
	f.StringVar(&o.leaseNamespace, "leader-election-namespace", "", "namespace of the lease; by default the pod's own")
	f.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "address of Prometheus metrics; 0 turns them off")
	f.StringVar(&o.healthAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz; 0 turns them off")
	f.StringVar(&o.logLevel, "log-level", "info", "least severe log lines written: debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "json", "form of log lines: json or text")
	kube := flag.NewFlagSet("", flag.ContinueOnError)
	config.RegisterFlags(kube) // --kubeconfig, which ctrl.GetConfig reads
	f.AddGoFlagSet(kube)
	f.BoolVar(&showVersion, "version", false, "print the version and end")
	switch err := f.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return options{done: true}, nil
	case err != nil:
		return o, fmt.Errorf("reading flags: %w; see --help", err)
	case showVersion:
		fmt.Fprintln(out, "manager", version)
		return options{done: true}, nil
	}
	return o, o.check(f.Args())
}

func (o *options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("reading flags: %q is no flag; see --help", rest[0])
	case o.gatewayImage == "":
		return errors.New("reading flags: --gateway-image is needed: it is what gateways run that name no image; see --help")
	case o.logFormat != "json" && o.logFormat != "text":
		return fmt.Errorf("reading flags: --log-format %q is neither json nor text", o.logFormat)
	}
	for i, n := range o.watchNamespaces {
		if o.watchNamespaces[i] = strings.TrimSpace(n); o.watchNamespaces[i] == "" {
			return errors.New("reading flags: --watch-namespaces holds an empty name")
		}
	}
	if err := new(slog.Level).UnmarshalText([]byte(o.logLevel)); err != nil {
		return fmt.Errorf("reading flags: --log-level %q is none of debug, info, warn, error", o.logLevel)
	}
	return nil
}

func (o *options) logHandler(out io.Writer) slog.Handler {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		level = slog.LevelInfo // check has refused it already
	}
	if o.logFormat == "text" {
		return slog.NewTextHandler(out, &slog.HandlerOptions{Level: level})
	}
	return slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level})
}

func newManager(restConfig *rest.Config, o options) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("registering types: %w", err)
	}
	namespaces := map[string]cache.Config{}
	for _, n := range o.watchNamespaces {
		namespaces[n] = cache.Config{}
	}
	m, err := ctrl.NewManager(restConfig, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         cache.Options{ByObject: streamgateway.Cached(), DefaultNamespaces: namespaces},
		Metrics:                       metricsserver.Options{BindAddress: o.metricsAddress},
		HealthProbeBindAddress:        o.healthAddress,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              streamgateway.ControllerName,
		LeaderElectionNamespace:       o.leaseNamespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       ptr.To(5 * time.Second),
	})
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	if err := errors.Join(m.AddHealthzCheck("ping", healthz.Ping), m.AddReadyzCheck("ping", healthz.Ping)); err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	return m, nil
}
