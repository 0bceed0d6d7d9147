package streamgateway_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
)

// stable makes a gateway whose first revision is healthy already, and one that
// follows is guarded.
func (w *world) stable() (*appsv1.Deployment, *node) {
	w.Helper()
	w.sample(v1alpha1.StreamGatewaySpec{Rollback: &v1alpha1.Rollback{GuardPeriod: "0s", WarmPeriod: "0s"}})
	d, n := w.serve(builtInImage)
	w.verdict(w.gateway().Status.DesiredRevision, v1alpha1.Verdict("Healthy"))
	w.patch(`{"spec":{"rollback":{"guardPeriod":"5m"}}}`)
	return d, n
}

// verdict waits for a revision's verdict, in its object and in status.
func (w *world) verdict(revision string, want v1alpha1.Verdict) v1alpha1.RevisionStatus {
	w.Helper()
	var found v1alpha1.RevisionStatus
	w.eventually(func() error {
		c, err := get[appsv1.ControllerRevision](w, "prices-"+revision)
		if err != nil {
			return err
		}
		for _, found = range w.gateway().Status.Revisions {
			if found.Name == revision && found.Verdict == want && c.Labels[resources.LabelVerdict] == string(want) {
				return nil
			}
		}
		return fmt.Errorf("revision %s is %s by its label, want %s; status: %+v", revision, c.Labels[resources.LabelVerdict], want, w.gateway().Status.Revisions)
	})
	return found
}

func TestConfigThatPodsRefuseIsTakenBack(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	d, n := w.stable()
	good := w.gateway().Status.DesiredRevision
	spoil := func(hot string) string { return strings.Replace(hot, `"maxEvents":77`, `"maxEvents":0`, 1) }
	n.spoil.Store(&spoil)
	w.patch(`{"spec":{"batching":{"maxEvents":77}}}`)
	c := w.condition(v1alpha1.ConditionRolledBack, metav1.ConditionTrue, v1alpha1.ReasonConfigRejected)
	if !strings.Contains(c.Message, n.pod.Name) || !strings.Contains(c.Message, "maxEvents") {
		t.Errorf("the message is %q", c.Message)
	}
	w.condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonRolledBack)
	w.condition(v1alpha1.ConditionReconciling, metav1.ConditionFalse, v1alpha1.ReasonStalled)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRolledBack)
	w.condition(v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	s := w.gateway().Status
	bad := s.DesiredRevision
	if bad == good || s.ActiveRevision != good || s.StableRevision != good || s.Rollout.State != "RolledBack" {
		t.Errorf("desired %s, active %s, stable %s, %+v; want %s to run", bad, s.ActiveRevision, s.StableRevision, s.Rollout, good)
	}
	if r := s.Rollback; r == nil || r.FromRevision != bad || r.ToRevision != good || r.Change != v1alpha1.ChangeHot || r.CompletedTime == nil {
		t.Errorf("rollback is %+v", r)
	}
	w.verdict(bad, "Failed")
	w.event("Warning", "RollbackStarted", "returning to "+good)
	w.event("Normal", "RollbackCompleted", bad+" -> "+good+" on 1 pods in ")
	if spec := w.gateway().Spec; spec.Batching.MaxEvents != 77 {
		t.Error("the spec was rewritten")
	}
	// Nobody tries it again: not this operator, and not the next one.
	_, document := w.pushed()
	w.stop()
	w.operate(builtInImage)
	time.Sleep(3 * time.Second)
	if _, now := w.pushed(); now.Serial != document.Serial || now.Stable.Name != good || now.Stable.Hot.Batching.MaxEvents != 100 {
		t.Errorf("config went from %d to %d and is of revision %s", document.Serial, now.Serial, now.Stable.Name)
	}
	// A person does, who has mended what was wrong.
	n.spoil.Store(nil)
	w.patch(`{"metadata":{"annotations":{"streamgateway.io/retry-revision":"` + bad + `/1"}}}`)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.condition(v1alpha1.ConditionRolledBack, metav1.ConditionFalse, v1alpha1.ReasonNotRolledBack)
	w.event("Normal", "RetryRequested", bad)
	if s := w.gateway().Status; s.ActiveRevision != bad || s.LastHandledRetry != bad+"/1" || s.StableRevision != good {
		t.Errorf("active %s, retry %q, stable %s", s.ActiveRevision, s.LastHandledRetry, s.StableRevision)
	}
	w.verdict(bad, "Pending")
	if all := w.deployments(); len(all) != 1 || all[0].UID != d.UID || all[0].Generation != d.Generation {
		t.Error("the pods' template was touched")
	}
}

