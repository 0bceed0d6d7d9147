//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/noloss"
)

// natsServer is a NATS server with JetStream, whose store outlives its pod. That
// is on the node, which restricted namespaces may not ask for, so it has one of
// its own.
const natsServer = `apiVersion: v1
kind: Service
metadata: {name: nats}
spec:
  selector: {app: nats}
  ports: [{name: client, port: 4222}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: nats}
spec:
  serviceName: nats
  selector: {matchLabels: {app: nats}}
  template:
    metadata: {labels: {app: nats}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 5
      securityContext: {runAsUser: 0}
      containers:
      - name: nats
        image: localhost/streamgateway/nats:dev
        imagePullPolicy: IfNotPresent
        args: [-js, -sd, /data, -m, "8222", --user, gateway, --pass, $(PASSWORD)]
        env: [{name: PASSWORD, value: %[1]s}]
        ports: [{name: client, containerPort: 4222}]
        readinessProbe: {httpGet: {path: /healthz, port: 8222}, periodSeconds: 1}
        volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, hostPath: {path: /var/lib/streamgateway-%[2]s, type: DirectoryOrCreate}}]
`

// log is a NATS server of this test.
type log struct {
	c         *Cluster
	namespace string
	password  string
}

// Log starts a NATS server.
func (c *Cluster) Log(t *testing.T) *log {
	t.Helper()
	l := &log{c: c, password: fmt.Sprintf("p%d", time.Now().UnixNano())}
	l.namespace = strings.TrimSpace(c.Kubectl(t, "apiVersion: v1\nkind: Namespace\nmetadata: {generateName: e2e-nats-}\n", "create", "-f", "-", "-o", "jsonpath={.metadata.name}"))
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := c.TryKubectl("", "logs", "-n", l.namespace, "nats-0", "--tail=40")
			t.Logf("the NATS server:\n%s", out)
		}
		c.Kubectl(t, "", "delete", "namespace", l.namespace, "--wait=false")
	})
	c.Apply(t, l.namespace, fmt.Sprintf(natsServer, l.password, l.namespace))
	l.run(t, 1)
	return l
}

// run brings the server up, or takes it down, and waits until that is so.
func (l *log) run(t *testing.T, replicas int) {
	t.Helper()
	l.c.Kubectl(t, "", "scale", "-n", l.namespace, "statefulset/nats", fmt.Sprintf("--replicas=%d", replicas))
	if replicas > 0 {
		l.c.Kubectl(t, "", "rollout", "status", "-n", l.namespace, "statefulset/nats", "--timeout=60s")
		return
	}
	l.c.Kubectl(t, "", "wait", "-n", l.namespace, "--for=delete", "pod/nats-0", "--timeout=60s")
}

