package streamgateway

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
)

// reviewersInterval is how often the binding is looked at when no gateway comes
// or goes, in case somebody edits it.
const reviewersInterval = 10 * time.Minute

// reviewers keeps the one cluster-wide binding, by which gateways may review
// tokens, equal to the accounts of all gateways. It belongs to no
// StreamGateway, so that deleting one needs no finalizer.
type reviewers struct {
	client.Client
	live       client.Reader // the binding is not in the cache
	recorder   events.EventRecorder
	namespaces []string // served; empty: all
	told       string   // the last failure that was told by events
}

func (r *reviewers) register(m ctrl.Manager) error {
	one := []reconcile.Request{{NamespacedName: types.NamespacedName{Name: resources.ReviewersName}}}
	comesOrGoes := predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }}
	return ctrl.NewControllerManagedBy(m).
		Named("reviewers").
		Watches(&v1alpha1.StreamGateway{}, handler.EnqueueRequestsFromMapFunc(
			func(context.Context, client.Object) []reconcile.Request { return one }), builder.WithPredicates(comesOrGoes)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1}).
		Complete(r)
}

// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterrolebindings,resourceNames=streamgateway-token-reviewer,verbs=get;patch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles,resourceNames=streamgateway-token-reviewer,verbs=bind

// Reconcile compares the binding with the gateways there are, and writes it
// when they differ.
func (r *reviewers) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	var gateways v1alpha1.StreamGatewayList
	if err := r.List(ctx, &gateways); err != nil {
		return ctrl.Result{}, fmt.Errorf("listing StreamGateways: %w", err)
	}
	err := r.keep(ctx, gateways.Items)
	r.tell(gateways.Items, err)
	return ctrl.Result{RequeueAfter: reviewersInterval}, err
}

func (r *reviewers) keep(ctx context.Context, gateways []v1alpha1.StreamGateway) error {
	var live rbacv1.ClusterRoleBinding
	if err := r.live.Get(ctx, client.ObjectKey{Name: resources.ReviewersName}, &live); err != nil {
		return fmt.Errorf("reading ClusterRoleBinding %s, which is installed with the operator: %w", resources.ReviewersName, err)
	}
	want := subjects(gateways, live.Subjects, r.namespaces)
	if slices.Equal(live.Subjects, want) {
		return nil
	}
	var configurations []*rbacv1ac.SubjectApplyConfiguration
	for _, s := range want {
		configurations = append(configurations, rbacv1ac.Subject().WithKind(s.Kind).WithNamespace(s.Namespace).WithName(s.Name))
	}
	// The list is written whole, and an operator of other namespaces writes it
	// too: on top of what was read, or not at all and tried again.
	binding := resources.Reviewers(configurations...).WithResourceVersion(live.ResourceVersion)
	if err := r.Apply(ctx, binding, client.FieldOwner(ControllerName), client.ForceOwnership); err != nil {
		return fmt.Errorf("applying ClusterRoleBinding %s: %w", resources.ReviewersName, err)
	}
	return nil
}

// subjects are the accounts of the gateways, sorted. An operator that serves
// some namespaces leaves the subjects of the others to the operators of those.
func subjects(gateways []v1alpha1.StreamGateway, before []rbacv1.Subject, namespaces []string) []rbacv1.Subject {
	var out []rbacv1.Subject
	for _, s := range before {
		if len(namespaces) > 0 && !slices.Contains(namespaces, s.Namespace) {
			out = append(out, s)
		}
	}
	for i := range gateways {
		out = append(out, rbacv1.Subject{
			Kind: rbacv1.ServiceAccountKind, Namespace: gateways[i].Namespace, Name: resources.AccountName(gateways[i].Name),
		})
	}
	slices.SortFunc(out, func(a, b rbacv1.Subject) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// tell lets the gateways' owners know, once, that publishing with a token will
// not work; streams do.
func (r *reviewers) tell(gateways []v1alpha1.StreamGateway, err error) {
	if apierrors.IsConflict(err) {
		return // another operator wrote at the same time; the next try sees what
	}
	told := ""
	if err != nil {
		told = err.Error()
	}
	if told == r.told {
		return
	}
	r.told = told
	for i := range gateways {
		if err != nil {
			r.recorder.Eventf(&gateways[i], nil, corev1.EventTypeWarning, "ApplyFailed", actionApply,
				"%.900s; until then publishers with a Kubernetes token are refused", told)
		}
	}
}
