//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/gateway/noloss"
)

// TestKilledPodIsReplacedAndStreamsAreToldWhatTheyLost kills the only pod, and
// with it the memory that held the events, under publishing load. What was lost
// has to be named; nothing else may be missing or come twice.
func TestKilledPodIsReplacedAndStreamsAreToldWhatTheyLost(t *testing.T) {
	ns := cluster.Namespace(t)
	base := cluster.Gateway(t, ns, "prices", "{}")
	o := load(t, ns, base)
	o.Strict, o.Duration, o.Settle, o.Cuts = false, 12*time.Second, 30*time.Second, 20

	type outcome struct {
		result noloss.Result
		err    error
	}
	ran := make(chan outcome, 1)
	go func() {
		result, err := noloss.Run(t.Context(), o)
		ran <- outcome{result, err}
	}()
	time.Sleep(4 * time.Second)
	pod := cluster.Pods(t, ns, "prices")[0]
	now := int64(0)
	if err := cluster.Core.CoreV1().Pods(ns).Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatalf("killing pod %s: %v", pod.Name, err)
	}
	healed := Eventually(t, 60*time.Second, "another pod is Ready", func() error {
		if pods := cluster.Pods(t, ns, "prices"); len(pods) != 1 || pods[0].UID == pod.UID || !podReady(&pods[0]) {
			return errNotYet
		}
		return cluster.ReadyOn(t, ns, "prices")
	})
	run := <-ran
	if run.err != nil {
		t.Fatal(run.err)
	}
	result := run.result
	t.Logf("a pod killed under load, Ready again after %.1f s:\n%s", healed.Seconds(), result)
	if !result.Passed {
		t.Error("not every event is accounted for")
	}
	if result.Controls["sg.reset"] < result.Subscribers {
		t.Errorf("%d of %d subscribers were told of the reset", result.Controls["sg.reset"], result.Subscribers)
	}
}

// load are options of a run against a gateway, publishing by its own account.
func load(t *testing.T, namespace, base string) noloss.Options {
	t.Helper()
	token := cluster.Publisher(t, namespace, "prices")
	o := noloss.DefaultOptions()
	o.URL, o.Client = strings.TrimSuffix(base, "/v2/realtime"), cluster.HTTP
	o.Token = func() (string, error) { return token, nil }
	return o
}
