package cluster

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/streamgateway/streamgateway/gateway/auth"
)

const (
	namespace = "shop"
	gateway   = "prices"
	audience  = "streamgateway.io"
)

// world is a real API server with a gateway's ServiceAccount and rights as the
// operator makes them.
type world struct {
	admin   *kubernetes.Clientset
	gateway *rest.Config // as the gateway's ServiceAccount
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Skip("KUBEBUILDER_ASSETS names no API server to test against")
	}
	env := &envtest.Environment{}
	config, err := env.Start()
	if err != nil {
		t.Fatalf("starting an API server: %v", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Errorf("stopping the API server: %v", err)
		}
	})
	w := &world{}
	if w.admin, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{namespace, "other"} {
		_, err := w.admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		must(t, err)
	}
	w.account(t, "prices-gateway")
	w.grant(t, "prices-gateway", "prices-gateway",
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"prices-config"}, Verbs: []string{"get", "list", "watch"}},
		rbacv1.PolicyRule{APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"localsubjectaccessreviews"}, Verbs: []string{"create"}})
	w.gateway = rest.AnonymousClientConfig(config)
	w.gateway.BearerToken = w.token(t, "prices-gateway", time.Hour)
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) account(t *testing.T, name string) {
	t.Helper()
	_, err := w.admin.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	must(t, err)
}

func (w *world) token(t *testing.T, account string, life time.Duration, audiences ...string) string {
	t.Helper()
	seconds := int64(life.Seconds())
	answer, err := w.admin.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: audiences, ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	must(t, err)
	return answer.Status.Token
}

func (w *world) grant(t *testing.T, role, account string, rules ...rbacv1.PolicyRule) {
	t.Helper()
	_, err := w.admin.RbacV1().Roles(namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: role}, Rules: rules}, metav1.CreateOptions{})
	must(t, err)
	_, err = w.admin.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: role},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: account}},
	}, metav1.CreateOptions{})
	must(t, err)
}

func (w *world) grantReviews(t *testing.T) {
	t.Helper()
	_, err := w.admin.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "streamgateway-token-reviewer"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"tokenreviews"}, Verbs: []string{"create"}}},
	}, metav1.CreateOptions{})
	must(t, err)
	_, err = w.admin.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "streamgateway-token-reviewer"},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "streamgateway-token-reviewer"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: "prices-gateway"}},
	}, metav1.CreateOptions{})
	must(t, err)
}

func (w *world) connect(t *testing.T) *Cluster {
	t.Helper()
	c, err := Connect(Options{Namespace: namespace, Name: gateway, Config: w.gateway, UserAgent: "test", Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	return c
}

// eventually waits for what the API server does in its own time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not in time: %s", what)
}

func TestAgainstARealAPIServer(t *testing.T) {
	w := newWorld(t)
	t.Run("a review without the right to review is no answer", func(t *testing.T) {
		_, err := w.connect(t).Review(t.Context(), "x", []string{audience}, auth.RightPublish)
		if err == nil {
			t.Error("answered")
		}
	})
	w.grantReviews(t)
	t.Run("publishers are told apart by token, audience and role", w.testReviews)
	t.Run("reading is a right of its own", w.testSubscribers)
	t.Run("the operator's account neither publishes nor reads", w.testOperatorAccount)
	t.Run("an API server that is away opens nothing", w.testOutage)
	t.Run("the watch shows the ConfigMap as it is and as it becomes", w.testWatch)
	t.Run("the gateway reads no other ConfigMap", w.testNoOtherConfigMap)
}

func (w *world) testReviews(t *testing.T) {
	for _, account := range []string{"till", "reader", "elsewhere"} {
		w.account(t, account)
	}
	publish := rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{"streamgateways/publish"}, Verbs: []string{"create"}, ResourceNames: []string{gateway}}
	w.grant(t, "till", "till", publish)
	publish.ResourceNames = []string{"quotes"}
	w.grant(t, "elsewhere", "elsewhere", publish)
	c := w.connect(t)
	eventually(t, "the binding of token reviews works", func() bool {
		r, err := c.Review(t.Context(), w.token(t, "till", time.Hour, audience), []string{audience}, auth.RightPublish)
		return err == nil && r.Allowed
	})
	cases := map[string]struct {
		token string
		want  auth.Review
	}{
		"a role for this gateway":      {w.token(t, "till", time.Hour, audience), auth.Review{Subject: "system:serviceaccount:shop:till", Authenticated: true, Allowed: true}},
		"no role":                      {w.token(t, "reader", time.Hour, audience), auth.Review{Subject: "system:serviceaccount:shop:reader", Authenticated: true}},
		"a role for another gateway":   {w.token(t, "elsewhere", time.Hour, audience), auth.Review{Subject: "system:serviceaccount:shop:elsewhere", Authenticated: true}},
		"a token for the API server":   {w.token(t, "till", time.Hour), auth.Review{}},
		"a token for another audience": {w.token(t, "till", time.Hour, "vault"), auth.Review{}},
		"a forged token":               {w.token(t, "till", time.Hour, audience) + "x", auth.Review{}},
		"no token at all":              {"nonsense", auth.Review{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := c.Review(t.Context(), tc.token, []string{audience}, auth.RightPublish)
			if err != nil || got != tc.want {
				t.Errorf("got %+v, %v; want %+v", got, err, tc.want)
			}
		})
	}
	t.Run("a deleted account", func(t *testing.T) {
		w.account(t, "gone")
		token := w.token(t, "gone", time.Hour, audience)
		must(t, w.admin.CoreV1().ServiceAccounts(namespace).Delete(t.Context(), "gone", metav1.DeleteOptions{}))
		eventually(t, "its token is refused", func() bool {
			r, err := c.Review(t.Context(), token, []string{audience}, auth.RightPublish)
			return err == nil && !r.Authenticated
		})
	})
	t.Run("the whole way through auth.Publisher", func(t *testing.T) {
		p := auth.New(c, auth.Publishers{Mode: auth.ModeKubernetes, Audiences: []string{audience}, CacheTTL: time.Second})
		for account, want := range map[string]error{"till": nil, "reader": auth.ErrDenied} {
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.Header.Set("Authorization", "Bearer "+w.token(t, account, time.Hour, audience))
			if _, err := p.Authenticate(r); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", account, err, want)
			}
		}
	})
}