// credentials puts what the server asks for into a Secret beside the gateway.
func (l *log) credentials(t *testing.T, namespace string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "nats-user"}, StringData: map[string]string{"username": "gateway", "password": l.password}}
	if _, err := l.c.Core.CoreV1().Secrets(namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// check is a run that counts events while something happens to the gateway.
type check struct {
	done   chan struct{}
	result noloss.Result
	err    error
}

// Check publishes to a gateway and reads from it for this long, and cuts nothing
// itself.
func (c *Cluster) Check(t *testing.T, namespace, base string, length time.Duration) *check {
	t.Helper()
	o := load(t, namespace, base)
	o.Cuts, o.Duration, o.Settle, o.Strict = 0, length, time.Minute, true
	k := &check{done: make(chan struct{})}
	go func() {
		defer close(k.done)
		k.result, k.err = noloss.Run(t.Context(), o)
	}()
	return k
}

// end is what was counted. Nothing may be lost, and nobody reset.
func (k *check) end(t *testing.T, what string) noloss.Result {
	t.Helper()
	<-k.done
	if k.err != nil {
		t.Fatalf("%s: %v", what, k.err)
	}
	t.Logf("%s:\n%s", what, k.result)
	if !k.result.Passed || k.result.Unknown > 0 || k.result.Controls["sg.reset"] > 0 {
		t.Errorf("%s: want every acknowledged event once for each subscriber, and no reset", what)
	}
	return k.result
}

// TestThreePodsOverOneLogLoseNothingWhateverBecomesOfThem replaces all pods,
// takes one away by scaling down and another by an eviction, tries a bad setting on one of them, and takes the log away and brings it back,
// while events are published and counted at every subscriber.
func TestThreePodsOverOneLogLoseNothingWhateverBecomesOfThem(t *testing.T) {
	l := cluster.Log(t)
	ns := cluster.Namespace(t)
	l.credentials(t, ns)
	base := cluster.Gateway(t, ns, "prices", fmt.Sprintf(`{
  gateway: {replicas: 3, resources: {requests: {cpu: 20m, memory: 64Mi}, limits: {memory: 768Mi}}},
  broker: {type: NATS, nats: {url: "nats://nats.%s:4222", credentialsSecretRef: {name: nats-user}}},
  circuitBreaker: {openDuration: 1s},
  drain: {timeout: 5s, preStopDelay: 1s, reconnectSpread: 3s},
  rollout: {hot: Canary, steps: [{percent: 30, hold: 1s}, {percent: 100}], analysis: {minEvents: 10, window: 4s}},
  rollback: {guardPeriod: 0s, warmPeriod: 0s}}`, l.namespace))
	stable := func() error {
		if s := cluster.Get(t, ns, "prices").Status; s.StableRevision != s.DesiredRevision || len(cluster.AllPods(t, ns, "prices")) != 3 {
			return fmt.Errorf("stable is %q, desired %q, %d pods", s.StableRevision, s.DesiredRevision, len(cluster.AllPods(t, ns, "prices")))
		}
		return cluster.ReadyOn(t, ns, "prices")
	}
	Eventually(t, 30*time.Second, "a stable revision on three pods", stable)

	replaced(t, ns, base, stable)
	left(t, ns, base)
	Eventually(t, 30*time.Second, "three pods again", stable)
	tried(t, ns, base, stable)
	outage(t, ns, base, l)
}

// replaced gives the pods another template.
func replaced(t *testing.T, ns, base string, stable func() error) {
	t.Helper()
	before := cluster.Pods(t, ns, "prices")
	k := cluster.Check(t, ns, base, 12*time.Second)
	time.Sleep(time.Second) // streams are spread over the pods
	cluster.Patch(t, ns, "prices", `{"spec":{"gateway":{"template":{"env":[{"name":"REPLACED","value":"yes"}]}}}}`)
	took := Eventually(t, 60*time.Second, "three other pods", stable)
	for _, p := range cluster.Pods(t, ns, "prices") {
		for _, old := range before {
			if p.UID == old.UID {
				t.Errorf("pod %s is there yet", p.Name)
			}
		}
	}
	result := k.end(t, fmt.Sprintf("all three pods replaced within %s", took.Round(100*time.Millisecond)))
	if result.Connections <= result.Subscribers {
		t.Errorf("%d subscribers had %d connections: nobody moved", result.Subscribers, result.Connections)
	}
}

// left takes a pod away by scaling down, evicts one of the other two, as whoever
// drains its node does, and scales up again.
func left(t *testing.T, ns, base string) {
	t.Helper()
	k := cluster.Check(t, ns, base, 15*time.Second)
	time.Sleep(time.Second) // streams are spread over the pods
	scale := func(n int) {
		cluster.Kubectl(t, "", "scale", "-n", ns, "streamgateway/prices", fmt.Sprintf("--replicas=%d", n))
	}
	remain := func(without types.UID) func() error {
		return func() error {
			pods := cluster.AllPods(t, ns, "prices")
			if len(pods) != 2 || slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.UID == without }) {
				return fmt.Errorf("there are %d pods", len(pods))
			}
			return cluster.ReadyOn(t, ns, "prices")
		}
	}
	scale(2)
	fewer := Eventually(t, 30*time.Second, "two pods", remain(""))
	evicted := cluster.Pods(t, ns, "prices")[0]
	Eventually(t, 30*time.Second, "an eviction that the disruption budget allows", func() error {
		return cluster.Core.CoreV1().Pods(ns).EvictV1(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: evicted.Name, Namespace: ns}})
	})
	other := Eventually(t, 30*time.Second, "another pod in its place", remain(evicted.UID))
	scale(3)
	result := k.end(t, fmt.Sprintf("one of three pods gone by scaling down within %s, another evicted and replaced within %s",
		fewer.Round(100*time.Millisecond), other.Round(100*time.Millisecond)))
	if result.Connections <= result.Subscribers {
		t.Errorf("%d subscribers had %d connections: nobody moved", result.Subscribers, result.Connections)
	}
}

