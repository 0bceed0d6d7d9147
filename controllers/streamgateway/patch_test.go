package streamgateway_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// A patch that cannot be followed is told, and what runs runs on; one that can
// makes pods, and is not taken for somebody's edit of the Deployment.
func TestAPatchOfThePodsIsFollowedOrRefusedAndNeverHalfDone(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	first, _ := w.serve(builtInImage)
	w.patch(`{"spec":{"batching":{"window":"20ms"},"gateway":{"template":{"patch":{"value":{"spec":{"containers":[{"name":"gateway","command":["/bin/sh"]}]}}}}}}}`)
	c := w.condition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonInvalidPodTemplatePatch)
	if want := "spec.gateway.template.patch: command of the container gateway must stay as they are"; c.Message != want {
		t.Errorf("the message is %q, want %q", c.Message, want)
	}
	w.condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNotAccepted)
	w.condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonInvalidSpec)
	w.condition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonMinimumPodsReady)
	if all := w.deployments(); len(all) != 1 || all[0].UID != first.UID || w.gateway().Status.Config.Serial != 1 {
		t.Errorf("%d Deployments, config %d: what ran does not run on", len(all), w.gateway().Status.Config.Serial)
	}
	w.patch(`{"spec":{"gateway":{"template":{"patch":{"value":{"metadata":{"labels":{"streamgateway.io/mine":"1"}},"spec":{"containers":null}}}}}}}`)
	w.condition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonReservedKey)

	sidecar := `{"name":"proxy","image":"p:1","env":[{"name":"EMPTY","value":""}],"ports":[{"name":"proxy","containerPort":15001}],"resources":{"requests":{"cpu":"0.1"}}}`
	w.patch(`{"spec":{"gateway":{"image":"g:2","template":{"patch":{"value":{"metadata":null,"spec":{"hostNetwork":false,"containers":[` + sidecar + `]}}}}}}}`)
	w.condition(v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted)
	d := w.deployment("g:2")
	if n := len(d.Spec.Template.Spec.Containers); n != 2 {
		t.Fatalf("%d containers, want the gateway and its sidecar", n)
	}
	w.start(w.pod(d))
	w.progress(d, 1, 1, "NewReplicaSetAvailable")
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	time.Sleep(6 * time.Second) // time for another pass over the status that was just written
	for _, e := range must(w.events()) {
		if e.Reason == "DriftCorrected" && strings.Contains(e.Note, d.Name) {
			t.Errorf("the operator takes its own pods for edited ones: %s", e.Note)
		}
	}
}
