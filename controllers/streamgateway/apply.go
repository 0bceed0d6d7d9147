package streamgateway

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// applied is what is remembered of an object that was applied.
type applied struct {
	digest          digest // of what was asked for
	resourceVersion string // that the API server gave it
}

type digest [sha256.Size]byte

// desired is a generated apply configuration of a namespaced object.
type desired interface {
	runtime.ApplyConfiguration
	GetKind() *string
	GetName() *string
	GetNamespace() *string
}

// outcome is what became of an object that was to be applied.
type outcome int

const (
	blocked outcome = iota // not applied, for the reason in the returned error or in scope.problems
	settled                // was as desired already; nothing was written
	written
)

// ensure makes the cluster hold what is desired, and writes only when it does
// not. live is filled with the object as it is, or was before the write;
// extract is the generated function that reads the fields a manager owns off
// it.
func ensure[L client.Object, D desired](ctx context.Context, r *Reconciler, s *scope, live L, want D, extract func(L, string) (D, error)) (outcome, error) {
	exists, err := r.find(ctx, client.ObjectKey{Namespace: *want.GetNamespace(), Name: *want.GetName()}, live)
	if err != nil {
		return blocked, fmt.Errorf("reading %s: %w", nameOf(want), err)
	}
	return settle(ctx, r, s, live, exists, want, extract)
}

// settle is ensure for an object that was read already. An object of that name
// that is not this StreamGateway's is never touched.
//
// What is compared is what the operator owns: a label or field that somebody
// else set is neither seen nor changed, and a field that somebody else changed
// is no longer owned, so that it shows as a difference.
func settle[L client.Object, D desired](ctx context.Context, r *Reconciler, s *scope, live L, exists bool, want D, extract func(L, string) (D, error)) (outcome, error) {
	name := nameOf(want)
	if exists && !metav1.IsControlledBy(live, s.sg) {
		s.problem(v1alpha1.ReasonNameCollision, name+" exists and is not controlled by this StreamGateway")
		return blocked, nil
	}
	wanted, err := digestOf(want)
	if err != nil {
		return blocked, fmt.Errorf("comparing %s: %w", name, err)
	}
	known, isKnown := s.memory.children[name]
	if isKnown && exists && live.GetResourceVersion() == known.resourceVersion && known.digest == wanted {
		return settled, nil // nobody has written since it was compared last: what a steady pass costs
	}
	drifted := isKnown && !exists
	if exists {
		owned, err := owned(live, extract)
		if err != nil {
			return blocked, fmt.Errorf("comparing %s: %w", name, err)
		}
		if owned == wanted {
			s.memory.children[name] = applied{digest: wanted, resourceVersion: live.GetResourceVersion()}
			return settled, nil
		}
		behind := isKnown && older(live.GetResourceVersion(), known.resourceVersion)
		if behind && known.digest == wanted {
			return settled, nil // the cache has not seen our own write yet
		}
		drifted = isKnown && !behind && owned != known.digest
	}
	if !exists {
		if err := r.stillThere(ctx, s); err != nil {
			return blocked, err
		}
	}
	if err := r.apply(ctx, live, want); err != nil {
		return blocked, s.refused(name, err)
	}
	s.memory.children[name] = applied{digest: wanted, resourceVersion: resourceVersionOf(want)}
	if drifted {
		r.normal(s, live, "DriftCorrected", actionApply, "%s was changed or deleted by somebody else; it is as the StreamGateway says again", name)
	}
	return written, nil
}

// errGone ends a pass over a StreamGateway that is no more.
var errGone = errors.New("the StreamGateway is gone")

// stillThere looks past the cache before a missing object is made. When a
// StreamGateway is deleted, the cache may see its children go before it sees
// the StreamGateway go; what was made again then would start pods for nobody.
func (r *Reconciler) stillThere(ctx context.Context, s *scope) error {
	var sg v1alpha1.StreamGateway
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(s.sg), &sg)
	switch {
	case apierrors.IsNotFound(err), err == nil && (sg.UID != s.sg.UID || !sg.DeletionTimestamp.IsZero()):
		return errGone
	case err != nil:
		return fmt.Errorf("reading the StreamGateway past the cache: %w", err)
	}
	return nil
}