func TestTemplateThatCrashesIsTakenBackWhileTheOldPodsServe(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	old, _ := w.stable()
	good := w.gateway().Status.DesiredRevision
	w.patch(`{"spec":{"gateway":{"image":"g:crashes"}}}`)
	broken := w.deployment("g:crashes")
	pod := w.pod(broken)
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
		Name: resources.ContainerName, Image: "g:crashes", RestartCount: 2,
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error"}},
	}}}
	w.podStatus(pod)
	w.condition(v1alpha1.ConditionRolledBack, metav1.ConditionTrue, v1alpha1.ReasonPodsCrashing)
	w.condition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonMinimumPodsReady)
	s := w.gateway().Status
	if s.ActiveRevision != good || s.Image != builtInImage || s.Rollback.Change != v1alpha1.ChangeRestart {
		t.Errorf("active %s with %s, %+v", s.ActiveRevision, s.Image, s.Rollback)
	}
	w.eventually(func() error {
		if all := w.deployments(); len(all) != 1 || all[0].UID != old.UID || all[0].Generation != old.Generation {
			return fmt.Errorf("%d Deployments", len(all))
		}
		return nil
	})
	// Another spec lifts it, and the revision that never got a verdict is
	// superseded.
	w.patch(`{"spec":{"gateway":{"image":null},"batching":{"maxEvents":50}}}`)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	second := w.gateway().Status.DesiredRevision
	w.verdict(second, "Pending")
	w.patch(`{"spec":{"batching":{"maxEvents":51}}}`)
	w.verdict(second, "Superseded")
	// Back to what is known to be good: no verdict is waited for.
	w.patch(`{"spec":{"batching":{"maxEvents":null}}}`)
	w.eventually(func() error {
		if s := w.gateway().Status; s.ActiveRevision != good || s.Rollout.State != "Idle" || s.Revisions[0].Name != good {
			return fmt.Errorf("active %s, %+v, newest %s", s.ActiveRevision, s.Rollout, s.Revisions[0].Name)
		}
		return nil
	})
}

func TestHistoryHasALimitAndKeepsWhatIsGoneBackTo(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.stable()
	good := w.gateway().Status.DesiredRevision
	w.patch(`{"spec":{"rollback":{"historyLimit":3}}}`)
	for i := range 5 {
		w.patch(fmt.Sprintf(`{"spec":{"batching":{"maxEvents":%d}}}`, 10+i))
		w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	}
	w.eventually(func() error {
		all := w.gateway().Status.Revisions
		if len(all) != 3 || all[2].Name != good || all[0].Number != 6 {
			return fmt.Errorf("revisions are %+v", all)
		}
		return nil
	})
}

func TestFeatureThatAPersonTurnsOffIsOffAheadOfSpecAndRevisions(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{Features: []v1alpha1.Feature{{Name: "ticker", Mode: v1alpha1.FeatureEnabled}, {Name: "kept", Mode: v1alpha1.FeatureEnabled}}})
	w.serve(builtInImage)
	revision := w.gateway().Status.ActiveRevision
	features := func(want string) {
		t.Helper()
		w.eventually(func() error {
			_, document := w.pushed()
			pushed := ""
			for _, f := range document.Stable.Hot.Features {
				pushed += f.Name + "=" + f.Mode + " "
			}
			shown := ""
			for _, f := range w.gateway().Status.Features {
				shown += f.Name + "=" + string(f.Mode) + "/" + string(f.Source) + " "
			}
			if got := pushed + "| " + shown; got != want {
				return fmt.Errorf("features are %q, want %q", got, want)
			}
			return nil
		})
	}
	features("ticker=Enabled kept=Enabled | ticker=Enabled/Spec kept=Enabled/Spec ")
	w.patch(`{"spec":{"override":{"disabledFeatures":["ticker","sse"]}}}`)
	features("kept=Enabled ticker=Disabled sse=Disabled | kept=Enabled/Spec ticker=Disabled/Override sse=Disabled/Override ")
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.event("Normal", "FeatureDisabled", "ticker")
	if now := w.gateway().Status; now.DesiredRevision != revision || now.ActiveRevision != revision || len(now.Revisions) != 1 {
		t.Errorf("an override made a revision: %+v", now.Revisions)
	}
	w.patch(`{"spec":{"override":null}}`)
	features("ticker=Enabled kept=Enabled | ticker=Enabled/Spec kept=Enabled/Spec ")
	w.event("Normal", "FeatureRestored", "ticker")
}
