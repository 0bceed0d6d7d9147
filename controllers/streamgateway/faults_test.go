package streamgateway_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// wire is the way to the API server, which can be cut.
type wire struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	isCut bool
	open  map[net.Conn]bool
}

// newWire makes a way to the API server of its own, and its URL.
func newWire(t *testing.T) (*wire, string) {
	t.Helper()
	at, err := url.Parse(server.Host)
	if err != nil || at.Host == "" {
		at = &url.URL{Scheme: "https", Host: server.Host}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: listener, to: at.Host, open: map[net.Conn]bool{}}
	go w.serve()
	t.Cleanup(func() { _ = listener.Close(); w.cut(true) })
	at.Host = listener.Addr().String()
	return w, at.String()
}

func (w *wire) serve() {
	for {
		from, err := w.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", w.to)
		w.mu.Lock()
		if err != nil || w.isCut {
			_ = from.Close()
			if to != nil {
				_ = to.Close()
			}
		} else {
			w.open[from], w.open[to] = true, true
			for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1])
					_ = pair[0].Close()
					w.mu.Lock()
					defer w.mu.Unlock()
					delete(w.open, pair[0])
				}()
			}
		}
		w.mu.Unlock()
	}
}

// cut ends all connections and lets none be made, or lets them be made again.
func (w *wire) cut(isCut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = isCut
	if isCut {
		for c := range w.open {
			_ = c.Close()
		}
	}
}

// outage is how long the API server is away; OUTAGE says another time.
func outage() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("OUTAGE")); err == nil {
		return d
	}
	return 6 * time.Second
}

func TestAPIServerThatWasAwayIsNotMetWithABurst(t *testing.T) {
	w := newWorld(t)
	way, host := newWire(t)
	w.requests = &requests{host: host}
	startOperator(t, w.requests, func(*ctrl.Options) {}, builtInImage, w.namespace, operatorAccount)
	d, n := w.stable()
	_, before := w.pushed()
	way.cut(true)
	w.patch(`{"spec":{"batching":{"window":"10ms"}}}`)
	for end := time.Now().Add(outage()); time.Now().Before(end); time.Sleep(time.Second) { // the pod is asked all the while
		response, err := http.Get("http://" + net.JoinHostPort(n.ip, "9090") + "/readyz")
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("the pod does not serve: %v, %v", response, err)
		}
		_ = response.Body.Close()
	}
	if _, now := w.pushed(); now.Serial != before.Serial {
		t.Errorf("config went from %d to %d while the API server was away", before.Serial, now.Serial)
	}
	tried := len(w.requests.since(0))
	way.cut(false)
	back := time.Now()
	w.within(45*time.Second, func() error { // its informers back off for half a minute at the most
		sg := w.gateway()
		if _, now := w.pushed(); now.Newest() != sg.Status.DesiredRevision || sg.Status.ObservedGeneration != sg.Generation {
			return fmt.Errorf("the change has not arrived; %s", summary(sg))
		}
		return nil
	})
	took := time.Since(back)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	time.Sleep(time.Second) // time to write more often than it should
	writes := map[string]int{}
	sent := w.requests.since(tried)
	for _, line := range sent {
		method, path, _ := strings.Cut(line, " ")
		if method != http.MethodGet && !strings.HasSuffix(path, "/events") {
			writes[method+" "+path[strings.LastIndex(path, "/")+1:]]++
		}
	}
	t.Logf("away for %s; the change arrived %s after it was back; %d requests since, writes %v", outage(), took.Round(10*time.Millisecond), len(sent), writes)
	if len(sent) > 60 {
		t.Errorf("%d requests after the API server was back: %v", len(sent), sent)
	}
	if writes["PATCH prices-config"] != 1 {
		t.Errorf("the ConfigMap was written %d times", writes["PATCH prices-config"])
	}
	if all := w.deployments(); len(all) != 1 || all[0].UID != d.UID || all[0].Generation != d.Generation {
		t.Error("the pods' template was touched")
	}
}

