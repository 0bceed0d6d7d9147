package streamgateway_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// coldKeys and replay bytes of the ConfigMap as it is.
func (w *world) pushed() (colds int, document config.Document) {
	w.Helper()
	m := must(get[corev1.ConfigMap](w, "prices-config"))
	document, _, err := config.Decode[config.Document]([]byte(m.Data[config.HotKey]))
	if err != nil {
		w.Fatal(err)
	}
	return len(m.Data) - 1, document
}

func TestOldPodsServeUntilTheNewOnesAreReady(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	old, served := w.serve(builtInImage)
	// A restart and a hot change at once, of which the hot one is too much for
	// the memory of the old pods.
	w.patch(`{"spec":{"gateway":{"image":"g:2","resources":{"limits":{"memory":"2Gi"}}},"replay":{"maxBytes":"1Gi"}}}`)
	fresh := w.deployment("g:2")
	c := w.condition(v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonRollingOut)
	if !strings.Contains(c.Message, "waiting for the pods of revision") {
		t.Errorf("the message is %q", c.Message)
	}
	w.condition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonMinimumPodsReady)
	limit := resource.MustParse("768Mi")
	w.eventually(func() error {
		colds, document := w.pushed()
		if colds != 2 || document.Stable.Hot.Replay.MaxBytes != resources.MaxReplayBytes(limit.Value()) {
			return fmt.Errorf("while both live: %d cold documents, replay of %d bytes", colds, document.Stable.Hot.Replay.MaxBytes)
		}
		return nil
	})
	if len(w.deployments()) != 2 {
		t.Fatalf("%d Deployments", len(w.deployments()))
	}
	w.start(w.pod(fresh))
	w.progress(fresh, 1, 1, "NewReplicaSetAvailable")
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.eventually(func() error {
		colds, document := w.pushed()
		if colds != 1 || document.Stable.Hot.Replay.MaxBytes != 1<<30 {
			return fmt.Errorf("afterwards: %d cold documents, replay of %d bytes", colds, document.Stable.Hot.Replay.MaxBytes)
		}
		if d := w.deployments(); len(d) != 1 || d[0].Name == old.Name {
			return fmt.Errorf("the old Deployment is still there")
		}
		return nil
	})
	w.event("Normal", "DrainStarted", "ending: 1 (first "+served.pod.Name)
	served.kill()
	w.remove(served.pod)
	w.event("Normal", "DrainCompleted", "pods have sent their clients on: 1, in ")
	if s := w.gateway().Status; s.Image != "g:2" {
		t.Errorf("the image is %s", s.Image)
	}
}

func TestBrokenImageLeavesTheOldPodsServingAndSaysWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	old, _ := w.serve(builtInImage)
	revision := w.gateway().Status.ActiveRevision
	w.patch(`{"spec":{"gateway":{"image":"g:broken"}}}`)
	broken := w.deployment("g:broken")
	pod := w.pod(broken)
	w.waits(pod, "ErrImagePull", "not found")
	w.progress(broken, 1, 0, "ReplicaSetUpdated")
	w.eventually(func() error {
		c := w.condition(v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonRollingOut)
		if !strings.Contains(c.Message, `image "g:broken" cannot be pulled`) {
			return fmt.Errorf("Ready says %q", c.Message)
		}
		return nil
	})
	w.condition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonMinimumPodsReady)
	w.condition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonNewRevision)
	w.event("Warning", "ImagePullFailed", "g:broken")
	w.progress(broken, 1, 0, "ProgressDeadlineExceeded")
	w.condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonProgressDeadlineExceeded)
	w.condition(v1alpha1.ConditionReconciling, metav1.ConditionFalse, v1alpha1.ReasonStalled)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonStalled)
	w.condition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonMinimumPodsReady)
	w.event("Warning", "ProgressDeadlineExceeded", "g:broken")
	if s := w.gateway().Status; s.ActiveRevision != revision || s.Image != builtInImage {
		t.Errorf("active %s with image %s", s.ActiveRevision, s.Image)
	}
	// Another broken one takes the place of the first; the old pods stay.
	w.patch(`{"spec":{"gateway":{"image":"g:broken2"}}}`)
	w.deployment("g:broken2")
	w.eventually(func() error {
		if d := w.deployments(); len(d) != 2 {
			return fmt.Errorf("%d Deployments", len(d))
		}
		return nil
	})
	// Going back needs no new pod.
	w.patch(`{"spec":{"gateway":{"image":null}}}`)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	if d := w.deployments(); len(d) != 1 || d[0].UID != old.UID || d[0].Generation != old.Generation {
		t.Errorf("%d Deployments, the old one touched: %v", len(d), d[0].Generation != old.Generation)
	}
}

