package streamgateway

import (
	"context"
	"fmt"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// guest is what is known of an object of another project's kind. Such a kind
// may come and go, so it is not watched: it is read past the cache at every
// pass that wants it, and never where nobody ever wanted it.
type guest int

const (
	guestUnknown  guest = iota
	guestNone           // there is none of ours
	guestHomeless       // it is wanted, and its kind is not installed
	guestThere
)

// ensureGuest makes the cluster hold what is wanted, nil: none of ours. It gives
// the object as it is, nil if it is not there, or not ours.
func (r *Reconciler) ensureGuest(ctx context.Context, s *scope, kind schema.GroupVersionKind, want *unstructured.Unstructured, known *guest) (*unstructured.Unstructured, error) {
	if want == nil && *known == guestNone {
		return nil, nil
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(kind)
	name := kind.Kind + " " + s.sg.Name
	err := r.Get(ctx, client.ObjectKeyFromObject(s.sg), live)
	ours := err == nil && metav1.IsControlledBy(live, s.sg)
	switch {
	case meta.IsNoMatchError(err):
		if *known = guestNone; want != nil {
			*known = guestHomeless
		}
		return nil, nil
	case client.IgnoreNotFound(err) != nil:
		return nil, fmt.Errorf("reading %s: %w", name, err)
	case want == nil:
		return nil, r.removeGuest(ctx, live, ours, known)
	case err == nil && !ours:
		s.problem(v1alpha1.ReasonNameCollision, name+" exists and is not controlled by this StreamGateway")
		return nil, nil
	case ours && covers(live.Object, want.Object):
		*known = guestThere
		return live, nil
	}
	if !ours {
		if err := r.stillThere(ctx, s); err != nil {
			return nil, err
		}
	}
	err = r.Apply(ctx, client.ApplyConfigurationFromUnstructured(want), client.FieldOwner(ControllerName), client.ForceOwnership)
	if apierrors.IsNotFound(err) { // its kind went away after it had been found
		*known = guestHomeless
		return nil, nil
	}
	if err != nil {
		return nil, s.refused(name, err)
	}
	*known = guestThere
	return want, nil
}

func (r *Reconciler) removeGuest(ctx context.Context, live *unstructured.Unstructured, ours bool, known *guest) error {
	if uid := live.GetUID(); ours {
		if err := r.Delete(ctx, live, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting %s %s: %w", live.GetKind(), live.GetName(), err)
		}
	}
	*known = guestNone
	return nil
}

// covers tells whether an object has all that is wanted of it: fields that
// nobody wants may be there, items of a list not.
func covers(live, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		fields, ok := live.(map[string]any)
		for name, value := range want {
			ok = ok && covers(fields[name], value)
		}
		return ok
	case []any:
		items, ok := live.([]any)
		ok = ok && len(items) == len(want)
		for i := 0; ok && i < len(want); i++ {
			ok = covers(items[i], want[i])
		}
		return ok
	}
	return reflect.DeepEqual(live, want)
}
