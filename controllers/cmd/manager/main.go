// Command manager is the StreamGateway operator.
package main

import (
	"fmt"
	"os"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/streamgateway/streamgateway/controllers/streamgateway"
)

// version is set when the binary is linked.
var version = "dev"

func main() {
	options, err := parse(os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if options.done {
		return
	}
	if err := run(options); err != nil {
		ctrl.Log.Error(err, "The operator ends")
		os.Exit(1)
	}
}

// run serves until it is told to end, then gives the lease back, so that the
// next operator leads within a second.
func run(o options) error {
	logger := logr.FromSlogHandler(o.logHandler(os.Stderr))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	restConfig, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the API server: %w", err)
	}
	m, err := newManager(restConfig, o)
	if err != nil {
		return err
	}
	if err := streamgateway.Register(m, streamgateway.Options{Image: o.gatewayImage, Served: o.watchNamespaces, Namespace: o.namespace}); err != nil {
		return err
	}
	logger.Info("The operator starts", "version", version, "gatewayImage", o.gatewayImage)
	if err := m.Start(ctrl.SetupSignalHandler()); err != nil {
		return fmt.Errorf("running controllers: %w", err)
	}
	return nil
}
