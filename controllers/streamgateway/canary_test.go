package streamgateway_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// many makes a gateway of so many pods, whose first revision is healthy, and
// that goes by steps from then on.
func (w *world) many(replicas int32, rollout *v1alpha1.Rollout) (*appsv1.Deployment, []*node) {
	w.Helper()
	w.sample(v1alpha1.StreamGatewaySpec{
		Gateway: &v1alpha1.Gateway{Replicas: &replicas}, Rollout: rollout,
		Rollback: &v1alpha1.Rollback{GuardPeriod: "0s", WarmPeriod: "0s"},
	})
	d := w.deployment(builtInImage)
	nodes := w.startMany(d, replicas)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.verdict(w.gateway().Status.DesiredRevision, v1alpha1.Verdict("Healthy"))
	w.patch(`{"spec":{"rollback":{"guardPeriod":"5m","warmPeriod":"5m"}}}`)
	return d, nodes
}

func (w *world) startMany(d *appsv1.Deployment, n int32) []*node {
	w.Helper()
	var nodes []*node
	for range n {
		nodes = append(nodes, w.start(w.pod(d)))
	}
	w.progress(d, n, n, "NewReplicaSetAvailable")
	return nodes
}

// trying waits until so many pods are given the wanted revision by name, or
// with -1 by their template, and returns those named.
func (w *world) trying(n int) []string {
	w.Helper()
	var pods []string
	w.eventually(func() error {
		_, document := w.pushed()
		pods = document.CandidatePods
		named := len(pods)
		if len(document.CandidateTemplates) > 0 {
			named = -1
		}
		if document.Candidate.Name != w.gateway().Status.DesiredRevision || named != n {
			return fmt.Errorf("the document gives %s to %v and %v; want %d pods; %s", document.Candidate.Name, pods, document.CandidateTemplates, n, summary(w.gateway()))
		}
		return nil
	})
	return pods
}

func stepsOf(hold v1alpha1.Duration, percents ...int32) []v1alpha1.RolloutStep {
	var out []v1alpha1.RolloutStep
	for _, p := range percents {
		out = append(out, v1alpha1.RolloutStep{Percent: p, Hold: hold})
	}
	return out
}

func TestHotChangeGoesByStepsAndIsToldOf(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.many(4, &v1alpha1.Rollout{Hot: v1alpha1.HotCanary, Steps: stepsOf("4s", 25, 50, 100)})
	good := w.gateway().Status.DesiredRevision
	w.patch(`{"spec":{"batching":{"window":"20ms"}}}`)
	first := w.trying(1)
	w.eventually(func() error {
		s := w.gateway().Status
		if r := s.Rollout; r.State != "Stepping" || r.Step != 1 || r.Steps != 3 || r.Percent != 25 || r.NextStepTime == nil || s.ActiveRevision != good {
			return fmt.Errorf("rollout is %+v, active %s", r, s.ActiveRevision)
		}
		return nil
	})
	w.condition(v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonRollingOut)
	w.condition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonStepping)
	second := w.trying(2)
	if !slices.Contains(second, first[0]) {
		t.Errorf("%s of the first step is not among %v of the second", first[0], second)
	}
	w.trying(-1)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	s := w.gateway().Status
	if s.ActiveRevision != s.DesiredRevision || s.StableRevision != good || s.Rollout.State != "Guarding" || *s.Config.Acked != 4 {
		t.Errorf("active %s, stable %s, %+v, %d acked", s.ActiveRevision, s.StableRevision, s.Rollout, *s.Config.Acked)
	}
	w.event("Normal", "StepStarted", "step 1 of 3: 1 of 4 pods run revision "+s.DesiredRevision)
	w.event("Normal", "StepPassed", "step 1 of 3")
	w.event("Normal", "StepStarted", "step 2 of 3: 2 of 4 pods run revision "+s.DesiredRevision)
	w.event("Normal", "RevisionPromoted", s.DesiredRevision)
	_, document := w.pushed()
	if document.Stable.Name != good {
		t.Errorf("what is gone back to in the document is %s, want %s", document.Stable.Name, good)
	}
	w.patch(`{"spec":{"rollback":{"guardPeriod":"0s","warmPeriod":"0s"}}}`)
	w.verdict(s.DesiredRevision, "Healthy")
	w.eventually(func() error {
		if _, document := w.pushed(); document.Candidate.Name != "" || document.Stable.Name != s.DesiredRevision {
			return fmt.Errorf("after the verdict %s runs and %q is on trial", document.Stable.Name, document.Candidate.Name)
		}
		return nil
	})
}

