package v1alpha1_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// server is the API server that every test of this package asks; it is
// started once, since its start takes seconds.
var (
	server  *rest.Config
	cluster client.Client
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	env := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	var err error
	if server, err = env.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "starting the API server: %v\nKUBEBUILDER_ASSETS must name a folder with etcd and kube-apiserver; `make test` builds and sets it\n", err)
		return 1
	}
	defer func() {
		if err := env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
		}
	}()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if cluster, err = client.New(server, client.Options{Scheme: scheme}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// fields are the values of a spec by their path, such as "batching.window".
type fields map[string]any

// gateway is an object with these values in its spec.
func gateway(t *testing.T, name string, spec ...fields) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{}}}
	u.SetAPIVersion(v1alpha1.GroupVersion.String())
	u.SetKind("StreamGateway")
	u.SetNamespace(metav1.NamespaceDefault)
	u.SetName(name)
	for _, values := range spec {
		for path, value := range values {
			if err := unstructured.SetNestedField(u.Object, value, append([]string{"spec"}, strings.Split(path, ".")...)...); err != nil {
				t.Fatal(err)
			}
		}
	}
	return u
}

// try asks the API server whether it would store the object, and fills in what
// it would store.
func try(u *unstructured.Unstructured) error {
	return cluster.Create(context.Background(), u, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
}

// raw is a client for requests that controller-runtime's client has no verb
// for.
func raw() (*rest.RESTClient, error) {
	config := rest.CopyConfig(server)
	config.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	return rest.UnversionedRESTClientFor(config)
}

// get reads JSON from a path of the API server.
func get(t *testing.T, path string, into any, accept ...string) {
	t.Helper()
	c, err := raw()
	if err != nil {
		t.Fatal(err)
	}
	body, err := c.Get().AbsPath(path).SetHeader("Accept", append(accept, "application/json")[0]).DoRaw(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatal(err)
	}
}

const gateways = "/apis/streamgateway.io/v1alpha1/namespaces/" + metav1.NamespaceDefault + "/streamgateways/"

// table is what `kubectl get` prints for a gateway: the names of the columns
// that are always shown, and name=value of those that -o wide adds.
func table(t *testing.T, name string) (narrow, wide []string) {
	t.Helper()
	var table metav1.Table
	get(t, gateways+name, &table, "application/json;as=Table;v=v1;g=meta.k8s.io")
	for i, column := range table.ColumnDefinitions {
		if column.Priority == 0 {
			narrow = append(narrow, column.Name)
		} else {
			wide = append(wide, fmt.Sprintf("%s=%v", column.Name, table.Rows[0].Cells[i]))
		}
	}
	return narrow, wide
}
