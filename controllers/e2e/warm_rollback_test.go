//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/noloss"
)

// TestBadRestartIsTakenBackToThePodThatStandsBy makes a change that needs a new
// pod and turns out bad when that serves all clients. The pod of before stands
// by then, and its streams come back to it. With the log in the memory of each
// pod not every event can be had; what is missing has to be named. That is
// so for streams that never left the old pod, too.
func TestBadRestartIsTakenBackToThePodThatStandsBy(t *testing.T) {
	ns := cluster.Namespace(t)
	base := cluster.Gateway(t, ns, "prices", "{drain: {preStopDelay: 1s, reconnectSpread: 2s}, rollback: {guardPeriod: 0s, warmPeriod: 0s}, "+
		"rollout: {analysis: {minEvents: 10, thresholds: {maxP99Latency: 500ms}}}}")
	good := cluster.Get(t, ns, "prices").Status.DesiredRevision
	Eventually(t, 20*time.Second, "a stable revision", func() error {
		if s := cluster.Get(t, ns, "prices").Status; s.StableRevision != good {
			return fmt.Errorf("stable is %q", s.StableRevision)
		}
		return nil
	})
	cluster.Patch(t, ns, "prices", `{"spec":{"rollback":{"guardPeriod":"5m","warmPeriod":"5m"}}}`)
	old := cluster.Pods(t, ns, "prices")[0]
	o := load(t, ns, base)
	o.Strict, o.Cuts, o.Duration, o.Settle = false, 0, 30*time.Second, 15*time.Second
	var result noloss.Result
	ran := make(chan error, 1)
	go func() {
		var err error
		if result, err = noloss.Run(t.Context(), o); err != nil {
			t.Error(err)
		}
		ran <- err
	}()
	Eventually(t, 20*time.Second, "healthy by its traffic", func() error { return healthIs(cluster.Get(t, ns, "prices"), v1alpha1.ReasonWithinThresholds) })

	watch := cluster.watching(t, ns)
	begun := time.Now()
	cluster.Patch(t, ns, "prices", `{"spec":{"gateway":{"template":{"labels":{"example.com/change":"bad"}}},"batching":{"window":"4s","maxEvents":10000}}}`)
	promoted := Eventually(t, 40*time.Second, "promoted", func() error {
		if s := cluster.Get(t, ns, "prices").Status; s.Rollout == nil || s.Rollout.State != "Guarding" {
			return errors.New(conditions(cluster.Get(t, ns, "prices")))
		}
		return nil
	})
	Eventually(t, 40*time.Second, "rolled back", func() error {
		s := cluster.Get(t, ns, "prices").Status
		if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionRolledBack); c == nil || c.Reason != v1alpha1.ReasonLatencyHigh ||
			s.Rollback == nil || s.Rollback.CompletedTime == nil || s.ActiveRevision != good {
			return errors.New(conditions(cluster.Get(t, ns, "prices")))
		}
		return nil
	})
	bad := cluster.Get(t, ns, "prices").Status.Rollback.FromRevision
	detection, completion := cluster.verdictTime(t, ns, bad).Sub(begun), cluster.completion(t, ns, bad)
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	Eventually(t, 30*time.Second, "the pod of before alone", func() error {
		if pods := cluster.Pods(t, ns, "prices"); len(pods) != 1 || pods[0].UID != old.UID || !podReady(&pods[0]) || pods[0].Status.ContainerStatuses[0].RestartCount > 0 {
			return errNotYet
		}
		return nil
	})
	t.Logf("promoted after %.1f s, found bad %.1f s after the patch, back on the pod of before %s later:\n%s\n%s",
		promoted.Seconds(), detection.Seconds(), completion, watch(), result)
	if !result.Passed {
		t.Error("not every event is accounted for")
	}
	if completion > 10*time.Second {
		t.Errorf("it took %s to be back", completion)
	}
}
