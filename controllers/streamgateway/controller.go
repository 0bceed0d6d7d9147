// Package streamgateway keeps the cluster as StreamGateways say, and their
// status as the cluster is.
//
// A reconcile gathers what there is into a scope, runs a list of phases (one
// file each, override.go has their list), each of which calls a pure builder or
// decision and applies the result, and ends with one write of status. It is the only package that writes to the cluster; what
// objects look like is controllers/resources, how pods are asked is
// controllers/fleet. controllers/cmd/manager starts it.
package streamgateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/fleet"
)

// ControllerName is what the operator calls itself: field manager of what it
// applies, reporter of its events.
const ControllerName = "streamgateway-operator"

const (
	// statusOwner is the field manager of status. Another one than that of the
	// objects, so that who owns what can be read off an object.
	statusOwner = ControllerName + "-status"

	movingInterval = time.Second     // looks again while something moves
	steadyInterval = 5 * time.Second // and when nothing does: cache reads and pod scrapes only
)

// Reconciler makes a StreamGateway real. Its exported fields are set before
// Register and not changed after.
type Reconciler struct {
	client.Client               // reads from the cache
	Live          client.Reader // reads past the cache, for what the cache may not hold
	Recorder      events.EventRecorder
	Fleet         *fleet.Client
	Image         string // what gateways run that name no image
	Namespace     string // that the operator runs in; empty: outside of the cluster

	memories memories
}

// +kubebuilder:rbac:groups=streamgateway.io,resources=streamgateways,verbs=get;list;watch
// +kubebuilder:rbac:groups=streamgateway.io,resources=streamgateways/finalizers,verbs=update

// Reconcile looks at one StreamGateway once. Every phase runs even after one
// failed, and status is written after errors too.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var sg v1alpha1.StreamGateway
	if err := r.Get(ctx, request.NamespacedName, &sg); err != nil {
		if apierrors.IsNotFound(err) {
			// The garbage collector removes what it owned, and each pod drains
			// in its own grace period: nothing here can hang a deletion.
			r.memories.forget(request.NamespacedName)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("reading the StreamGateway: %w", err)
	}
	s := newScope(&sg, r.memories.of(&sg))
	if !sg.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, r.writeDeleting(ctx, s) // waits for somebody's finalizer; what runs, runs on
	}
	if err := r.gather(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	err := r.run(ctx, s)
	if errors.Is(err, errGone) {
		return ctrl.Result{}, nil // its deletion is on the way to the cache
	}
	if statusErr := r.writeStatus(ctx, s, err); statusErr != nil {
		err = errors.Join(err, fmt.Errorf("writing status: %w", statusErr))
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: s.wait}, nil
}
