package streamgateway_test

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
)

// established makes a gateway whose first revision is healthy, on a machine.
func (w *world) established(replicas int32, rollout *v1alpha1.Rollout, faults map[string]func(*corev1.Pod)) *machine {
	w.Helper()
	m := w.machine(faults)
	w.sample(v1alpha1.StreamGatewaySpec{
		Gateway: &v1alpha1.Gateway{Replicas: &replicas}, Rollout: rollout,
		Rollback: &v1alpha1.Rollback{GuardPeriod: "0s", WarmPeriod: "0s"},
	})
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.verdict(w.gateway().Status.DesiredRevision, v1alpha1.Verdict("Healthy"))
	w.patch(`{"spec":{"rollback":{"guardPeriod":"5m","warmPeriod":"5m"}}}`)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	m.fewest()
	return m
}

// pods are the templates' pods: how many there are, are ready, and stand by.
func (w *world) podsBy(image string) (all, ready, standing int) {
	w.Helper()
	var list corev1.PodList
	if err := cluster.List(w.Context(), &list, client.InNamespace(w.namespace)); err != nil {
		w.Fatal(err)
	}
	_, document := w.pushed()
	for i := range list.Items {
		p := &list.Items[i]
		if p.Spec.Containers[0].Image != image {
			continue
		}
		all++
		ready += readiness(p)
		if document.StandsBy(p.Name, p.Labels[resources.LabelTemplateHash]) {
			standing++
		}
	}
	return all, ready, standing
}

// shape waits until pods of images are so many, of which so many are ready and
// so many stand by.
func (w *world) shape(want map[string][3]int) {
	w.Helper()
	w.eventually(func() error {
		for image, n := range want {
			all, ready, standing := w.podsBy(image)
			if [3]int{all, ready, standing} != n {
				return fmt.Errorf("%s: %d pods, %d ready, %d stand by; want %v; %+v, %s", image, all, ready, standing, n, w.gateway().Status.Rollout, summary(w.gateway()))
			}
		}
		return nil
	})
}

func TestOldPodStandsByAndIsGoneBackToWithoutAGap(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	m := w.established(1, nil, map[string]func(*corev1.Pod){})
	good := w.gateway().Status.DesiredRevision
	w.patch(`{"spec":{"gateway":{"image":"g:2"},"batching":{"maxEvents":77}}}`)
	w.shape(map[string][3]int{builtInImage: {1, 0, 1}, "g:2": {1, 1, 0}})
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.eventually(func() error {
		if r := w.gateway().Status.Rollout; r.State != "Guarding" {
			return fmt.Errorf("it is %s", r.State)
		}
		return nil
	})
	s := w.gateway().Status
	if s.ActiveRevision != s.DesiredRevision || s.StableRevision != good || s.Rollout.Change != v1alpha1.ChangeRestart || *s.Replicas != 1 {
		t.Errorf("%+v, active %s, stable %s, %d replicas", s.Rollout, s.ActiveRevision, s.StableRevision, *s.Replicas)
	}
	_, document := w.pushed()
	if document.Stable.Name != good || document.Stable.Hot.Batching.MaxEvents != 100 || document.Candidate.Hot.Batching.MaxEvents != 77 {
		t.Errorf("the pods that stand by were given the settings of the new ones: %+v", document.Stable.Hot.Batching)
	}
	// It turns out bad while the old one is warm.
	m.mu.Lock()
	for _, n := range m.nodes {
		if n.pod.Spec.Containers[0].Image == "g:2" {
			spoil := func(string) string {
				return `{"serial":9007199254740991,"candidate":{"revision":"` + s.DesiredRevision + `","hot":{"queue":7}},"candidatePods":["` + n.pod.Name + `"]}`
			}
			n.spoil.Store(&spoil)
		}
	}
	m.mu.Unlock()
	w.condition(v1alpha1.ConditionRolledBack, metav1.ConditionTrue, v1alpha1.ReasonConfigRejected)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRolledBack)
	w.shape(map[string][3]int{builtInImage: {1, 1, 0}, "g:2": {0, 0, 0}})
	w.eventually(func() error {
		if s := w.gateway().Status; s.Rollout.State != "RolledBack" || s.ActiveRevision != good || s.Rollback.CompletedTime == nil || s.Image != builtInImage {
			return fmt.Errorf("%+v, active %s, %+v", s.Rollout, s.ActiveRevision, s.Rollback)
		}
		return nil
	})
	if n := m.fewest(); n < 1 {
		t.Errorf("at some time %d pods were ready", n)
	}
	w.event("Normal", "RollbackCompleted", " -> "+good)
	events, err := w.events()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if m := regexp.MustCompile(` in (\d+) ms`).FindStringSubmatch(e.Note); e.Reason == "RollbackCompleted" && m != nil {
			t.Logf("%s (pods here read the config once a second)", e.Note)
			if ms, err := strconv.Atoi(m[1]); err != nil || ms > 5000 {
				t.Errorf("going back took %s ms", m[1])
			}
		}
	}
}

func TestOldPodEndsAfterTheWarmPeriodAndStartsAgainForARollback(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	m := w.established(1, nil, map[string]func(*corev1.Pod){})
	good := w.gateway().Status.DesiredRevision
	w.patch(`{"spec":{"rollback":{"warmPeriod":"2s"},"gateway":{"image":"g:2"}}}`)
	w.shape(map[string][3]int{builtInImage: {0, 0, 0}, "g:2": {1, 1, 0}})
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	if s := w.gateway().Status; s.StableRevision != good {
		t.Errorf("stable is %s", s.StableRevision)
	}
	m.spoil("g:2", w.gateway().Status.DesiredRevision)
	w.event("Warning", "RollbackStartingPods", good)
	w.shape(map[string][3]int{builtInImage: {1, 1, 0}, "g:2": {0, 0, 0}})
	w.condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonRolledBack)
	if n := m.fewest(); n < 1 {
		t.Errorf("at some time %d pods were ready", n)
	}
}

