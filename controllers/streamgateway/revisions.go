package streamgateway

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
	"github.com/streamgateway/streamgateway/controllers/rollout"
)

// maxRetry is how long the value of the annotation may be, which status shows.
const maxRetry = 256

// revision is a ControllerRevision, read.
type revision struct {
	name    string
	number  int64
	created time.Time
	data    []byte
	record  resources.Record
	verdict rollout.Verdict
	detail  detail
	object  *appsv1.ControllerRevision // as read; nil for one that is new in this pass
}

// detail is what is known of a revision beside its verdict.
type detail struct {
	Change          v1alpha1.ChangeKind `json:"change,omitempty"`
	Step            int                 `json:"step,omitempty"`     // of a canary; 0: the first
	StepTime        time.Time           `json:"stepTime,omitzero"`  // when it was entered
	StepStart       time.Time           `json:"stepStart,omitzero"` // when its pods ran the revision
	GuardStart      time.Time           `json:"guardStart,omitzero"`
	Retry           string              `json:"retry,omitempty"` // annotation that was acted on last
	UnhealthyBefore string              `json:"unhealthyBefore,omitempty"`
	VerdictTime     time.Time           `json:"verdictTime,omitzero"`
	Reason          string              `json:"reason,omitempty"`
	Message         string              `json:"message,omitempty"`
	Metric          string              `json:"metric,omitempty"`
	Observed        string              `json:"observed,omitempty"`
	Threshold       string              `json:"threshold,omitempty"`
	Flags           []flagOff           `json:"flags,omitempty"` // switched off alone, in that order
}

// +kubebuilder:rbac:groups=apps,resources=controllerrevisions,verbs=get;list;watch;create;patch;delete

// readRevisions reads what is known of earlier specs. Where the cache is
// behind our own write, what was written counts: a verdict must not be
// forgotten between two passes.
func (r *Reconciler) readRevisions(ctx context.Context, s *scope) error {
	var list appsv1.ControllerRevisionList
	mine := []client.ListOption{client.InNamespace(s.sg.Namespace), client.MatchingLabels(resources.Selector(s.sg.Name))}
	if err := r.List(ctx, &list, mine...); err != nil {
		return fmt.Errorf("listing ControllerRevisions: %w", err)
	}
	written := s.memory.revisions
	for i := range list.Items {
		item := &list.Items[i]
		ours := written[item.Name]
		if ours != nil && older(item.ResourceVersion, ours.ResourceVersion) {
			item = ours
		}
		if known, ok := readRevision(s.sg, item); ok && !s.hasRevision(known.name) {
			s.revisions = append(s.revisions, known)
		}
		if ours != nil && !older(item.ResourceVersion, ours.ResourceVersion) && item != ours {
			delete(written, item.Name) // the cache has caught up
		}
	}
	for _, ours := range written { // made so lately that the cache has not seen it
		if known, ok := readRevision(s.sg, ours); ok && !s.hasRevision(known.name) {
			s.revisions = append(s.revisions, known)
		}
	}
	s.sortRevisions()
	return s.keepImage()
}

func (s *scope) sortRevisions() {
	slices.SortFunc(s.revisions, func(a, b revision) int { return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.name, b.name)) })
}

// readRevision gives nothing for what is not ours, or not readable: such a
// revision cannot be gone back to.
func readRevision(sg *v1alpha1.StreamGateway, c *appsv1.ControllerRevision) (revision, bool) {
	prefix := resources.RevisionName(sg.Name, "")
	if !metav1.IsControlledBy(c, sg) || !c.DeletionTimestamp.IsZero() || len(c.Name) <= len(prefix) {
		return revision{}, false
	}
	record, err := resources.ReadRecord(c.Data.Raw)
	if err != nil {
		return revision{}, false
	}
	out := revision{
		name: c.Name[len(prefix):], number: c.Revision, created: c.CreationTimestamp.Time, data: c.Data.Raw, record: record,
		verdict: rollout.Verdict(c.Labels[resources.LabelVerdict]), object: c,
	}
	if json.Unmarshal([]byte(c.Annotations[resources.AnnotationVerdict]), &out.detail) != nil {
		out.detail = detail{} // edited beyond reading: the guard begins anew
	}
	return out, true
}

