package streamgateway

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
)

// +kubebuilder:rbac:groups=monitoring.coreos.com,resources=servicemonitors,verbs=get;create;patch;delete

// monitored is what is known of a StreamGateway's ServiceMonitor.
type monitored int

const (
	monitorUnknown  monitored = iota
	monitorNone               // there is none of ours
	monitorHomeless           // its kind is not installed, and that was told
	monitorThere
)

// monitor has pods scraped by a Prometheus operator, where there is one. Its kind
// may come and go with that, so it is not watched: it is read past the cache at
// every pass that wants it, and never where nobody ever wanted it.
func (r *Reconciler) monitor(ctx context.Context, s *scope) error {
	want := resources.Monitor(s.sg)
	if want == nil && s.memory.monitor == monitorNone {
		return nil
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(resources.MonitorKind())
	name := live.GetKind() + " " + s.sg.Name
	err := r.Get(ctx, client.ObjectKeyFromObject(s.sg), live)
	ours := err == nil && metav1.IsControlledBy(live, s.sg)
	switch {
	case meta.IsNoMatchError(err):
		r.homeless(s, want != nil)
		return nil
	case client.IgnoreNotFound(err) != nil:
		return fmt.Errorf("reading %s: %w", name, err)
	case want == nil:
		return r.unmonitor(ctx, s, live, ours)
	case err == nil && !ours:
		s.problem(v1alpha1.ReasonNameCollision, name+" exists and is not controlled by this StreamGateway")
		return nil
	case ours && equality.Semantic.DeepDerivative(want.Object, live.Object):
		s.memory.monitor = monitorThere
		return nil
	}
	err = r.Apply(ctx, client.ApplyConfigurationFromUnstructured(want), client.FieldOwner(ControllerName), client.ForceOwnership)
	if apierrors.IsNotFound(err) { // its kind went away after it had been found
		r.homeless(s, true)
		return nil
	}
	if err != nil {
		return s.refused(name, err)
	}
	s.memory.monitor = monitorThere
	return nil
}

// homeless says once that what was asked for has no kind here.
func (r *Reconciler) homeless(s *scope, wanted bool) {
	if !wanted {
		s.memory.monitor = monitorNone
		return
	}
	if s.memory.monitor != monitorHomeless {
		r.warning(s, "ServiceMonitorUnavailable", actionApply,
			"observability.serviceMonitor is Enabled, but the kind ServiceMonitor of monitoring.coreos.com/v1 is not installed; it is made once that is")
	}
	s.memory.monitor = monitorHomeless
}

func (r *Reconciler) unmonitor(ctx context.Context, s *scope, live *unstructured.Unstructured, ours bool) error {
	if uid := live.GetUID(); ours {
		if err := r.Delete(ctx, live, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting ServiceMonitor %s: %w", live.GetName(), err)
		}
	}
	s.memory.monitor = monitorNone
	return nil
}