func TestFirstImageThatCannotBePulledIsUnavailable(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	d := w.deployment(builtInImage)
	w.waits(w.pod(d), "ImagePullBackOff", "Back-off pulling image")
	w.condition(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonImagePullFailed)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUnavailable)
	w.event("Warning", "RollbackUnavailable", "no revision before it was healthy: it stays until spec changes; ImagePullFailed")
}

func TestUpgradeOfTheOperatorRestartsNothing(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	old, _ := w.serve(builtInImage)
	w.event("Normal", "RevisionPromoted", "is live")
	w.condition(v1alpha1.ConditionNoLossVerified, metav1.ConditionTrue, v1alpha1.ReasonVerified) // a second after the start
	w.stop()
	before := children(w)
	w.operate("example.com/streamgateway/gateway:2.0.0")
	time.Sleep(3 * time.Second)
	for kind, o := range children(w) {
		if o.GetResourceVersion() != before[kind].GetResourceVersion() {
			t.Errorf("%s was written to", kind)
		}
	}
	// A hot change keeps the pods, and so their image.
	w.patch(`{"spec":{"batching":{"window":"10ms"}}}`)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	if d := w.deployments(); len(d) != 1 || d[0].UID != old.UID {
		t.Errorf("a hot change made new pods")
	}
	// A change that makes new pods anyway gives them today's image.
	w.patch(`{"spec":{"listener":{"port":8081}}}`)
	w.deployment("example.com/streamgateway/gateway:2.0.0")
}

func TestScalingToZeroIsReadyAndLeavesNoPods(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	d, n := w.serve(builtInImage)
	w.patch(`{"spec":{"gateway":{"replicas":0}}}`)
	w.eventually(func() error {
		if r := *w.deployments()[0].Spec.Replicas; r != 0 {
			return fmt.Errorf("%d replicas", r)
		}
		return nil
	})
	n.kill()
	if err := cluster.Delete(t.Context(), n.pod); err != nil {
		t.Fatal(err)
	}
	w.progress(d, 0, 0, "NewReplicaSetAvailable")
	w.condition(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonScaledToZero)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.event("Normal", "Scaled", "from 1 to 0 pods")
	w.eventually(func() error {
		if s := w.gateway().Status; s.Pods.Summary != "0/0" || *s.Replicas != 0 {
			return fmt.Errorf("pods are %+v", s.Pods)
		}
		return nil
	})
}

