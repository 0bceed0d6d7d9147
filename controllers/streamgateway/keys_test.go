package streamgateway_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/report"
)

// mountKeys does what a kubelet does now and then: the mount becomes what the
// Secret is, or nothing.
func (n *node) mountKeys() {
	n.w.Helper()
	file := filepath.Join(n.keys, report.KeysFile)
	secret, err := get[corev1.Secret](n.w, "prices-keys")
	if apierrors.IsNotFound(err) {
		err = os.Remove(file)
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	} else if err == nil {
		err = errors.Join(os.WriteFile(file+".new", secret.Data[report.KeysFile], 0o600), os.Rename(file+".new", file))
	}
	if err != nil {
		n.w.Error(err)
	}
}

func TestPodsShareASecretThatIsMadeOnceAndAnewWhenTheyMissIt(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	sg := w.sample(v1alpha1.StreamGatewaySpec{})
	_, n := w.serve(builtInImage)
	first := must(get[corev1.Secret](w, "prices-keys"))
	if owner := metav1.GetControllerOf(first); owner == nil || owner.UID != sg.UID || len(first.Data[report.KeysFile]) != 32 || len(first.Data) != 1 {
		t.Errorf("owned by %v, %d bytes", owner, len(first.Data[report.KeysFile]))
	}
	w.stop() // the next operator finds out that the Secret is there, and leaves it
	w.operate(builtInImage)
	time.Sleep(2 * time.Second) // time to write it again
	if now := must(get[corev1.Secret](w, "prices-keys")); now.ResourceVersion != first.ResourceVersion {
		t.Error("the Secret was written again")
	}
	if err := cluster.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	n.mountKeys()
	w.within(30*time.Second, func() error {
		second, err := get[corev1.Secret](w, "prices-keys")
		if err == nil && bytes.Equal(second.Data[report.KeysFile], first.Data[report.KeysFile]) {
			return fmt.Errorf("the same bytes again")
		}
		return err
	})
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.requests.mu.Lock()
	defer w.requests.mu.Unlock()
	for _, line := range w.requests.lines {
		if strings.Contains(line, "secrets") && !strings.HasPrefix(line, "POST ") {
			t.Errorf("the operator asked for %s", line)
		}
	}
}

func TestASecretThatSomebodyChangedIsToldUntilItIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	_, n := w.serve(builtInImage)
	secret := must(get[corev1.Secret](w, "prices-keys"))
	secret.Data[report.KeysFile] = []byte("changeit")
	if err := cluster.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	n.mountKeys()
	c := w.condition(v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonInvalidCredentials)
	if want := "pod " + n.pod.Name + " cannot use Secret prices-keys, which somebody has changed; delete it, and it is made anew"; c.Message != want {
		t.Errorf("the message is %q, want %q", c.Message, want)
	}
	w.condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRefsNotResolved)
	w.condition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonMinimumPodsReady)
	w.event("Warning", "RefNotResolved", "InvalidCredentials: pod "+n.pod.Name)
	if err := cluster.Delete(t.Context(), secret); err != nil { // as the message says
		t.Fatal(err)
	}
	n.mountKeys() // pods miss it now
	w.within(30*time.Second, func() error {
		_, err := get[corev1.Secret](w, "prices-keys")
		return err
	})
	n.mountKeys()
	w.condition(v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
}
