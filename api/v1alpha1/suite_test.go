package v1alpha1_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

// world is the API server that all tests of this package ask.
type world struct {
	once   sync.Once
	err    error
	env    *envtest.Environment
	config *rest.Config
	client.Client
}

var shared world

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.config != nil {
		if err := shared.env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// cluster is the API server. It starts once, since that takes seconds, and
// within the first test that asks: what is read before m.Run is unknown to go's
// test cache, and a change of the CRD would not run the tests again.
func cluster(t *testing.T) *world {
	t.Helper()
	shared.once.Do(func() { shared.err = shared.start() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return &shared
}

func (w *world) start() error {
	w.env = &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	var err error
	if w.config, err = w.env.Start(); err != nil {
		return fmt.Errorf("starting the API server: %w\nKUBEBUILDER_ASSETS must name a folder with etcd and kube-apiserver; `make test` builds and sets it", err)
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	w.Client, err = client.New(w.config, client.Options{Scheme: scheme})
	return err
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
func try(t *testing.T, u *unstructured.Unstructured) error {
	t.Helper()
	return cluster(t).Create(context.Background(), u, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
}

// get reads JSON from a path of the API server, for which controller-runtime's
// client has no verb.
func get(t *testing.T, path string, into any, accept ...string) {
	t.Helper()
	config := rest.CopyConfig(cluster(t).config)
	config.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	c, err := rest.UnversionedRESTClientFor(config)
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
