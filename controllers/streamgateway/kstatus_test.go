package streamgateway

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// computed is what tools that use the kstatus library (Flux, Argo CD's and
// kpt's appliers) take a StreamGateway with this status for.
func computed(t *testing.T, s *scope, status *v1alpha1.StreamGatewayStatus) *kstatus.Result {
	t.Helper()
	sg := s.sg.DeepCopy()
	sg.Status = *status
	tree, err := runtime.DefaultUnstructuredConverter.ToUnstructured(sg)
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{Object: tree}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("StreamGateway"))
	result, err := kstatus.Compute(object)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// TestToolsSeeEachConditionForWhatItIs holds every cause that the conditions
// know to what such a tool may conclude: Failed only where nothing changes by
// itself, Current only where what spec asks for is live.
func TestToolsSeeEachConditionForWhatItIs(t *testing.T) {
	seen := map[kstatus.Status]int{}
	for _, c := range append(causesOfProgrammed(), causesOfTheOthers()...) {
		t.Run(c.name, func(t *testing.T) {
			s := serving()
			c.change(s)
			status := s.status()
			is := func(kind string) bool { return meta.IsStatusConditionTrue(status.Conditions, kind) }
			want := kstatus.InProgressStatus
			switch {
			case s.failed():
				// The generation was not acted on yet, and that comes first.
			case is(v1alpha1.ConditionStalled):
				want = kstatus.FailedStatus
			case is(v1alpha1.ConditionReady) && !is(v1alpha1.ConditionReconciling):
				want = kstatus.CurrentStatus
			}
			got := computed(t, s, &status)
			if got.Status != want {
				t.Errorf("it is taken for %s (%s), want %s", got.Status, got.Message, want)
			}
			seen[got.Status]++
		})
	}
	for _, status := range []kstatus.Status{kstatus.CurrentStatus, kstatus.InProgressStatus, kstatus.FailedStatus} {
		if seen[status] == 0 {
			t.Errorf("no case is %s", status)
		}
	}
}

func TestToolsWaitForANewerGenerationAndForADeletion(t *testing.T) {
	s := serving()
	status := s.status()
	if got := computed(t, s, &status); got.Status != kstatus.CurrentStatus {
		t.Fatalf("a serving gateway is %s: %s", got.Status, got.Message)
	}
	s.sg.Generation++
	if got := computed(t, s, &status); got.Status != kstatus.InProgressStatus {
		t.Errorf("with a newer spec it is %s", got.Status)
	}
	s.sg.Generation--
	s.sg.DeletionTimestamp = &metav1.Time{Time: s.now}
	if got := computed(t, s, &status); got.Status != kstatus.TerminatingStatus {
		t.Errorf("deleted, it is %s", got.Status)
	}
}
