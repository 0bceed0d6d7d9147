package streamgateway

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/fleet"
	"github.com/streamgateway/streamgateway/controllers/resources"
)

const (
	// workers bounds how many StreamGateways are looked at at once: a pod that
	// hangs holds one up for askTimeout.
	workers = 8

	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Cached says what the manager's cache holds: of the objects that gateways are
// made of only those with our label, so that the operator's memory follows the
// number of gateways and not the size of the cluster.
func Cached() map[client.Object]cache.ByObject {
	ours := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{resources.LabelComponent: resources.ComponentGateway})}
	cached := map[client.Object]cache.ByObject{replicaSetMetadata(): ours}
	for _, o := range append(children(), &corev1.Pod{}) {
		cached[o] = ours
	}
	return cached
}

func children() []client.Object {
	return []client.Object{
		&appsv1.Deployment{}, &corev1.Service{}, &corev1.ConfigMap{}, &corev1.ServiceAccount{},
		&rbacv1.Role{}, &rbacv1.RoleBinding{}, &policyv1.PodDisruptionBudget{},
		&appsv1.ControllerRevision{}, &networkingv1.NetworkPolicy{},
	}
}

// replicaSetMetadata is all that is needed to follow a pod to its Deployment.
func replicaSetMetadata() *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))
	return m
}

// Options are what the controllers of this package have to be told.
type Options struct {
	Image     string   // what gateways run that name none
	Served    []string // namespaces; none: all
	Namespace string   // that the operator runs in; empty: in none, outside of the cluster
}

// Register adds the controllers of this package to a manager.
func Register(m ctrl.Manager, o Options) error {
	r := &Reconciler{
		Client:    m.GetClient(),
		Live:      m.GetAPIReader(),
		Recorder:  m.GetEventRecorder(ControllerName),
		Fleet:     fleet.NewClient(),
		Image:     o.Image,
		Namespace: o.Namespace,
	}
	if err := r.register(m); err != nil {
		return fmt.Errorf("registering the StreamGateway controller: %w", err)
	}
	reviewers := &reviewers{Client: m.GetClient(), live: m.GetAPIReader(), recorder: r.Recorder, namespaces: o.Served}
	if err := reviewers.register(m); err != nil {
		return fmt.Errorf("registering the token reviewer controller: %w", err)
	}
	return nil
}

func (r *Reconciler) register(m ctrl.Manager) error {
	b := ctrl.NewControllerManagedBy(m).
		Named("streamgateway").
		// Only spec, deletion and annotations (a retry) count: our own writes of
		// status must not wake us.
		For(&v1alpha1.StreamGateway{}, builder.WithPredicates(predicate.Or[client.Object](
			predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		WatchesMetadata(&appsv1.ReplicaSet{}, handler.EnqueueRequestsFromMapFunc(byLabel)).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(byLabel)).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: workers,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
		})
	for _, child := range children() {
		b = b.Owns(child)
	}
	return b.Complete(r)
}

// byLabel finds the StreamGateway of a pod, which is three owners away. A label
// is enough to have a look: whose the pod is, is looked up then.
func byLabel(_ context.Context, o client.Object) []reconcile.Request {
	key := types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetLabels()[resources.LabelName]}
	if key.Name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: key}}
}