func TestBadHotChangeReachesItsCanaryOnly(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	_, nodes := w.many(3, &v1alpha1.Rollout{Hot: v1alpha1.HotCanary, Steps: stepsOf("1h", 25, 100)})
	good := w.gateway().Status.DesiredRevision
	spoil := func(hot string) string { return strings.Replace(hot, `"maxEvents":77`, `"maxEvents":0`, 1) }
	for _, n := range nodes {
		n.spoil.Store(&spoil)
	}
	_, before := w.pushed()
	w.patch(`{"spec":{"batching":{"maxEvents":77}}}`)
	c := w.condition(v1alpha1.ConditionRolledBack, metav1.ConditionTrue, v1alpha1.ReasonConfigRejected)
	if strings.Count(c.Message, "refused config") != 1 {
		t.Errorf("the message is %q", c.Message)
	}
	w.eventually(func() error {
		if s := w.gateway().Status; s.ActiveRevision != good || s.Rollback.CompletedTime == nil || *s.Config.Acked != 3 {
			return fmt.Errorf("active %s, %+v", s.ActiveRevision, s.Rollback)
		}
		return nil
	})
	if _, now := w.pushed(); now.Serial != before.Serial+2 || now.Candidate.Name != "" || now.Stable.Name != good {
		t.Errorf("config went from %d to %d: one write there and one back are enough", before.Serial, now.Serial)
	}
}

func TestCanaryOnALostNodeIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	_, nodes := w.many(3, &v1alpha1.Rollout{
		Hot: v1alpha1.HotCanary, Steps: stepsOf("1s", 25, 100), ProgressDeadline: "30s",
		Analysis: &v1alpha1.Analysis{OnInconclusive: v1alpha1.InconclusiveRollback, MinEvents: ptr.To(int32(0))},
	})
	w.patch(`{"spec":{"rollout":{"steps":[{"percent":25,"hold":"4s"},{"percent":100}]},"batching":{"window":"20ms"}}}`)
	canary := w.trying(1)[0]
	lost := nodes[slices.IndexFunc(nodes, func(n *node) bool { return n.pod.Name == canary })]
	lost.kill()
	lost.pod.Status.Conditions = []corev1.PodCondition{
		{Type: corev1.PodReady, Status: corev1.ConditionFalse}, {Type: corev1.ContainersReady, Status: corev1.ConditionTrue},
	}
	w.podStatus(lost.pod)
	time.Sleep(6 * time.Second) // longer than the hold
	if s := w.gateway().Status; s.Rollout.Step != 1 || s.Rollout.State == "RolledBack" || s.Rollback != nil {
		t.Fatalf("a lost node: %+v, %+v", s.Rollout, s.Rollback)
	}
	// The node controller takes the pod away: another one is tried.
	if err := cluster.Delete(t.Context(), lost.pod); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		if _, d := w.pushed(); len(d.CandidatePods) != 1 || d.CandidatePods[0] == canary {
			return fmt.Errorf("tried on %v", d.CandidatePods)
		}
		return nil
	})
	w.trying(-1)
}

func TestQuietStepWaitsForAPersonWhereSpecSaysSo(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.many(2, &v1alpha1.Rollout{
		Hot: v1alpha1.HotCanary, Steps: stepsOf("500ms", 50, 100), Analysis: &v1alpha1.Analysis{OnInconclusive: v1alpha1.InconclusiveHold},
	})
	w.patch(`{"spec":{"batching":{"window":"20ms"}}}`)
	w.trying(1)
	c := w.condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonAnalysisInconclusive)
	s := w.gateway().Status
	if s.Rollout.State != "Holding" || !strings.Contains(c.Message, "too few events") {
		t.Errorf("%+v, %q", s.Rollout, c.Message)
	}
	w.event("Warning", "AnalysisInconclusive", "too few events")
	w.stop()
	w.operate(builtInImage)     // the next leader waits as well
	time.Sleep(2 * time.Second) // time for a pass to move on
	if now := w.gateway().Status; now.Rollout.Step != 1 || now.Rollout.State != "Holding" {
		t.Errorf("after another leader took over: %+v", now.Rollout)
	}
	w.patch(`{"metadata":{"annotations":{"streamgateway.io/retry-revision":"` + s.DesiredRevision + `/go"}}}`)
	w.trying(-1)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
}