func (w *world) testWatch(t *testing.T) {
	maps := w.admin.CoreV1().ConfigMaps(namespace)
	_, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "prices-config"}, Data: map[string]string{"hot.json": "0"}}, metav1.CreateOptions{})
	must(t, err)
	_, err = maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "other-config"}, Data: map[string]string{"hot.json": "not ours"}}, metav1.CreateOptions{})
	must(t, err)
	seen := make(chan string, 100)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan struct{})
	go func() {
		w.connect(t).Watch(ctx, "prices-config", func(data map[string]string) { seen <- data["hot.json"] })
		close(done)
	}()
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-seen:
			if got != want {
				t.Fatalf("saw %q, want %q", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%q never came", want)
		}
	}
	expect("0")
	var slowest time.Duration
	for _, value := range []string{"1", "2", "3", "4", "5"} {
		start := time.Now()
		_, err := maps.Update(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "prices-config"}, Data: map[string]string{"hot.json": value}}, metav1.UpdateOptions{})
		must(t, err)
		expect(value)
		slowest = max(slowest, time.Since(start))
	}
	t.Logf("slowest of 5 from write to watch: %s", slowest)
	stop()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("the watch outlives its context")
	}
}

func (w *world) testNoOtherConfigMap(t *testing.T) {
	c := w.connect(t)
	err := c.core.Get().Namespace(namespace).Resource("configmaps").Name("other-config").Do(t.Context()).Error()
	if err == nil {
		t.Error("read the ConfigMap of another gateway")
	}
}

func TestTheWatchComesBackAfterTheServerWasAway(t *testing.T) {
	// Nothing listens at first: the address is taken and freed again.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close())
	c, err := Connect(Options{Namespace: namespace, Name: gateway, Config: &rest.Config{Host: "http://" + address}, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	if _, err := c.Review(t.Context(), "token", []string{audience}, auth.RightPublish); err == nil {
		t.Error("a review without a server was answered")
	}
	seen := make(chan string, 10)
	go c.Watch(t.Context(), "prices-config", func(data map[string]string) { seen <- data["hot.json"] })
	time.Sleep(300 * time.Millisecond)
	listener, err = net.Listen("tcp", address)
	must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("watch") != "" {
			// Not understood: the reflector falls back to a plain list.
			if r.URL.Query().Get("sendInitialEvents") != "" {
				w.WriteHeader(http.StatusUnprocessableEntity)
				_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`))
				return
			}
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		_, _ = w.Write([]byte(`{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"prices-config","namespace":"shop","resourceVersion":"1"},"data":{"hot.json":"back"}}]}`))
	})}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()
	select {
	case got := <-seen:
		if got != "back" {
			t.Errorf("saw %q", got)
		}
	case <-time.After(time.Minute):
		t.Error("the watch never came back")
	}
}