func TestAnotherManagerLosesWhatTheOperatorSetsAndKeepsTheRest(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	w.serve(builtInImage)
	theirs := corev1ac.Service("prices", w.namespace).WithLabels(map[string]string{"theirs": "yes"}).
		WithSpec(corev1ac.ServiceSpec().WithPublishNotReadyAddresses(true).
			WithPorts(corev1ac.ServicePort().WithName("http").WithPort(80).WithProtocol(corev1.ProtocolTCP).WithTargetPort(intstr.FromInt32(9999))))
	if err := cluster.Apply(t.Context(), theirs, client.FieldOwner("somebody"), client.ForceOwnership); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		s := must(get[corev1.Service](w, "prices"))
		if s.Spec.Ports[0].TargetPort != intstr.FromString("http") {
			return fmt.Errorf("the target port is still %s", s.Spec.Ports[0].TargetPort.String())
		}
		if s.Labels["theirs"] != "yes" || !s.Spec.PublishNotReadyAddresses {
			return fmt.Errorf("what the operator does not set was changed: %v, %v", s.Labels, s.Spec.PublishNotReadyAddresses)
		}
		return nil
	})
	w.event("Normal", "DriftCorrected", "Service prices")
	version := must(get[corev1.Service](w, "prices")).ResourceVersion
	time.Sleep(6 * time.Second) // passes enough for a fight over it
	if now := must(get[corev1.Service](w, "prices")).ResourceVersion; now != version {
		t.Errorf("the operator wrote the Service again, from %s to %s", version, now)
	}
	// kubectl edit of a port: beside ours it would be a second one of that name.
	edited := must(get[corev1.Service](w, "prices"))
	edited.Spec.Ports[0].Port = 8081
	if err := cluster.Update(t.Context(), edited); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		if p := must(get[corev1.Service](w, "prices")).Spec.Ports; len(p) != 1 || p[0].Port != 80 {
			return fmt.Errorf("ports are %v; %s", p, summary(w.gateway()))
		}
		return nil
	})
}

// TestOperatorKilledInAnyLiveStateGoesOnFromThere ends the operator in each
// state that lasts, and starts another one that knows nothing but the cluster.
func TestOperatorKilledInAnyLiveStateGoesOnFromThere(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	d, _ := w.many(2, &v1alpha1.Rollout{Hot: v1alpha1.HotCanary, Steps: stepsOf("3s", 50, 100)})
	first := w.gateway().Status.DesiredRevision
	again := func(state string) {
		t.Helper()
		w.eventually(func() error {
			if r := w.gateway().Status.Rollout; r == nil || string(r.State) != state {
				return fmt.Errorf("rollout is %+v, want %s; %s", r, state, summary(w.gateway()))
			}
			return nil
		})
		w.stop()
		w.operate(builtInImage)
	}
	w.patch(`{"spec":{"batching":{"window":"20ms"}}}`)
	again("Stepping")
	again("Guarding")
	second := w.gateway().Status.DesiredRevision
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.patch(`{"spec":{"rollback":{"guardPeriod":"0s","warmPeriod":"0s"}}}`)
	w.verdict(second, "Healthy")
	again("Idle")
	if s := w.gateway().Status; s.ActiveRevision != second || s.StableRevision != second || second == first {
		t.Errorf("active %s, stable %s, want %s", s.ActiveRevision, s.StableRevision, second)
	}
	w.patch(`{"spec":{"rollback":{"guardPeriod":"5m"},"gateway":{"image":"g:crashes"}}}`)
	broken := w.pod(w.deployment("g:crashes"))
	again("Preparing")
	broken.Status = corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "gateway", RestartCount: 2, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
	}}}
	w.podStatus(broken)
	again("RolledBack")
	w.condition(v1alpha1.ConditionRolledBack, metav1.ConditionTrue, v1alpha1.ReasonPodsCrashing)
	if s := w.gateway().Status; s.ActiveRevision != second || s.StableRevision != second {
		t.Errorf("active %s, stable %s, want %s", s.ActiveRevision, s.StableRevision, second)
	}
	if live := must(get[appsv1.Deployment](w, d.Name)); live.UID != d.UID || live.Generation != d.Generation {
		t.Error("the template of the pods that serve was touched")
	}
}