func TestRefusalsOfTheAPIServerAreToldInItsOwnWords(t *testing.T) {
	t.Run("a quota", func(t *testing.T) {
		w := newWorld(t)
		quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{
			Hard: corev1.ResourceList{"count/services": resource.MustParse("0")}}}
		w.create(quota)
		quota.Status = corev1.ResourceQuotaStatus{Hard: quota.Spec.Hard, Used: corev1.ResourceList{"count/services": resource.MustParse("0")}}
		if err := cluster.Status().Update(t.Context(), quota); err != nil {
			t.Fatal(err)
		}
		w.operate(builtInImage)
		w.sample(v1alpha1.StreamGatewaySpec{})
		c := w.condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonQuotaExceeded)
		if !strings.Contains(c.Message, "exceeded quota: none") {
			t.Errorf("the message is %q", c.Message)
		}
		w.condition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonRetrying)
		w.event("Warning", "ApplyFailed", "exceeded quota: none")
		if err := cluster.Delete(t.Context(), quota); err != nil {
			t.Fatal(err)
		}
		w.serve(builtInImage)
	})
	t.Run("a value it does not take", func(t *testing.T) {
		w := newWorld(t)
		w.create(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "first"}, Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80, NodePort: 30123}}}})
		w.operate(builtInImage)
		everybody := &v1alpha1.Auth{Subscribers: &v1alpha1.Subscribers{AnonymousChannels: []v1alpha1.ChannelPattern{">"}}}
		w.sample(v1alpha1.StreamGatewaySpec{Auth: everybody, Listener: &v1alpha1.Listener{Service: &v1alpha1.Service{Type: v1alpha1.ServiceNodePort, NodePort: 30123}}})
		c := w.condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonAdmissionDenied)
		if !strings.Contains(c.Message, "nodePort") {
			t.Errorf("the message is %q", c.Message)
		}
	})
	t.Run("a right that is missing", func(t *testing.T) {
		w := newWorld(t)
		account := lessRights(t, "no-services", func(rule *rbacv1.PolicyRule) {
			for _, name := range rule.Resources {
				if name == "services" {
					rule.Verbs = []string{"get", "list", "watch"}
				}
			}
		})
		startOperator(t, &requests{}, func(*ctrl.Options) {}, builtInImage, w.namespace, account)
		w.sample(v1alpha1.StreamGatewaySpec{})
		c := w.condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonForbidden)
		if !strings.Contains(c.Message, "cannot patch") {
			t.Errorf("the message is %q", c.Message)
		}
	})
	t.Run("pods that their ReplicaSet may not make", func(t *testing.T) {
		w := newWorld(t)
		w.operate(builtInImage)
		w.sample(v1alpha1.StreamGatewaySpec{})
		const words = `pods "prices-x" is forbidden: violates PodSecurity "restricted:latest": whatever`
		w.progress(w.deployment(builtInImage), 0, 0, "NewReplicaSetCreated",
			appsv1.DeploymentCondition{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: words})
		if c := w.condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonAdmissionDenied); c.Message != words {
			t.Errorf("the message is %q", c.Message)
		}
	})
}

func TestOneOfTwoOperatorsLeadsAndTheOtherTakesOver(t *testing.T) {
	w := newWorld(t)
	elect := func(o *ctrl.Options) {
		o.LeaderElection, o.LeaderElectionID, o.LeaderElectionNamespace = true, "streamgateway-operator", operatorNamespace
		o.LeaderElectionReleaseOnCancel = true
	}
	var seen [2]requests
	stop := []func(){
		startOperator(t, &seen[0], elect, builtInImage, w.namespace, operatorAccount),
		startOperator(t, &seen[1], elect, builtInImage, w.namespace, operatorAccount),
	}
	w.sample(v1alpha1.StreamGatewaySpec{})
	w.serve(builtInImage)
	writes := func(i int) (n int) {
		for _, line := range seen[i].since(0) {
			if strings.HasPrefix(line, "PATCH ") {
				n++
			}
		}
		return n
	}
	leader := 0
	if writes(1) > 0 {
		leader = 1
	}
	if writes(leader) == 0 || writes(1-leader) > 0 {
		t.Fatalf("the operators wrote %d and %d times, want one of them only", writes(0), writes(1))
	}
	stop[leader]()
	start := time.Now()
	w.patch(`{"spec":{"batching":{"window":"10ms"}}}`)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	t.Logf("the other operator had the change acknowledged %s after the leader ended", time.Since(start).Round(10*time.Millisecond))
	if writes(1-leader) == 0 {
		t.Error("the other operator wrote nothing")
	}
}