func nameOf(want desired) string { return *want.GetKind() + " " + *want.GetName() }

// find reads an object from the cache, which holds only what carries our
// labels, and when it is not there, past it: an object of that name without
// our labels is somebody else's, or ours with its labels taken off.
func (r *Reconciler) find(ctx context.Context, key client.ObjectKey, live client.Object) (bool, error) {
	err := r.Get(ctx, key, live)
	if apierrors.IsNotFound(err) {
		err = r.Live.Get(ctx, key, live)
	}
	if apierrors.IsNotFound(err) {
		live.SetNamespace(key.Namespace)
		live.SetName(key.Name)
		return false, nil
	}
	return err == nil, err
}

func (r *Reconciler) apply(ctx context.Context, live client.Object, want runtime.ApplyConfiguration) error {
	if m, ok := want.(*corev1ac.ConfigMapApplyConfiguration); ok {
		// Its serial was counted up from what we read: a write on top of
		// another document would use a number twice.
		if rv := live.GetResourceVersion(); rv != "" {
			m.WithResourceVersion(rv)
		}
	}
	err := r.Apply(ctx, want, client.FieldOwner(ControllerName), client.ForceOwnership)
	if apierrors.IsInvalid(err) && live.GetResourceVersion() != "" && r.replace(ctx, live, want) == nil {
		err = r.Apply(ctx, want, client.FieldOwner(ControllerName), client.ForceOwnership)
	}
	return err
}

// replace puts what is desired in the place of what somebody else wrote, lists
// as a whole. An apply leaves their items of a list beside ours, and with an
// edited port, which is known by its number, there would be two of its name.
func (r *Reconciler) replace(ctx context.Context, live client.Object, want runtime.ApplyConfiguration) error {
	text, err := json.Marshal(want)
	if err != nil {
		return err
	}
	edited := live.DeepCopyObject().(client.Object)
	return r.Patch(ctx, edited, client.RawPatch(types.MergePatchType, text), client.FieldOwner(ControllerName))
}

// owned is the digest of the fields of a live object that the operator owns.
func owned[L client.Object, D desired](live L, extract func(L, string) (D, error)) (digest, error) {
	configuration, err := extract(live, ControllerName)
	if err != nil {
		return digest{}, err
	}
	return digestOf(configuration)
}

// digestOf is taken over canonical JSON: keys sorted, so that neither the
// order of fields nor of map keys matters.
func digestOf(v any) (digest, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return digest{}, err
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return digest{}, err
	}
	if text, err = json.Marshal(tree); err != nil {
		return digest{}, err
	}
	return sha256.Sum256(text), nil
}

// older compares resource versions; what cannot be compared is not older.
func older(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order < 0
}

// resourceVersionOf reads the resource version off an apply configuration that
// the client has filled with the API server's answer.
func resourceVersionOf(want runtime.ApplyConfiguration) string {
	text, err := json.Marshal(want)
	if err != nil {
		return ""
	}
	var object metav1.PartialObjectMetadata
	if err := json.Unmarshal(text, &object); err != nil {
		return ""
	}
	return object.ResourceVersion
}

func (s *scope) problem(reason, message string) {
	s.problems = append(s.problems, problem{reason, message})
}

// refused turns a refusal that a person has to do something about into a
// problem, with the server's message word for word, and hands every other
// error on, to be tried again.
func (s *scope) refused(name string, err error) error {
	if reason := refusal(err); reason != "" {
		s.problem(reason, err.Error())
		return nil
	}
	return fmt.Errorf("applying %s: %w", name, err)
}

func refusal(err error) string {
	message := err.Error()
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return "" // on its way out, nothing for a person to do
	case strings.Contains(message, "exceeded quota"):
		return v1alpha1.ReasonQuotaExceeded
	case strings.Contains(message, "denied request"), strings.Contains(message, "denied the request"),
		strings.Contains(message, "violates PodSecurity"), apierrors.IsInvalid(err):
		return v1alpha1.ReasonAdmissionDenied
	case apierrors.IsForbidden(err):
		return v1alpha1.ReasonForbidden
	}
	return ""
}
