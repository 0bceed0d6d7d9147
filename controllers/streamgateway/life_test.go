package streamgateway_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
)

// toolsSee waits until the kstatus library takes the StreamGateway for this.
func (w *world) toolsSee(phase string, want kstatus.Status) {
	w.Helper()
	w.eventually(func() error {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("StreamGateway"))
		if err := cluster.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: "prices"}, object); err != nil {
			return err
		}
		result, err := kstatus.Compute(object)
		if err == nil && result.Status != want {
			err = fmt.Errorf("%s: it is taken for %s (%s), want %s; %s", phase, result.Status, result.Message, want, summary(w.gateway()))
		}
		return err
	})
}

func TestToolsSeeEachPhaseOfALife(t *testing.T) {
	w := newWorld(t)
	w.sample(v1alpha1.StreamGatewaySpec{Rollback: &v1alpha1.Rollback{GuardPeriod: "0s", WarmPeriod: "0s"}})
	w.toolsSee("nobody has looked at it", kstatus.InProgressStatus)
	w.operate(builtInImage)
	w.deployment(builtInImage)
	w.toolsSee("its first pod starts", kstatus.InProgressStatus)
	_, first := w.serve(builtInImage)
	w.toolsSee("it serves", kstatus.CurrentStatus)
	w.patch(`{"spec":{"batching":{"window":"10ms"}}}`)
	w.toolsSee("a hot change has arrived", kstatus.CurrentStatus)
	w.verdict(w.gateway().Status.DesiredRevision, "Healthy")

	w.patch(`{"spec":{"gateway":{"image":"g:2"}}}`)
	second := w.deployment("g:2")
	w.toolsSee("new pods start", kstatus.InProgressStatus)
	w.start(w.pod(second))
	w.progress(second, 1, 1, "NewReplicaSetAvailable")
	w.toolsSee("the old pod sends its clients on", kstatus.InProgressStatus)
	first.kill()
	w.remove(first.pod)
	w.toolsSee("the new pod serves alone", kstatus.CurrentStatus)
	w.verdict(w.gateway().Status.DesiredRevision, "Healthy")

	w.patch(`{"spec":{"gateway":{"image":"g:crashes"}}}`)
	broken := w.pod(w.deployment("g:crashes"))
	broken.Status = corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
		Name: resources.ContainerName, RestartCount: 2,
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
	}}}
	w.podStatus(broken)
	w.toolsSee("the change was taken back", kstatus.FailedStatus)
	w.patch(`{"spec":{"gateway":{"image":"g:2"}}}`)
	w.remove(broken)
	w.toolsSee("the spec asks for what runs", kstatus.CurrentStatus)
}