func TestNewPodsComeStepByStepAndOldOnesMakeRoom(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	m := w.established(4, &v1alpha1.Rollout{Steps: stepsOf("3s", 25, 75, 100)}, map[string]func(*corev1.Pod){})
	w.patch(`{"spec":{"gateway":{"image":"g:2"}}}`)
	w.shape(map[string][3]int{builtInImage: {4, 3, 1}, "g:2": {1, 1, 0}})
	w.condition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonStepping)
	w.shape(map[string][3]int{builtInImage: {4, 1, 3}, "g:2": {3, 3, 0}})
	w.shape(map[string][3]int{builtInImage: {4, 0, 4}, "g:2": {4, 4, 0}})
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.event("Normal", "StepStarted", "step 2 of 3")
	if s := w.gateway().Status; s.Image != "g:2" || s.Pods.Summary != "4/4" || *s.Replicas != 4 {
		t.Errorf("image %s, pods %s, %d replicas", s.Image, s.Pods.Summary, *s.Replicas)
	}
	if n := m.fewest(); n < 4 {
		t.Errorf("at some time %d of 4 pods were ready", n)
	}
	w.patch(`{"spec":{"rollback":{"warmPeriod":"0s"}}}`)
	w.shape(map[string][3]int{builtInImage: {0, 0, 0}, "g:2": {4, 4, 0}})
}

func TestNewPodsThatCrashInTheirStepLeaveTheOthersAlone(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	m := w.established(3, &v1alpha1.Rollout{Steps: stepsOf("2s", 30, 60, 100)}, map[string]func(*corev1.Pod){})
	good := w.gateway().Status.DesiredRevision
	w.patch(`{"spec":{"gateway":{"image":"g:2"}}}`)
	w.shape(map[string][3]int{builtInImage: {3, 2, 1}, "g:2": {1, 1, 0}})
	m.fault("g:2", crashes) // as the second step meets it
	w.condition(v1alpha1.ConditionRolledBack, metav1.ConditionTrue, v1alpha1.ReasonPodsCrashing)
	w.shape(map[string][3]int{builtInImage: {3, 3, 0}, "g:2": {0, 0, 0}})
	w.eventually(func() error {
		if s := w.gateway().Status; s.Rollout.State != "RolledBack" || s.ActiveRevision != good {
			return fmt.Errorf("%+v, active %s", s.Rollout, s.ActiveRevision)
		}
		return nil
	})
	if n := m.fewest(); n < 3 {
		t.Errorf("at some time %d of 3 pods were ready", n)
	}
}

func TestPodsThatStandByMakeRoomForNewOnes(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	m := w.established(2, &v1alpha1.Rollout{Steps: stepsOf("1s", 50, 100)}, map[string]func(*corev1.Pod){})
	w.patch(`{"spec":{"gateway":{"image":"g:2"}}}`)
	w.shape(map[string][3]int{builtInImage: {2, 1, 1}, "g:2": {1, 1, 0}})
	m.fault("g:2", noNode) // the node is full with the first of them
	w.event("Warning", "WarmPodsReduced", "no room")
	w.shape(map[string][3]int{builtInImage: {1, 1, 0}, "g:2": {2, 1, 0}})
	// The node has room again for the pod that waited.
	m.fault("g:2", nil)
	var list corev1.PodList
	if err := cluster.List(t.Context(), &list, client.InNamespace(w.namespace)); err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		if list.Items[i].Status.Phase == corev1.PodPending {
			if err := cluster.Delete(t.Context(), &list.Items[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.shape(map[string][3]int{builtInImage: {1, 0, 1}, "g:2": {2, 2, 0}})
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	if n := m.fewest(); n < 2 {
		t.Errorf("at some time %d of 2 pods were ready", n)
	}
}

func TestSpecThatOvertakesATrialGoesFromTheStableRevisionAgain(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	m := w.established(3, &v1alpha1.Rollout{Steps: stepsOf("1h", 30, 100)}, map[string]func(*corev1.Pod){})
	good := w.gateway().Status.DesiredRevision
	w.patch(`{"spec":{"gateway":{"image":"g:2"}}}`)
	w.shape(map[string][3]int{builtInImage: {3, 2, 1}, "g:2": {1, 1, 0}})
	_, document := w.pushed()
	second := document.Candidate.Name
	w.patch(`{"spec":{"gateway":{"image":"g:3"}}}`)
	w.shape(map[string][3]int{builtInImage: {3, 2, 1}, "g:2": {0, 0, 0}, "g:3": {1, 1, 0}})
	w.verdict(second, "Superseded")
	w.patch(`{"spec":{"gateway":{"image":null}}}`)
	w.shape(map[string][3]int{builtInImage: {3, 3, 0}, "g:3": {0, 0, 0}})
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	if s := w.gateway().Status; s.ActiveRevision != good || s.Rollout.State != "Idle" {
		t.Errorf("active %s, %+v", s.ActiveRevision, s.Rollout)
	}
	if n := m.fewest(); n < 3 {
		t.Errorf("at some time %d of 3 pods were ready", n)
	}
	time.Sleep(time.Second) // nothing moves any more
	w.shape(map[string][3]int{builtInImage: {3, 3, 0}})
}
