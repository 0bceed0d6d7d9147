package streamgateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
	"github.com/streamgateway/streamgateway/controllers/rollout"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// pinned is the revision that a person wants to run, empty: none.
func pinned(sg *v1alpha1.StreamGateway) string {
	if o := sg.Spec.Override; o != nil {
		return o.PinnedRevision
	}
	return ""
}

// paused tells whether a person wants nothing to be changed.
func (s *scope) paused() bool {
	o := s.sg.Spec.Override
	return o != nil && o.Reconcile == v1alpha1.ReconcilePaused
}

// held tells whether this pass observes and reports, and changes nothing.
func (s *scope) held() bool { return s.paused() || s.rejection != nil }

// pin makes this pass run the pinned revision in the place of the spec's, and
// none where spec asks for pods that cannot be made.
func (s *scope) pin() error {
	name := pinned(s.sg)
	if name == "" {
		if f := s.plan.Fault; f != nil {
			v := no(f.Reason, "%s", f.Message)
			s.rejection = &v
		}
		return nil
	}
	s.desired = name
	if s.revision(name) == nil {
		v := no(v1alpha1.ReasonPinnedRevisionNotFound, "there is no revision %s; known are %s", name, s.known())
		s.rejection = &v
		return nil
	}
	return s.restore(name)
}

// restore makes this pass run a revision of before on all pods.
func (s *scope) restore(name string) error {
	one, err := s.restored(name)
	if err != nil {
		return err
	}
	s.sg, s.plan, s.base = one.sg, one.plan, nil
	return nil
}

// known are the names of all revisions, newest first.
func (s *scope) known() string {
	if len(s.revisions) == 0 {
		return "none"
	}
	var names []string
	for _, v := range slices.Backward(s.revisions) {
		names = append(names, v.name)
	}
	return strings.Join(names, ", ")
}

// decide is the decision that follows from what is seen.
func (s *scope) decide(o *rollout.Observation) rollout.Decision {
	if pinned(s.sg) != "" {
		return rollout.Pinned(o)
	}
	return rollout.Step(o)
}

// look reads what the phases of a pass that is not held would have left
// behind, and takes what runs for what is wanted: it is what status tells of.
func (r *Reconciler) look(ctx context.Context, s *scope) error {
	live, exists, err := r.liveConfig(ctx, s)
	if err != nil {
		return err
	}
	if exists && metav1.IsControlledBy(live, s.sg) {
		if document, _, err := config.Decode[config.Document]([]byte(live.Data[config.HotKey])); err == nil {
			s.document = document
		}
	}
	if p := &s.memory.push; p.serial != s.document.Serial {
		*p = push{serial: s.document.Serial, start: s.now, acked: true} // somebody else's, and told of by them
	}
	if runs := s.document.Newest(); runs != s.plan.Revision && s.hasRevision(runs) {
		if err := s.restore(runs); err != nil {
			return err
		}
	}
	service := &corev1.Service{}
	err = client.IgnoreNotFound(r.Get(ctx, client.ObjectKeyFromObject(s.sg), service))
	if err == nil && metav1.IsControlledBy(service, s.sg) {
		s.service = service
	}
	return errors.Join(err, r.lookAtRoute(ctx, s))
}

// phases of a pass, in order.
func (r *Reconciler) phases(s *scope) []phase {
	if s.held() {
		return []phase{{"look", r.look}, {"observe", r.observe}, {"judge", func(context.Context, *scope) error { s.weigh(); return nil }}}
	}
	return []phase{
		{"access", r.access},
		{"revise", r.revise},
		{"config", r.config},
		{"observe", r.observe},
		{"keys", r.keys},
		{"judge", r.judge},
		{"tidy", r.tidy},
		{"workload", r.workload},
		{"network", r.network},
		{"route", r.route},
		{"disruption", r.disruption},
		{"monitor", r.monitor},
	}
}

type phase struct {
	name string
	run  func(context.Context, *scope) error
}

func (r *Reconciler) run(ctx context.Context, s *scope) error {
	var errs []error
	for _, p := range r.phases(s) {
		if err := p.run(ctx, s); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.name, err))
		}
	}
	return errors.Join(errs...)
}

// pausedVerdict is the condition Paused.
func (s *scope) pausedVerdict() verdict {
	if s.paused() {
		return yes(v1alpha1.ReasonPausedBySpec, "spec.override.reconcile is Paused: nothing is changed, and nothing taken back")
	}
	return no(v1alpha1.ReasonActive, "")
}

func (s *scope) accepted() verdict {
	if s.rejection != nil {
		return *s.rejection
	}
	if v := s.unsupported(); v != nil {
		return *v
	}
	return yes(v1alpha1.ReasonAccepted, "")
}

// unsupported is what pods pass over of the wanted settings, since their image
// is too old for it; nil: nothing. They run the rest, and what is in the way is
// nothing that another pass could change.
func (s *scope) unsupported() *verdict {
	for i := range s.samples {
		r := &s.samples[i].Newer
		if r.Revision != s.plan.Revision {
			continue
		}
		fields, err := resources.Unsupported(&s.plan, r.UnknownFields)
		if err != nil || len(fields) == 0 {
			continue // a plan that cannot be compared was refused before it got here
		}
		v := no(v1alpha1.ReasonUnsupportedByEngine, "pod %s, a gateway of version %s, does not know %s and runs without: take a newer spec.gateway.image, or leave it out of spec",
			r.Pod, short(r.Version), strings.Join(fields, ", "))
		return &v
	}
	return nil
}

// announceControl tells when a person takes control, and gives it back.
func (r *Reconciler) announceControl(s *scope, before, after *v1alpha1.StreamGatewayStatus) {
	if turned(before, after, v1alpha1.ConditionPaused, metav1.ConditionTrue) != nil {
		r.normal(s, nil, "Paused", actionOverride, "spec.override.reconcile is Paused: the operator observes and reports")
	}
	if is := turned(before, after, v1alpha1.ConditionPaused, metav1.ConditionFalse); is != nil && hasCondition(before, v1alpha1.ConditionPaused) {
		r.normal(s, nil, "Resumed", actionOverride, "the operator acts again")
	}
	was, is := s.memory.pin, pinned(s.sg)
	if s.rejection != nil {
		return // it changed nothing
	}
	if was == nil { // a new leader: what was acted on has been told of
		was = new(string)
		if before.ObservedGeneration == s.sg.Generation {
			was = &is
		}
	}
	s.memory.pin = &is
	switch {
	case *was == is:
	case is != "":
		r.normal(s, nil, "RevisionPinned", actionOverride, "revision %s runs, whatever the rest of spec says", is)
	default:
		r.normal(s, nil, "RevisionUnpinned", actionOverride, "revision %s is not pinned any more; spec asks for %s", *was, s.desired)
	}
}

func hasCondition(status *v1alpha1.StreamGatewayStatus, kind string) bool {
	for i := range status.Conditions {
		if status.Conditions[i].Type == kind {
			return true
		}
	}
	return false
}