// keepImage gives a spec without an image the one that its revision was made
// with, and its pods the form they had then, whatever the operator brings along
// by now.
func (s *scope) keepImage() error {
	known := s.revision(s.desired)
	if known == nil {
		return nil
	}
	version := max(known.record.RenderVersion, 1)
	if known.record.Image == s.plan.Image && version == s.plan.RenderVersion {
		return nil
	}
	plan, err := resources.NewPlanAs(s.sg, known.record.Image, version)
	if err != nil {
		return fmt.Errorf("reading spec: %w", err)
	}
	s.plan = plan
	return nil
}

func (s *scope) revision(name string) *revision {
	for i := range s.revisions {
		if s.revisions[i].name == name {
			return &s.revisions[i]
		}
	}
	return nil
}

func (s *scope) hasRevision(name string) bool { return s.revision(name) != nil }

// writeRevision stores a revision and its verdict.
func (r *Reconciler) writeRevision(ctx context.Context, s *scope, v *revision) error {
	text, err := json.Marshal(v.detail)
	if err != nil {
		return err
	}
	want := resources.ControllerRevision(s.sg, v.name, v.number, v.data, string(v.verdict), string(text))
	if err := r.Apply(ctx, want, client.FieldOwner(ControllerName), client.ForceOwnership); err != nil {
		return s.refused(nameOf(want), err)
	}
	stored := &appsv1.ControllerRevision{}
	answer, err := json.Marshal(want)
	if err == nil {
		err = json.Unmarshal(answer, stored)
	}
	if err != nil {
		return fmt.Errorf("reading the answer for %s: %w", nameOf(want), err)
	}
	stored.Data = runtime.RawExtension{Raw: v.data}
	s.memory.revisions[stored.Name] = stored
	return nil
}

// revise makes sure that what spec asks for is a revision, and decides by what
// is known so far what shall run.
func (r *Reconciler) revise(ctx context.Context, s *scope) error {
	if err := r.recordDesired(ctx, s); err != nil {
		return err
	}
	if err := r.retry(ctx, s); err != nil {
		return err
	}
	s.decision = s.decide(s.history())
	s.overtaken = s.decision.Supersede
	for _, name := range s.overtaken {
		v := s.revision(name)
		v.verdict, v.detail.VerdictTime = rollout.Superseded, s.now
	}
	if s.decision.Base != "" {
		base, err := s.restored(s.decision.Base)
		s.base = base
		return err
	}
	if s.decision.Run != s.desired {
		return s.runBase()
	}
	return nil
}

// tidy stores what became of the revisions of before. It comes after the pods
// have been told what to run: they need not wait for it, and who leads next
// decides the same again where it is missing.
func (r *Reconciler) tidy(ctx context.Context, s *scope) error {
	for _, name := range s.overtaken {
		if v := s.revision(name); v != nil {
			if err := r.writeRevision(ctx, s, v); err != nil {
				return err
			}
		}
	}
	return r.prune(ctx, s)
}

