//go:build e2e

package e2e

import (
	"bufio"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// Where the operator is.
const (
	OperatorNamespace  = "streamgateway-system"
	OperatorDeployment = "streamgateway-controller-manager"
)

// Cluster is the real cluster that the promises are tested on. Its methods are
// verbs that fail the test when they can't do what they say.
type Cluster struct {
	Client client.Client        // with the types of this project
	Core   kubernetes.Interface // tokens, logs, versions
	// HTTP reaches Services (http://NAME.NAMESPACE:PORT) and pods
	// (http://IP:PORT) from inside the cluster's network, so that a stream
	// outlives the pod it does not use. It has no timeout: set one by context.
	HTTP *http.Client

	network  *dialer
	settings map[string]string // of hack/try/install
	root     string            // of the checkout
}

// cluster is what TestMain started: testing has no other way to hand it over.
var cluster *Cluster

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if cluster, err = start(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// start brings cluster and operator up, or finds them, and connects.
func start() (*Cluster, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return nil, err
	}
	install := exec.Command(filepath.Join(root, "hack/try/install"))
	install.Env = append(os.Environ(), "NAME=e2e")
	install.Stdout, install.Stderr = os.Stderr, os.Stderr
	if err := install.Run(); err != nil {
		return nil, fmt.Errorf("installing the operator on the cluster: %w", err)
	}
	settings, err := readSettings(filepath.Join(root, "bin/e2e.env"))
	if err != nil {
		return nil, fmt.Errorf("reading where the cluster is: %w", err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", settings["KUBECONFIG"])
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", settings["KUBECONFIG"], err)
	}
	return connect(config, settings, root)
}

func connect(config *rest.Config, settings map[string]string, root string) (*Cluster, error) {
	config.QPS, config.Burst = 200, 200 // a test asks more often than an operator
	core, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	if err := v1alpha1.AddToScheme(clientscheme.Scheme); err != nil {
		return nil, fmt.Errorf("registering types: %w", err)
	}
	c, err := client.New(config, client.Options{Scheme: clientscheme.Scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	nodePID := 0
	if pid := settings["NODE_PID"]; pid != "" {
		if nodePID, err = strconv.Atoi(pid); err != nil {
			return nil, fmt.Errorf("reading NODE_PID: %w", err)
		}
	}
	dial, err := newDialer(core, nodePID)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DialContext: dial.DialContext, MaxIdleConnsPerHost: 16}
	return &Cluster{Client: c, Core: core, HTTP: &http.Client{Transport: transport}, network: dial, settings: settings, root: root}, nil
}

// readSettings reads NAME=VALUE lines.
func readSettings(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	settings := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if name, value, found := strings.Cut(lines.Text(), "="); found {
			settings[name] = value
		}
	}
	return settings, lines.Err()
}
