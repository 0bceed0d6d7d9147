//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// fault is a bad change, another revision in each run.
type fault struct {
	name, reason string
	patch        func(run int) string
	back         string
}

func (c *Cluster) faults() []fault {
	return []fault{
		{"a batch window beyond the latency threshold", v1alpha1.ReasonLatencyHigh, func(run int) string {
			return fmt.Sprintf(`{"batching":{"window":"%dms","maxEvents":10000}}`, 4000+run)
		}, `{"batching":{"window":"50ms","maxEvents":100}}`},
		{"an image that crashes", v1alpha1.ReasonPodsCrashing, func(run int) string {
			return fmt.Sprintf(`{"gateway":{"image":%q,"imagePullPolicy":"Never"},"batching":{"maxEvents":%d}}`, c.settings["DEMO_IMAGE"], 200+run)
		}, `{"gateway":{"image":null,"imagePullPolicy":null},"batching":{"maxEvents":100}}`},
		{"a config that pods refuse", v1alpha1.ReasonConfigRejected, func(run int) string {
			return fmt.Sprintf(`{"compression":{"excludeChannels":["r%d.b.c.d.e.f.g.h.i.j.k.l.>"]}}`, run) // 13 segments, one more than a channel has
		}, `{"compression":{"excludeChannels":null}}`},
		{"a limit that skips events", v1alpha1.ReasonDropRateHigh, func(run int) string {
			return fmt.Sprintf(`{"limits":{"delivery":{"eventsPerSecond":1}},"queue":{"maxEvents":%d},"batching":{"maxEvents":2}}`, 2+run)
		}, `{"limits":{"delivery":{"eventsPerSecond":2000}},"queue":{"maxEvents":10000},"batching":{"maxEvents":100}}`},
	}
}

// TestBadChangesAreTakenBackWithEveryStreamOpen makes each bad change, with
// DRILL_RUNS=20 so many times, while events are published to open streams.
func TestBadChangesAreTakenBackWithEveryStreamOpen(t *testing.T) {
	runs := 1
	if text := os.Getenv("DRILL_RUNS"); text != "" {
		var err error
		if runs, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	const streams = 200
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
	cluster.Patch(t, ns, "prices", `{"spec":{"rollback":{"guardPeriod":"5m"}}}`)
	p := cluster.publishing(t, base, token)
	for _, f := range cluster.faults() {
		cluster.drill(t, ns, good, f, runs)
		if err := a.Open(); err != nil {
			t.Errorf("%s: streams were dropped: %v", f.name, err)
		}
		published := int(p.count.Load())
		Eventually(t, 10*time.Second, "every event in every stream, or told of", func() error {
			return a.all(func(l *listener) error { return whole(l, published) })
		})
		t.Logf("%s: %d events to each of %d streams, all open; missing and not told of: 0", f.name, published, streams)
	}
	p.stop()
	if after := cluster.Pods(t, ns, "prices"); len(after) != 1 || after[0].UID != before[0].UID {
		t.Error("the pod is another one than before")
	}
}

// whole: what a stream lacks of the events published is what it was told that
// it was not sent.
func whole(l *listener, published int) error {
	told := 0
	for _, m := range l.controls {
		if m.Event != "sg.gap" {
			continue
		}
		var gap struct {
			Channels []struct {
				Lost int `json:"lost"`
			} `json:"channels"`
		}
		if err := json.Unmarshal([]byte(m.Data), &gap); err != nil {
			return err
		}
		for _, channel := range gap.Channels {
			told += channel.Lost
		}
	}
	if len(l.data)+told < published {
		return fmt.Errorf("%d of %d events, and told of %d", len(l.data), published, told)
	}
	return nil
}

// publisher publishes fifty events a second until it is stopped.
type publisher struct {
	count atomic.Int64
	stop  func()
}

func (c *Cluster) publishing(t *testing.T, base, token string) *publisher {
	t.Helper()
	p, end := &publisher{}, make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		for {
			select {
			case <-end:
				return
			case <-time.After(20 * time.Millisecond):
			}
			if status, answer := c.Publish(t, base, token, "finance.revenue", fmt.Sprintf(`{"n":%d}`, p.count.Load())); status != http.StatusOK {
				t.Errorf("publishing: %d %s", status, answer)
				return
			}
			p.count.Add(1)
		}
	})
	p.stop = sync.OnceFunc(func() { close(end); work.Wait() })
	t.Cleanup(p.stop)
	return p
}

