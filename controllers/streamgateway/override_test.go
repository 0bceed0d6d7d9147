package streamgateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// runs waits until the pods run this revision.
func (w *world) runs(revision string) {
	w.Helper()
	w.eventually(func() error {
		if s := w.gateway().Status; s.ActiveRevision != revision || s.DesiredRevision != revision {
			return fmt.Errorf("%s runs and %s is desired, want %s; %s", s.ActiveRevision, s.DesiredRevision, revision, summary(w.gateway()))
		}
		return nil
	})
}

func TestPinnedRevisionRunsUntilItIsUnpinned(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	d, n := w.stable()
	first := w.gateway().Status.DesiredRevision
	w.patch(`{"spec":{"batching":{"window":"10ms"}}}`)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	second := w.gateway().Status.DesiredRevision

	w.patch(`{"spec":{"override":{"pinnedRevision":"` + first + `"}}}`)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonPinned)
	w.runs(first)
	if _, document := w.pushed(); document.Stable.Name != first || document.Stable.Hot.Batching.Window != 50*time.Millisecond {
		t.Errorf("pods run %s with a window of %s", document.Stable.Name, document.Stable.Hot.Batching.Window)
	}
	w.event("Normal", "RevisionPinned", first)
	w.verdict(second, "Superseded")
	// Whatever the rest of spec says, and pods that refuse it move nothing.
	w.patch(`{"spec":{"batching":{"maxEvents":77}}}`)
	w.runs(first)

	w.patch(`{"spec":{"override":{"pinnedRevision":"nosuchone"}}}`)
	c := w.condition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonPinnedRevisionNotFound)
	if want := "there is no revision nosuchone; known are " + first + ", " + second; c.Message != want {
		t.Errorf("the message is %q, want %q", c.Message, want)
	}
	w.condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNotAccepted)
	w.condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonInvalidSpec)
	w.condition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonMinimumPodsReady)
	if _, document := w.pushed(); document.Stable.Name != first {
		t.Errorf("pods run %s", document.Stable.Name)
	}

	w.patch(`{"spec":{"override":null,"batching":{"maxEvents":100}}}`)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.runs(second)
	w.event("Normal", "RevisionUnpinned", "revision "+first+" is not pinned any more; spec asks for "+second)
	if all := w.deployments(); len(all) != 1 || all[0].UID != d.UID || all[0].Generation != d.Generation {
		t.Error("the pods' template was touched")
	}
	n.kill()
}

func TestPinnedRevisionOfAnotherTemplateGetsItsPodsBack(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	m := w.established(1, nil, map[string]func(*corev1.Pod){})
	first := w.gateway().Status.DesiredRevision
	w.patch(`{"spec":{"gateway":{"image":"g:2"}}}`)
	w.shape(map[string][3]int{builtInImage: {1, 0, 1}, "g:2": {1, 1, 0}})
	w.patch(`{"spec":{"override":{"pinnedRevision":"` + first + `"}}}`)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonPinned)
	w.shape(map[string][3]int{builtInImage: {1, 1, 0}, "g:2": {0, 0, 0}})
	if s := w.gateway().Status; s.Image != builtInImage || s.ActiveRevision != first {
		t.Errorf("%s runs with image %s", s.ActiveRevision, s.Image)
	}
	if n := m.fewest(); n < 1 {
		t.Errorf("at some time %d pods were ready", n)
	}
}

func TestPausedOperatorObservesAndChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.stable()
	first := w.gateway().Status.DesiredRevision
	_, before := w.pushed()
	w.patch(`{"spec":{"override":{"reconcile":"Paused"}}}`)
	w.condition(v1alpha1.ConditionPaused, metav1.ConditionTrue, v1alpha1.ReasonPausedBySpec)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady) // what spec asks for runs
	w.event("Normal", "Paused", "observes and reports")
	begin := len(w.requests.since(0))
	w.patch(`{"spec":{"batching":{"window":"10ms"}}}`)
	c := w.condition(v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonPaused)
	if !strings.HasPrefix(c.Message, "serving "+first) {
		t.Errorf("the message is %q", c.Message)
	}
	w.condition(v1alpha1.ConditionReconciling, metav1.ConditionFalse, v1alpha1.ReasonPaused)
	service := must(get[corev1.Service](w, "prices"))
	service.Spec.Ports[0].Port = 8081
	if err := cluster.Update(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second) // time to write after all
	if _, now := w.pushed(); now.Serial != before.Serial {
		t.Errorf("config went from %d to %d", before.Serial, now.Serial)
	}
	for _, line := range w.requests.since(begin) {
		method, path, _ := strings.Cut(line, " ")
		if method != http.MethodGet && !strings.HasSuffix(path, "/status") && !strings.HasSuffix(path, "/events") {
			t.Errorf("it wrote: %s", line)
		}
	}
	if s := w.gateway(); s.Status.ObservedGeneration != s.Generation || s.Status.Metrics == nil {
		t.Errorf("it does not report: generation %d of %d, metrics %v", s.Status.ObservedGeneration, s.Generation, s.Status.Metrics)
	}
	w.patch(`{"spec":{"override":null}}`)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.condition(v1alpha1.ConditionPaused, metav1.ConditionFalse, v1alpha1.ReasonActive)
	w.event("Normal", "Resumed", "acts again")
	w.event("Normal", "DriftCorrected", "Service prices")
	if _, now := w.pushed(); now.Candidate.Hot.Batching.Window != 10*time.Millisecond {
		t.Errorf("after it resumed, %s is tried with a window of %s", now.Newest(), now.Candidate.Hot.Batching.Window)
	}
}

func TestPausedOperatorTakesNothingBack(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	_, n := w.stable()
	spoil := func(hot string) string { return strings.Replace(hot, `"maxEvents":77`, `"maxEvents":0`, 1) }
	w.patch(`{"spec":{"batching":{"maxEvents":77}}}`)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	bad := w.gateway().Status.DesiredRevision
	w.patch(`{"spec":{"override":{"reconcile":"Paused"}}}`)
	w.condition(v1alpha1.ConditionPaused, metav1.ConditionTrue, v1alpha1.ReasonPausedBySpec)
	n.spoil.Store(&spoil) // the running document, under the same serial, refused
	w.condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonConfigRejected)
	c := w.condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonManualRollbackRequired)
	if !strings.Contains(c.Message, bad) {
		t.Errorf("the message is %q", c.Message)
	}
	w.verdict(bad, "Pending")
	w.patch(`{"spec":{"override":null}}`)
	w.condition(v1alpha1.ConditionRolledBack, metav1.ConditionTrue, v1alpha1.ReasonConfigRejected)
}
