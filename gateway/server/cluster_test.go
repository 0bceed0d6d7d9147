package server

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/cluster"
	"github.com/streamgateway/streamgateway/gateway/config"
)

func watch(t *testing.T, api *rest.Config, mount string) (names chan string) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	c, err := cluster.Connect(cluster.Options{Namespace: "default", Name: "prices", Config: api, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	names = make(chan string, 100)
	r := newReloader(&Options{Log: quiet, Cluster: true}, func(_ config.Document, r config.Revision, _ bool) { names <- r.Name })
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		watched{c, "prices-config", mount, quiet}.follow(ctx, r.take)
		close(ended)
	}()
	t.Cleanup(func() { stop(); <-ended })
	return names
}

func expectRevision(t *testing.T, names <-chan string, want string) {
	t.Helper()
	select {
	case got := <-names:
		if got != want {
			t.Fatalf("runs %q, want %q", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("%q does not run", want)
	}
}

func TestTheMountIsReadOnlyWhenTheAPIServerDoesNotAnswer(t *testing.T) {
	mount := filepath.Join(inFolder(t, config.HotKey, document(t, 3, "mounted", 0)), config.HotKey)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := "http://" + nobody.Addr().String()
	_ = nobody.Close()
	began := time.Now()
	names := watch(t, &rest.Config{Host: host}, mount)
	expectRevision(t, names, "mounted")
	if d := time.Since(began); d < apiPatience {
		t.Errorf("read the mount after %s", d)
	}
}

func TestARealAPIServerComesBeforeTheMountAndIsFollowed(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Skip("KUBEBUILDER_ASSETS names no API server to test against")
	}
	env := &envtest.Environment{}
	api, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Stop() })
	maps := kubernetes.NewForConfigOrDie(api).CoreV1().ConfigMaps("default")
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "prices-config"}}
	write := func(serial int64, name string) {
		t.Helper()
		object.Data = map[string]string{config.HotKey: string(document(t, serial, name, 0))}
		var err error
		if serial == 7 {
			_, err = maps.Create(t.Context(), object, metav1.CreateOptions{})
		} else {
			_, err = maps.Update(t.Context(), object, metav1.UpdateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(7, "seven")
	mount := filepath.Join(inFolder(t, config.HotKey, document(t, 3, "mounted", 0)), config.HotKey)
	names := watch(t, api, mount)
	expectRevision(t, names, "seven")
	began := time.Now()
	write(8, "eight")
	expectRevision(t, names, "eight")
	t.Logf("write to running: %s", time.Since(began))
}

func TestPublishingWithoutAnAPIServerIsRefusedNotOpened(t *testing.T) {
	hot := inFolder(t, config.HotKey, document(t, 1, "r1", 0))
	g := start(t, func(o *Options) { o.Dev, o.Config = false, hot })
	for header, want := range map[string]int{"": 401, "Bearer abc": 503} {
		r := httptest.NewRequest("POST", g.base+"/channels/a/events", http.NoBody)
		r.RequestURI = ""
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%q: %d, want %d", header, res.StatusCode, want)
		}
	}
	if got := g.publisher.Counts(); got != (auth.Counts{Kubernetes: auth.Results{Unauthenticated: 1, Unavailable: 1}}) {
		t.Errorf("counts %+v", got)
	}
}
