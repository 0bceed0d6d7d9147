package streamgateway_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// This file is what a node and kube-controller-manager do in a cluster: it
// makes pods for Deployments, runs the gateway in them, and sets their status.

// sample makes a StreamGateway with this spec.
func (w *world) sample(spec v1alpha1.StreamGatewaySpec) *v1alpha1.StreamGateway {
	w.Helper()
	sg := &v1alpha1.StreamGateway{ObjectMeta: metav1.ObjectMeta{Name: "prices"}, Spec: spec}
	w.create(sg)
	return sg
}

// patch merges JSON into the StreamGateway, as kubectl patch does.
func (w *world) patch(json string) {
	w.Helper()
	sg := &v1alpha1.StreamGateway{ObjectMeta: metav1.ObjectMeta{Name: "prices", Namespace: w.namespace}}
	if err := cluster.Patch(w.Context(), sg, client.RawPatch("application/merge-patch+json", []byte(json))); err != nil {
		w.Fatal(err)
	}
}

// deployments are the live ones, oldest first.
func (w *world) deployments() []appsv1.Deployment {
	var list appsv1.DeploymentList
	if err := cluster.List(w.Context(), &list, client.InNamespace(w.namespace)); err != nil {
		w.Fatal(err)
	}
	for i := 1; i < len(list.Items); i++ {
		if list.Items[i].CreationTimestamp.Before(&list.Items[i-1].CreationTimestamp) {
			list.Items[i], list.Items[i-1] = list.Items[i-1], list.Items[i]
		}
	}
	return list.Items
}

// deployment waits for the Deployment that runs this image.
func (w *world) deployment(image string) *appsv1.Deployment {
	w.Helper()
	var found *appsv1.Deployment
	w.eventually(func() error {
		for _, d := range w.deployments() {
			if d.Spec.Template.Spec.Containers[0].Image == image {
				found = &d
				return nil
			}
		}
		return fmt.Errorf("no Deployment with image %s", image)
	})
	return found
}

// pod makes a pod of a Deployment, with the ReplicaSet between them.
func (w *world) pod(d *appsv1.Deployment) *corev1.Pod {
	w.Helper()
	set := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: d.Name + "-" + rand.String(5), Labels: d.Spec.Template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
		},
		Spec: appsv1.ReplicaSetSpec{Selector: d.Spec.Selector, Template: d.Spec.Template},
	}
	w.create(set)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: set.Name + "-" + rand.String(5), Labels: d.Spec.Template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))},
		},
		Spec: *d.Spec.Template.Spec.DeepCopy(),
	}
	w.create(pod)
	return pod
}

var addresses atomic.Int32

// address is one that no other pod has, also of tests that run beside these:
// the whole of 127/8 is this machine.
func address() string {
	n := addresses.Add(1)
	return fmt.Sprintf("127.%d.%d.%d", 32+os.Getpid()%200, n/250, n%250+1)
}

// running says that a pod runs under an address, ready or not.
func (w *world) running(pod *corev1.Pod, ip string, ready bool) {
	w.Helper()
	condition := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse}
	if ready {
		condition.Status = corev1.ConditionTrue
	}
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
		Conditions: []corev1.PodCondition{condition},
	}
	w.podStatus(pod)
}

// remove takes a pod's object away, as kubelet and garbage collector do.
func (w *world) remove(pod *corev1.Pod) {
	w.Helper()
	if err := cluster.Delete(w.Context(), pod); err != nil {
		w.Fatal(err)
	}
}

// waits says that a pod's container waits for this reason.
func (w *world) waits(pod *corev1.Pod, reason, message string) {
	w.Helper()
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{
		Name: resources.ContainerName, Image: pod.Spec.Containers[0].Image,
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
	}}}
	w.podStatus(pod)
}

func (w *world) podStatus(pod *corev1.Pod) {
	w.Helper()
	status := pod.Status
	if err := cluster.Get(w.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
		w.Fatal(err)
	}
	pod.Status = status
	if err := cluster.Status().Update(w.Context(), pod); err != nil {
		w.Fatal(err)
	}
}

// progress sets a Deployment's status: so many pods ready, and its condition
// Progressing with this reason.
func (w *world) progress(d *appsv1.Deployment, replicas, ready int32, reason string, more ...appsv1.DeploymentCondition) {
	w.Helper()
	if err := cluster.Get(w.Context(), client.ObjectKeyFromObject(d), d); err != nil {
		w.Fatal(err)
	}
	status := corev1.ConditionTrue
	if reason == "ProgressDeadlineExceeded" {
		status = corev1.ConditionFalse
	}
	d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: replicas, UpdatedReplicas: replicas, ReadyReplicas: ready, AvailableReplicas: ready,
		UnavailableReplicas: replicas - ready,
		Conditions:          append(more, appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: status, Reason: reason}),
	}
	if err := cluster.Status().Update(w.Context(), d); err != nil {
		w.Fatal(err)
	}
}

// node runs the real gateway for a pod.
type node struct {
	w      *world
	pod    *corev1.Pod
	ip     string
	mount  string
	secret string                                  // folder of the TLS Secret
	keys   string                                  // folder of the Secret that pods share
	nats   string                                  // folder of the Secrets by which the log is reached
	spoil  atomic.Pointer[func(hot string) string] // what a broken mount does to hot.json
	cancel context.CancelFunc
	done   chan struct{}
}