// drill makes one bad change so many times, and prints how long it took to be
// found and to be taken back everywhere.
func (c *Cluster) drill(t *testing.T, ns, good string, f fault, runs int) {
	t.Helper()
	var detection, completion []time.Duration
	watch := c.watching(t, ns)
	for run := range runs {
		Eventually(t, 40*time.Second, "healthy by its traffic", func() error { return healthIs(c.Get(t, ns, "prices"), v1alpha1.ReasonWithinThresholds) })
		begun := time.Now()
		c.Patch(t, ns, "prices", fmt.Sprintf(`{"spec":%s}`, f.patch(run)))
		Eventually(t, 60*time.Second, f.name+": rolled back", func() error {
			s := c.Get(t, ns, "prices").Status
			if condition := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionRolledBack); condition == nil || condition.Reason != f.reason ||
				s.Rollback == nil || s.Rollback.CompletedTime == nil || s.Rollback.FromRevision != s.DesiredRevision {
				return errors.New(conditions(c.Get(t, ns, "prices")))
			}
			return nil
		})
		s := c.Get(t, ns, "prices").Status
		if s.ActiveRevision != good || !meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionStalled) {
			t.Errorf("active is %s, want %s; %+v", s.ActiveRevision, good, s.Rollback)
		}
		detection = append(detection, c.verdictTime(t, ns, s.Rollback.FromRevision).Sub(begun))
		completion = append(completion, c.completion(t, ns, s.Rollback.FromRevision))
		c.Patch(t, ns, "prices", fmt.Sprintf(`{"spec":%s}`, f.back))
		Eventually(t, 20*time.Second, "Ready with the good spec", func() error { return c.ReadyOn(t, ns, "prices") })
		if run == 0 {
			t.Logf("%s:\n%s", f.name, watch())
		}
	}
	if longest := slices.Max(completion); longest > 5*time.Second {
		t.Errorf("%s: from detection to the last pod %s", f.name, longest)
	}
	t.Logf("DRILL | %s | %d | %s | %s | %s | %s |", f.name, runs, median(detection), slices.Max(detection).Round(10*time.Millisecond), median(completion), slices.Max(completion))
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2].Round(time.Millisecond)
}

// watching is `kubectl get sg -w` of a rollout, see watch.
func (c *Cluster) watching(t *testing.T, ns string) func() string {
	t.Helper()
	return c.watch(t, ns, "custom-columns="+
		`READY:.status.conditions[?(@.type=="Ready")].status,REASON:.status.conditions[?(@.type=="Ready")].reason,STATE:.status.rollout.state,`+
		`ACTIVE:.status.activeRevision,DESIRED:.status.desiredRevision,PODS:.status.pods.summary,CONNS:.status.metrics.connections,ROLLBACK:.status.rollback.reason`)
}

// watch is `kubectl get sg -w` with an output, until the function is called that
// returns what it printed.
func (c *Cluster) watch(t *testing.T, ns, output string) func() string {
	t.Helper()
	command := exec.Command(c.settings["KUBECTL"], "get", "sg", "prices", "-n", ns, "-w", "-o", output)
	command.Env = append(os.Environ(), "KUBECONFIG="+c.settings["KUBECONFIG"])
	var out bytes.Buffer
	command.Stdout = &out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	stop := func() string {
		once.Do(func() { _ = command.Process.Kill(); _ = command.Wait() }) // it ends no other way
		return strings.TrimRight(out.String(), "\n")
	}
	t.Cleanup(func() { stop() })
	return stop
}

// verdictTime is when a revision was found to be bad.
func (c *Cluster) verdictTime(t *testing.T, ns, revision string) time.Time {
	t.Helper()
	var object appsv1.ControllerRevision
	if err := c.Client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "prices-" + revision}, &object); err != nil {
		t.Fatal(err)
	}
	var detail struct {
		VerdictTime time.Time `json:"verdictTime"`
	}
	if err := json.Unmarshal([]byte(object.Annotations["streamgateway.io/verdict-detail"]), &detail); err != nil {
		t.Fatal(err)
	}
	return detail.VerdictTime
}

// completion is how long it took from there to the last pod, by the event.
func (c *Cluster) completion(t *testing.T, ns, revision string) (took time.Duration) {
	t.Helper()
	Eventually(t, 10*time.Second, "an event tells of it", func() error {
		notes := c.Kubectl(t, "", "get", "events", "-n", ns, "--field-selector", "reason=RollbackCompleted", "-o", `jsonpath={range .items[*]}{.note}{.message}{"\n"}{end}`)
		found := regexp.MustCompile(revision + ` -> .* in (\d+) ms`).FindStringSubmatch(notes)
		if found == nil {
			return fmt.Errorf("events: %s", notes)
		}
		ms, err := strconv.Atoi(found[1])
		took = time.Duration(ms) * time.Millisecond
		return err
	})
	return took
}

func healthIs(sg *v1alpha1.StreamGateway, reason string) error {
	if c := meta.FindStatusCondition(sg.Status.Conditions, v1alpha1.ConditionHealthy); c == nil || c.Reason != reason {
		return errors.New(conditions(sg))
	}
	return nil
}
