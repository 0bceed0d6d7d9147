package streamgateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	controllerconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/streamgateway"
)

const (
	operatorNamespace = "streamgateway-system"
	operatorAccount   = "streamgateway-controller-manager"
	builtInImage      = "example.com/streamgateway/gateway:1.0.0"
)

// The API server, and the gateway's binary, that all tests of this package
// use: they take seconds to start and to build.
var (
	server  *rest.Config
	cluster client.Client // of an administrator
	scheme  = runtime.NewScheme()
	gateway string // path of the binary
)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	logger := logr.FromSlogHandler(slog.NewTextHandler(io.Discard, nil))
	if os.Getenv("SHOW_LOG") != "" {
		logger = logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, nil))
	}
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	env := &envtest.Environment{}
	folder, err := os.MkdirTemp("", "operator")
	if err == nil {
		defer func() { _ = os.RemoveAll(folder) }()
		env.CRDs, err = manyPods()
	}
	if err == nil {
		server, err = env.Start()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "starting the API server: %v\nKUBEBUILDER_ASSETS must name a folder with etcd and kube-apiserver; `make test` builds and sets it\n", err)
		return 1
	}
	defer func() {
		if err := env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
		}
	}()
	if err := prepare(folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// manyPods is the resource's definition without the rule that a log in memory
// is one pod's: the operator is made for many, and so are its tests.
func manyPods() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	text, err := os.ReadFile(filepath.Join("..", "..", "config", "crd", "bases", "streamgateway.io_streamgateways.yaml"))
	if err != nil {
		return nil, err
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.Unmarshal(text, crd); err != nil {
		return nil, err
	}
	schema := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
	spec := schema.Properties["spec"]
	before := len(spec.XValidations)
	spec.XValidations = slices.DeleteFunc(spec.XValidations, func(r apiextensionsv1.ValidationRule) bool {
		return r.FieldPath == ".gateway.replicas"
	})
	if schema.Properties["spec"] = spec; len(spec.XValidations) != before-1 {
		return nil, errors.New("the rule for replicas was not found")
	}
	return []*apiextensionsv1.CustomResourceDefinition{crd}, nil
}

func prepare(folder string) error {
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	gateway = filepath.Join(folder, "gateway")
	if out, err := exec.Command("go", "build", "-o", gateway, "../../gateway/cmd/gateway").CombinedOutput(); err != nil {
		return fmt.Errorf("building the gateway: %w\n%s", err, out)
	}
	var err error
	if cluster, err = client.New(server, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	objects := []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}}}
	for _, file := range []string{"role.yaml", "role_binding.yaml", "leader_election.yaml", "token_reviewer.yaml"} {
		read, err := readObjects(filepath.Join("..", "..", "config", "rbac", file))
		if err != nil {
			return err
		}
		objects = append(objects, read...)
	}
	for _, o := range objects {
		if err := cluster.Create(context.Background(), o); err != nil {
			return fmt.Errorf("creating %T %s: %w", o, o.GetName(), err)
		}
	}
	return nil
}

func readObjects(file string) ([]client.Object, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var objects []client.Object
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		object, err := scheme.New(kind.GroupVersionKind())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		objects = append(objects, object.(client.Object))
	}
	return objects, nil
}

// world is a namespace with an operator that serves it alone, and has the
// rights of config/rbac and no others.
type world struct {
	*testing.T
	namespace string
	stop      func()
	requests  *requests
}

// requests are those that an operator has sent, watches left out.
type requests struct {
	mu     sync.Mutex
	lines  []string
	config time.Time // when the last write of the ConfigMap began
	host   string    // by which way they go; empty: straight to the API server
}

func (r *requests) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if request.URL.Query().Get("watch") == "" && !strings.Contains(request.URL.Path, "/leases/") {
			r.mu.Lock()
			r.lines = append(r.lines, request.Method+" "+request.URL.Path)
			if request.Method == http.MethodPatch && strings.HasSuffix(request.URL.Path, "/configmaps/prices-config") {
				r.config = time.Now()
			}
			r.mu.Unlock()
		}
		return next.RoundTrip(request)
	})
}

// since are the requests after the first n.
func (r *requests) since(n int) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.lines[n:]...)
}

// written is when the last write of the ConfigMap began.
func (r *requests) written() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.config
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

var worlds atomic.Int32

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel() // tests wait more than they work
	w := &world{T: t, namespace: fmt.Sprintf("world-%d", worlds.Add(1))}
	w.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}})
	return w
}

func (w *world) create(o client.Object) {
	w.Helper()
	if o.GetNamespace() == "" {
		o.SetNamespace(w.namespace)
	}
	if _, ok := o.(*corev1.Namespace); ok {
		o.SetNamespace("")
	}
	if err := cluster.Create(w.Context(), o); err != nil {
		w.Fatalf("creating %T %s: %v", o, o.GetName(), err)
	}
}

// operate starts an operator as the account that config/rbac describes.
func (w *world) operate(image string) {
	w.Helper()
	w.requests = &requests{}
	w.stop = startOperator(w.T, w.requests, func(*ctrl.Options) {}, image, w.namespace, operatorAccount)
}

func startOperator(t *testing.T, seen *requests, change func(*ctrl.Options), image, namespace, account string) (stop func()) {
	t.Helper()
	config := rest.CopyConfig(server)
	config.QPS = -1
	if seen.host != "" {
		config.Host = seen.host
	}
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + operatorNamespace + ":" + account,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + operatorNamespace, "system:authenticated"},
	}
	config.Wrap(seen.wrap)
	options := ctrl.Options{
		Scheme:                  scheme,
		Cache:                   cache.Options{ByObject: streamgateway.Cached(), DefaultNamespaces: map[string]cache.Config{namespace: {}}},
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		Controller:              controllerconfig.Controller{SkipNameValidation: ptr.To(true)},
		GracefulShutdownTimeout: ptr.To(5 * time.Second),
	}
	change(&options)
	m, err := ctrl.NewManager(config, options)
	if err != nil {
		t.Fatal(err)
	}
	if err := streamgateway.Register(m, streamgateway.Options{Image: image, Served: []string{namespace}, Namespace: operatorNamespace}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Start(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("the operator ended: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// eventually waits until check has nothing to complain about.
func (w *world) eventually(check func() error) {
	w.Helper()
	w.within(30*time.Second, check)
}

func (w *world) within(d time.Duration, check func() error) {
	w.Helper()
	deadline := time.Now().Add(d)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("after %s: %v", d, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// get reads an object, by the administrator and past all caches.
func get[T any, P interface {
	*T
	client.Object
}](w *world, name string) (P, error) {
	object := P(new(T))
	return object, cluster.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, object)
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// lessRights makes an account of an operator that somebody forgot to give a
// right.
func lessRights(t *testing.T, name string, drop func(rule *rbacv1.PolicyRule)) string {
	t.Helper()
	var role rbacv1.ClusterRole
	if err := cluster.Get(t.Context(), client.ObjectKey{Name: "streamgateway-manager"}, &role); err != nil {
		t.Fatal(err)
	}
	less := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: role.DeepCopy().Rules}
	for i := range less.Rules {
		drop(&less.Rules[i])
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: operatorNamespace, Name: name}},
	}
	for _, o := range []client.Object{less, binding} {
		if err := cluster.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	return name
}
