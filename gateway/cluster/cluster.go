// Package cluster is all that a gateway knows of Kubernetes: a watch of its own
// ConfigMap, and token and access reviews.
//
// It is the one room of the gateway that links k8s.io. It decides nothing: what
// a document says is read by gateway/server, what a review means by
// gateway/auth. It builds its clients from a scheme of three groups instead of
// the generated clientset, which would bring every type of Kubernetes into each
// pod's memory. It is called by gateway/server.
package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// Options names the gateway that asks.
type Options struct {
	Namespace string       // of the StreamGateway and its ConfigMap
	Name      string       // of the StreamGateway
	Config    *rest.Config // nil = that of the pod's service account
	UserAgent string
	Log       *slog.Logger
}

// Cluster talks to the API server for one gateway.
type Cluster struct {
	namespace, name string
	log             *slog.Logger
	core            *rest.RESTClient
	tokens          *rest.RESTClient
	access          *rest.RESTClient
}

// Connect makes the clients. It sends nothing: an API server that is away is
// met by Watch and Review.
func Connect(o Options) (*Cluster, error) {
	config := o.Config
	if config == nil {
		inCluster, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("reading the pod's service account: %w", err)
		}
		config = inCluster
	}
	config = rest.CopyConfig(config)
	config.UserAgent = o.UserAgent
	config.WarningHandler = rest.NoWarnings{}
	config.QPS, config.Burst = -1, 0 // auth bounds reviews in flight; a rate limit here would only hide overload
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making the API server's client: %w", err)
	}
	c := &Cluster{namespace: o.Namespace, name: o.Name, log: o.Log}
	for _, group := range []struct {
		version schema.GroupVersion
		path    string
		add     func(*runtime.Scheme) error
		into    **rest.RESTClient
	}{
		{corev1.SchemeGroupVersion, "/api", corev1.AddToScheme, &c.core},
		{authenticationv1.SchemeGroupVersion, "/apis", authenticationv1.AddToScheme, &c.tokens},
		{authorizationv1.SchemeGroupVersion, "/apis", authorizationv1.AddToScheme, &c.access},
	} {
		if *group.into, err = clientFor(config, client, group.version, group.path, group.add); err != nil {
			return nil, fmt.Errorf("making the client of %s: %w", group.version, err)
		}
	}
	return c, nil
}

func clientFor(base *rest.Config, client *http.Client, gv schema.GroupVersion, path string, add func(*runtime.Scheme) error) (*rest.RESTClient, error) {
	scheme := runtime.NewScheme()
	if err := add(scheme); err != nil {
		return nil, fmt.Errorf("registering types: %w", err)
	}
	config := rest.CopyConfig(base)
	config.GroupVersion = &gv
	config.APIPath = path
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	return rest.RESTClientForConfigAndClient(config, client)
}

// Watch calls changed with the data of the ConfigMap: first as it is, then
// after every change, from one goroutine, until ctx ends. It comes back by
// itself after every outage of the API server and misses no newest state; a
// deleted ConfigMap calls nothing.
func (c *Cluster) Watch(ctx context.Context, configMap string, changed func(data map[string]string)) {
	byName := fields.OneTermEqualSelector("metadata.name", configMap)
	source := cache.NewListWatchFromClient(c.core, "configmaps", c.namespace, byName)
	logger := logr.FromSlogHandler(c.log.Handler())
	cache.NewReflectorWithOptions(source, &corev1.ConfigMap{}, sink(changed), cache.ReflectorOptions{
		Logger: &logger,
		Name:   "config",
		// A pod runs on with its last config, so there is no hurry, but a
		// person who repairs a cluster should not wait for minutes either.
		Backoff: &wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 6, Cap: 5 * time.Second},
	}).RunWithContext(klog.NewContext(ctx, logger))
}

// sink hands objects on and keeps none.
type sink func(data map[string]string)

func (s sink) hand(object any) error {
	m, ok := object.(*corev1.ConfigMap)
	if !ok {
		return fmt.Errorf("watching the ConfigMap: unexpected %T", object)
	}
	s(m.Data)
	return nil
}

func (s sink) Add(object any) error    { return s.hand(object) }
func (s sink) Update(object any) error { return s.hand(object) }
func (s sink) Delete(any) error        { return nil }
func (s sink) Resync() error           { return nil }

func (s sink) Replace(list []any, _ string) error {
	for _, object := range list {
		if err := s.hand(object); err != nil {
			return err
		}
	}
	return nil
}