// recordDesired writes a ControllerRevision for a spec that has none, and
// moves one that is asked for again to the end of the history. One that was
// overtaken is judged anew; one that failed stays so.
func (r *Reconciler) recordDesired(ctx context.Context, s *scope) error {
	number := int64(1)
	if n := len(s.revisions); n > 0 {
		newest := &s.revisions[n-1]
		if newest.name == s.desired && newest.verdict != rollout.Superseded {
			return nil
		}
		number = newest.number + 1
	}
	if known := s.revision(s.desired); known != nil {
		known.number = number
		if known.verdict == rollout.Superseded {
			known.verdict, known.detail.Flags = rollout.Pending, nil
			known.enter(1, s.now)
		}
		defer s.sortRevisions()
		return r.writeRevision(ctx, s, known)
	}
	data, err := resources.NewRecord(&s.sg.Spec, s.plan)
	if err != nil {
		return err
	}
	record, err := resources.ReadRecord(data)
	if err != nil {
		return err
	}
	v := revision{name: s.desired, number: number, created: s.now, data: data, record: record, verdict: rollout.Pending}
	v.detail.Change = v1alpha1.ChangeHot
	if stable := s.stable(); stable != nil && stable.record.TemplateHash != record.TemplateHash || s.deployment() == nil {
		v.detail.Change = v1alpha1.ChangeRestart
	}
	if c := s.before(v1alpha1.ConditionHealthy); c != nil && c.Status == metav1.ConditionFalse {
		v.detail.UnhealthyBefore = c.Reason
	}
	if s.sg.Status.ObservedGeneration == s.sg.Generation {
		// Spec is what it was, and it is its revision that is gone.
		if err := r.stillThere(ctx, s); err != nil {
			return err
		}
	}
	if err := r.writeRevision(ctx, s, &v); err != nil || s.memory.revisions[resources.RevisionName(s.sg.Name, v.name)] == nil {
		return err // or refused, as status says
	}
	s.revisions = append(s.revisions, v)
	r.normal(s, nil, "RevisionCreated", actionRollout, "revision %s is number %d", v.name, v.number)
	return nil
}

// retry gives a failed revision that spec still asks for another chance, once
// for each value of the annotation.
func (r *Reconciler) retry(ctx context.Context, s *scope) error {
	v, value := s.revision(s.desired), s.sg.Annotations[v1alpha1.AnnotationRetry]
	if name, _, _ := strings.Cut(value, "/"); v == nil || name != v.name || value == v.detail.Retry || len(value) > maxRetry {
		return nil
	}
	v.detail.Retry = value
	stalled := s.before(v1alpha1.ConditionStalled)
	switch {
	case v.verdict == rollout.Failed:
		v.verdict, v.detail.UnhealthyBefore, v.detail.Flags = rollout.Pending, "", nil
		v.enter(1, s.now)
		r.normal(s, nil, "RetryRequested", actionRollback, "revision %s is tried again (%s)", v.name, value)
	case v.verdict == rollout.Pending && stalled != nil && stalled.Reason == v1alpha1.ReasonAnalysisInconclusive:
		r.normal(s, nil, "RetryRequested", actionRollout, "revision %s goes on to its next step (%s)", v.name, value)
		v.enter(max(v.detail.Step, 1)+1, s.now)
	}
	return r.writeRevision(ctx, s, v)
}

// enter puts a revision at the beginning of a step.
func (v *revision) enter(step int, now time.Time) {
	v.detail.Step, v.detail.StepTime, v.detail.StepStart, v.detail.GuardStart = step, now, time.Time{}, time.Time{}
}

// restored is a revision of before as it would run now.
func (s *scope) restored(name string) (*side, error) {
	v := s.revision(name)
	if v == nil {
		return nil, fmt.Errorf("restoring revision %s: it is gone", name)
	}
	sg, plan, err := v.record.Restore(s.sg, s.plan)
	if err != nil {
		return nil, err
	}
	return &side{sg, plan}, nil
}

// runBase makes this pass run the decision's revision, which spec does not ask
// for, on all pods.
func (s *scope) runBase() error { return s.restore(s.decision.Run) }

// prune deletes the oldest revisions beyond the limit, but none that runs or
// may have to.
func (r *Reconciler) prune(ctx context.Context, s *scope) error {
	surplus := len(s.revisions) - s.historyLimit()
	for _, v := range slices.Clone(s.revisions) {
		if surplus <= 0 {
			return nil
		}
		if v.name == s.desired || v.name == s.decision.Stable || v.name == s.decision.Run || v.name == s.sg.Status.ActiveRevision {
			continue
		}
		gone := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{
			Namespace: s.sg.Namespace, Name: resources.RevisionName(s.sg.Name, v.name),
		}}
		if err := client.IgnoreNotFound(r.Delete(ctx, gone)); err != nil {
			return fmt.Errorf("deleting ControllerRevision %s: %w", gone.Name, err)
		}
		delete(s.memory.revisions, gone.Name)
		s.revisions = slices.DeleteFunc(s.revisions, func(other revision) bool { return other.name == v.name })
		surplus--
	}
	return nil
}