// start runs the gateway binary as the pod's container would, with a copy of
// the ConfigMap that follows the real one, and says that the pod is ready once
// the gateway says so.
func (w *world) start(pod *corev1.Pod) *node {
	w.Helper()
	n := w.launch(pod)
	w.running(pod, n.ip, true)
	return n
}

// launch is start of a pod that is not ready.
func (w *world) launch(pod *corev1.Pod) *node {
	w.Helper()
	n, err := w.execute(pod)
	if err != nil {
		w.Fatal(err)
	}
	w.eventually(func() error {
		connection, err := net.Dial("tcp", net.JoinHostPort(n.ip, "9090"))
		if err == nil {
			connection.Close()
		}
		return err
	})
	w.running(pod, n.ip, false)
	return n
}

// execute runs the gateway binary for a pod until the test ends.
func (w *world) execute(pod *corev1.Pod) (*node, error) {
	ctx, cancel := context.WithCancel(context.Background())
	n := &node{w: w, pod: pod, ip: address(), mount: w.TempDir(), secret: w.TempDir(), keys: w.TempDir(), nats: w.TempDir(), cancel: cancel, done: make(chan struct{})}
	n.sync()
	n.mountKeys()
	hash := pod.Labels[resources.LabelTemplateHash]
	command := exec.CommandContext(ctx, gateway, "--config="+n.mount, "--template-hash="+hash,
		"--tls-path="+n.secret, "--keys="+n.keys, "--nats-path="+n.nats, "--listen="+net.JoinHostPort(n.ip, "8080"), "--admin="+net.JoinHostPort(n.ip, "9090"))
	command.Env = append(os.Environ(), "POD_NAME="+pod.Name, "POD_NAMESPACE="+pod.Namespace)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGKILL) }
	var log strings.Builder
	command.Stderr = &log
	if err := command.Start(); err != nil {
		cancel()
		return nil, err
	}
	go func() {
		defer close(n.done)
		for ctx.Err() == nil {
			n.sync()
			time.Sleep(20 * time.Millisecond)
		}
		_ = command.Wait() // it was killed
	}()
	w.Cleanup(func() {
		n.kill()
		if w.Failed() {
			w.Logf("gateway %s:\n%s", pod.Name, log.String())
		}
	})
	return n, nil
}

func (n *node) kill() {
	n.cancel()
	<-n.done
}

// sync copies the ConfigMap into the mount.
func (n *node) sync() {
	var m corev1.ConfigMap
	if err := cluster.Get(context.Background(), client.ObjectKey{Namespace: n.w.namespace, Name: "prices-config"}, &m); err != nil {
		return
	}
	for name, text := range m.Data {
		if spoil := n.spoil.Load(); spoil != nil && name == config.HotKey {
			text = (*spoil)(text)
		}
		file := filepath.Join(n.mount, name)
		if now, err := os.ReadFile(file); err == nil && string(now) == text {
			continue
		}
		if err := errors.Join(os.WriteFile(file+".new", []byte(text), 0o644), os.Rename(file+".new", file)); err != nil {
			n.w.Error(err)
		}
	}
}

// serve makes a StreamGateway's first pod run and waits until it is Ready.
func (w *world) serve(image string) (*appsv1.Deployment, *node) {
	w.Helper()
	d := w.deployment(image)
	n := w.start(w.pod(d))
	w.progress(d, 1, 1, "NewReplicaSetAvailable")
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	return d, n
}

// gateway is the StreamGateway as it is now.
func (w *world) gateway() *v1alpha1.StreamGateway {
	w.Helper()
	sg, err := get[v1alpha1.StreamGateway](w, "prices")
	if err != nil {
		w.Fatal(err)
	}
	return sg
}

// condition waits for a condition of the present generation, and returns it.
func (w *world) condition(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	w.Helper()
	var found metav1.Condition
	w.eventually(func() error {
		sg := w.gateway()
		c := meta.FindStatusCondition(sg.Status.Conditions, kind)
		if c == nil {
			return fmt.Errorf("there is no condition %s yet", kind)
		}
		found = *c
		if c.Status != status || c.Reason != reason || c.ObservedGeneration != sg.Generation {
			return fmt.Errorf("%s is %s/%s (%s) of generation %d, want %s/%s of %d; all: %s",
				kind, c.Status, c.Reason, c.Message, c.ObservedGeneration, status, reason, sg.Generation, summary(sg))
		}
		return nil
	})
	return found
}

func summary(sg *v1alpha1.StreamGateway) string {
	var words []string
	for _, c := range sg.Status.Conditions {
		words = append(words, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
	}
	return strings.Join(words, " ")
}

// event waits for an event of this reason about the StreamGateway whose note
// holds these words.
func (w *world) event(kind, reason, words string) {
	w.Helper()
	w.eventually(func() error {
		seen, err := w.events()
		if err != nil {
			return err
		}
		for _, e := range seen {
			if e.Type == kind && e.Reason == reason && strings.Contains(e.Note, words) {
				return nil
			}
		}
		var notes []string
		for _, e := range seen {
			notes = append(notes, e.Reason+": "+e.Note)
		}
		return fmt.Errorf("no %s event %s with %q, but %q", kind, reason, words, notes)
	})
}
