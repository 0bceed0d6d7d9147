package streamgateway_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/broker/jetstream/natstest"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// mountsCredentials replaces what is in the Secret by which the node's gateway
// reaches its log; nil: the Secret is not there.
func (n *node) mountsCredentials(files map[string]string) {
	n.w.Helper()
	folder := filepath.Join(n.nats, config.CredentialsFolder)
	err := errors.Join(os.RemoveAll(folder), os.MkdirAll(folder, 0o700))
	for name, text := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	if err != nil {
		n.w.Fatal(err)
	}
}

func TestPodsWaitForASecretOfTheirLogAndForTheServersToTakeIt(t *testing.T) {
	servers := natstest.Start(t, 1)
	servers.Stop(0)
	servers.Options[0].Authorization = "s3cret"
	servers.Run(0)
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{Broker: &v1alpha1.Broker{Type: v1alpha1.BrokerNATS, NATS: &v1alpha1.NATS{
		URL: servers.URL(), CredentialsSecretRef: &v1alpha1.BrokerSecret{Name: "nats-user"},
	}}})
	d := w.deployment(builtInImage)
	n := w.launch(w.pod(d))
	c := w.condition(v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonSecretNotFound)
	if !strings.Contains(c.Message, n.pod.Name+": Secret nats-user is not there") {
		t.Errorf("the message is %q", c.Message)
	}
	w.condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRefsNotResolved)
	n.mountsCredentials(map[string]string{"password": "s3cret"})
	w.condition(v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonInvalidCredentials)
	w.event("Warning", "RefNotResolved", "InvalidCredentials: pod "+n.pod.Name+": Secret nats-user has neither nats.creds")
	w.progress(d, 1, 0, "ProgressDeadlineExceeded") // which counts against nobody who waits for a Secret
	n.mountsCredentials(map[string]string{"token": "another"})
	w.eventually(func() error {
		c := w.condition(v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonInvalidCredentials)
		if want := "the servers refuse what Secret nats-user holds"; !strings.Contains(c.Message, want) {
			return fmt.Errorf("the message is %q, want %q", c.Message, want)
		}
		return nil
	})
	w.condition(v1alpha1.ConditionHealthy, metav1.ConditionFalse, v1alpha1.ReasonBrokerUnavailable)
	w.condition(v1alpha1.ConditionStalled, metav1.ConditionFalse, v1alpha1.ReasonNotStalled)
	n.mountsCredentials(map[string]string{"token": "s3cret"})
	w.condition(v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs)
	w.running(n.pod, n.ip, true)
	w.progress(d, 1, 1, "NewReplicaSetAvailable")
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
}

// TestAnotherLogIsTakenByAllPodsAtOnce goes from one pod with a log of its own to
// three that share one, and back.
func TestAnotherLogIsTakenByAllPodsAtOnce(t *testing.T) {
	servers := natstest.Start(t, 1)
	w := newWorld(t)
	w.operate(builtInImage)
	m := w.established(1, &v1alpha1.Rollout{Steps: stepsOf("1h", 30, 100)}, map[string]func(*corev1.Pod){})
	own := w.gateway().Status.DesiredRevision
	w.patch(fmt.Sprintf(`{"spec":{"gateway":{"image":"g:2","replicas":3},"broker":{"type":"NATS","nats":{"url":%q}}}}`, servers.URL()))
	w.shape(map[string][3]int{builtInImage: {1, 0, 1}, "g:2": {3, 3, 0}})
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.eventually(func() error {
		if s := w.gateway().Status; s.Pods.Summary != "3/3" || s.Rollout.State != "Guarding" || s.Rollout.Steps > 1 {
			return fmt.Errorf("pods %s, %+v", s.Pods.Summary, s.Rollout)
		}
		return nil
	})

	w.patch(fmt.Sprintf(`{"spec":{"override":{"pinnedRevision":%q}}}`, own))
	w.shape(map[string][3]int{builtInImage: {1, 1, 0}, "g:2": {0, 0, 0}})
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonPinned)
	w.eventually(func() error {
		if s := w.gateway().Status; s.Pods.Summary != "1/1" || s.ActiveRevision != own {
			return fmt.Errorf("pods %s of %s, three are three logs", s.Pods.Summary, s.ActiveRevision)
		}
		return nil
	})
	if n := m.fewest(); n < 1 {
		t.Errorf("at some time %d pods were ready", n)
	}
}
