//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// TestBatchWindowThatIsTooLongIsTakenBackWithEveryStreamOpen makes a change
// that breaks the latency threshold, several times, while events are published
// to open streams.
func TestBatchWindowThatIsTooLongIsTakenBackWithEveryStreamOpen(t *testing.T) {
	const streams, runs = 200, 5
	ns := cluster.Namespace(t)
	base := cluster.Gateway(t, ns, "prices", "{rollback: {guardPeriod: 0s, warmPeriod: 0s}, rollout: {analysis: {minEvents: 10, thresholds: {maxP99Latency: 500ms}}}}")
	token := cluster.Publisher(t, ns, "prices")
	a := cluster.Audience(t, base, streams, "finance.revenue")
	before := cluster.Pods(t, ns, "prices")
	good := cluster.Get(t, ns, "prices").Status.DesiredRevision
	Eventually(t, 20*time.Second, "a stable revision", func() error {
		if s := cluster.Get(t, ns, "prices").Status; s.StableRevision != good {
			return fmt.Errorf("stable is %q", s.StableRevision)
		}
		return nil
	})
	stop, published := make(chan struct{}), 0
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			if status, answer := cluster.Publish(t, base, token, "finance.revenue", fmt.Sprintf(`{"n":%d}`, published)); status != http.StatusOK {
				t.Errorf("publishing: %d %s", status, answer)
				return
			}
			published++
		}
	})
	for run := range runs {
		Eventually(t, 40*time.Second, "healthy by its traffic", func() error { return healthIs(cluster.Get(t, ns, "prices"), v1alpha1.ReasonWithinThresholds) })
		begun := time.Now()
		cluster.Patch(t, ns, "prices", fmt.Sprintf(`{"spec":{"rollback":{"guardPeriod":"5m"},"batching":{"window":"%dms","maxEvents":10000}}}`, 4000+run))
		Eventually(t, 40*time.Second, "rolled back", func() error {
			s := cluster.Get(t, ns, "prices").Status
			if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionRolledBack); c == nil || c.Reason != v1alpha1.ReasonLatencyHigh || s.Rollback.CompletedTime == nil {
				return errors.New(conditions(cluster.Get(t, ns, "prices")))
			}
			return nil
		})
		told := time.Since(begun)
		s := cluster.Get(t, ns, "prices").Status
		if s.ActiveRevision != good || s.Rollback.FromRevision != s.DesiredRevision || !meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionStalled) {
			t.Errorf("active is %s, want %s; %+v", s.ActiveRevision, good, s.Rollback)
		}
		var took time.Duration
		Eventually(t, 10*time.Second, "an event tells of it", func() error {
			notes := cluster.Kubectl(t, "", "get", "events", "-n", ns, "--field-selector", "reason=RollbackCompleted", "-o", `jsonpath={range .items[*]}{.note}{.message}{"\n"}{end}`)
			found := regexp.MustCompile(s.Rollback.FromRevision + ` -> .* in (\d+) ms`).FindStringSubmatch(notes)
			if found == nil {
				return fmt.Errorf("events: %s", notes)
			}
			ms, err := strconv.Atoi(found[1])
			took = time.Duration(ms) * time.Millisecond
			return err
		})
		t.Logf("run %d: status told of the rollback %d ms after the patch; observed %s over %s; detection to last ack %s",
			run+1, told.Milliseconds(), s.Rollback.Observed, s.Rollback.Threshold, took)
		if took > 5*time.Second {
			t.Errorf("from detection to the last ack: %s", took)
		}
		cluster.Patch(t, ns, "prices", `{"spec":{"batching":{"window":"50ms","maxEvents":100}}}`)
		Eventually(t, 20*time.Second, "Ready with the good spec", func() error { return cluster.ReadyOn(t, ns, "prices") })
	}
	close(stop)
	publishing.Wait()
	Eventually(t, 10*time.Second, "every event in every stream", func() error {
		return a.all(func(l *listener) error {
			if len(l.data) != published {
				return fmt.Errorf("%d of %d events", len(l.data), published)
			}
			return nil
		})
	})
	if err := a.Open(); err != nil {
		t.Errorf("streams were dropped: %v", err)
	}
	if after := cluster.Pods(t, ns, "prices"); len(after) != 1 || after[0].UID != before[0].UID {
		t.Error("the pod is another one than before")
	}
	t.Logf("%d events to each of %d streams, all open", published, streams)
}

func healthIs(sg *v1alpha1.StreamGateway, reason string) error {
	if c := meta.FindStatusCondition(sg.Status.Conditions, v1alpha1.ConditionHealthy); c == nil || c.Reason != reason {
		return errors.New(conditions(sg))
	}
	return nil
}