// tried gives a setting that skips events to the first step, one pod.
func tried(t *testing.T, ns, base string, stable func() error) {
	t.Helper()
	good := cluster.Get(t, ns, "prices").Status.DesiredRevision
	token := cluster.Publisher(t, ns, "prices")
	a := cluster.Audience(t, base, 60, "finance.revenue")
	p := cluster.publishing(t, base, token)
	Eventually(t, 40*time.Second, "healthy by its traffic", func() error { return healthIs(cluster.Get(t, ns, "prices"), v1alpha1.ReasonWithinThresholds) })
	cluster.Patch(t, ns, "prices", `{"spec":{"limits":{"delivery":{"eventsPerSecond":1}},"queue":{"maxEvents":2},"batching":{"maxEvents":2}}}`)
	most := map[string]bool{}
	Eventually(t, 60*time.Second, "taken back", func() error {
		text := cluster.Kubectl(t, "", "get", "-n", ns, "configmap", "prices-config", "-o", `jsonpath={.data.hot\.json}`)
		document, _, err := config.Decode[config.Document]([]byte(text))
		if err != nil {
			return err
		}
		for _, pod := range document.CandidatePods {
			most[pod] = true
		}
		if len(document.CandidateTemplates) > 0 {
			t.Error("all pods were given the bad setting")
		}
		s := cluster.Get(t, ns, "prices").Status
		if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionRolledBack); c == nil || c.Reason != v1alpha1.ReasonDropRateHigh || s.Rollback == nil || s.Rollback.CompletedTime == nil {
			return errors.New(conditions(cluster.Get(t, ns, "prices")))
		}
		return nil
	})
	r := cluster.Get(t, ns, "prices").Status.Rollback
	t.Logf("tried on %d of 3 pods: %s %s over %s", len(most), r.Metric, r.Observed, r.Threshold)
	if len(most) != 1 || r.ToRevision != good {
		t.Errorf("tried on %v, gone back to %s, want one pod and %s", most, r.ToRevision, good)
	}
	if err := a.Open(); err != nil {
		t.Errorf("streams were dropped: %v", err)
	}
	p.stop()
	a.Close()
	cluster.Patch(t, ns, "prices", `{"spec":{"limits":{"delivery":{"eventsPerSecond":2000}},"queue":{"maxEvents":10000},"batching":{"maxEvents":100}}}`)
	Eventually(t, 30*time.Second, "Ready with the good settings", stable)
}

// outage takes the log away while events are published, and brings it back.
func outage(t *testing.T, ns, base string, l *log) {
	t.Helper()
	token := cluster.Publisher(t, ns, "prices")
	a := cluster.Audience(t, base, 60, "finance.orders")
	watch := cluster.watch(t, ns, "wide")
	k := cluster.Check(t, ns, base, 8*time.Second)
	time.Sleep(2 * time.Second) // events of before the outage are under way
	begun := time.Now()
	l.run(t, 0)
	away := time.Now()
	Eventually(t, 30*time.Second, "told that the log is away", func() error { return healthIs(cluster.Get(t, ns, "prices"), v1alpha1.ReasonBrokerUnavailable) })
	t.Logf("%s after the server was told to end, status says so:\n%s", time.Since(begun).Round(100*time.Millisecond), conditions(cluster.Get(t, ns, "prices")))
	if status, answer := cluster.Publish(t, base, token, "finance.orders", `{}`); status != http.StatusServiceUnavailable {
		t.Errorf("publishing without a log: %d %s", status, answer)
	}
	if err := a.Open(); err != nil {
		t.Errorf("streams ended with the log: %v", err)
	}
	l.run(t, 1)
	took := Eventually(t, 60*time.Second, "Ready again", func() error { return cluster.ReadyOn(t, ns, "prices") })
	t.Logf("the log was away for %s; Ready %s after its server was", time.Since(away).Round(100*time.Millisecond)-took.Round(100*time.Millisecond), took.Round(100*time.Millisecond))
	if status, answer := cluster.Publish(t, base, token, "finance.orders", `{"back":true}`); status != http.StatusOK {
		t.Errorf("publishing to the log that is back: %d %s", status, answer)
	}
	Eventually(t, 20*time.Second, "an event in the streams of before", func() error { return a.Got(`{"back":true}`) })
	if err := a.Open(); err != nil {
		t.Errorf("streams were dropped: %v", err)
	}
	k.end(t, "the log taken away and brought back")
	t.Logf("kubectl get sg -w -o wide\n%s", watch())
	events := cluster.Kubectl(t, "", "get", "events", "-n", ns, "--field-selector", "involvedObject.kind=StreamGateway", "--sort-by=.metadata.creationTimestamp")
	t.Logf("events:\n%s", events)
	if !strings.Contains(events, "BrokerUnavailable") {
		t.Error("no event BrokerUnavailable")
	}
	if pods := cluster.Pods(t, ns, "prices"); len(pods) != 3 || pods[0].Status.ContainerStatuses[0].RestartCount > 0 {
		t.Errorf("%d pods, the first one restarted %d times", len(pods), pods[0].Status.ContainerStatuses[0].RestartCount)
	}
}
