package streamgateway_test

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/controllers/resources"
)

// machine does by itself what node_test.go does by hand: pods come and go as
// their Deployments say, run the real gateway, and are ready when that says so.
type machine struct {
	w      *world
	mu     sync.Mutex
	nodes  map[string]*node // by pod
	faults map[string]func(*corev1.Pod)
	least  int // ready pods at once, since the last call of fewest
}

// crashes is what a pod says whose container keeps ending.
func crashes(p *corev1.Pod) {
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
		Name: resources.ContainerName, Image: p.Spec.Containers[0].Image, RestartCount: 2,
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error"}},
	}}}
}

// noNode is what a pod says that finds no node.
func noNode(p *corev1.Pod) {
	p.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/1 nodes are available",
	}}}
}

// machine starts one; faults say for an image how its pods fail instead of
// running.
func (w *world) machine(faults map[string]func(*corev1.Pod)) *machine {
	m := &machine{w: w, nodes: map[string]*node{}, faults: faults}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
			if err := m.round(context.Background()); err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				w.Errorf("keeping pods: %v", err)
				return
			}
		}
	}()
	w.Cleanup(func() { close(stop); <-stopped })
	return m
}

// fault changes what becomes of pods of an image from now on.
func (m *machine) fault(image string, f func(*corev1.Pod)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults[image] = f
}

// spoil makes pods of an image refuse this revision from now on.
func (m *machine) spoil(image, revision string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.nodes {
		if n.pod.Spec.Containers[0].Image == image {
			text := `{"serial":9007199254740991,"candidate":{"revision":"` + revision + `","hot":{"queue":7}},"candidatePods":["` + n.pod.Name + `"]}`
			spoil := func(string) string { return text }
			n.spoil.Store(&spoil)
		}
	}
}

// fewest is how many pods were ready at once at least, since the call before.
func (m *machine) fewest() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.least
	m.least = 1 << 30
	return n
}

func (m *machine) round(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var deployments appsv1.DeploymentList
	var pods corev1.PodList
	for _, list := range []client.ObjectList{&deployments, &pods} {
		if err := cluster.List(ctx, list, client.InNamespace(m.w.namespace)); err != nil {
			return err
		}
	}
	ready := 0
	for i := range deployments.Items {
		d := &deployments.Items[i]
		own := slices.DeleteFunc(slices.Clone(pods.Items), func(p corev1.Pod) bool {
			return p.Labels[resources.LabelTemplateHash] != d.Labels[resources.LabelTemplateHash]
		})
		n, err := m.keep(ctx, d, own)
		if err != nil {
			return err
		}
		ready += n
	}
	m.least = min(m.least, ready)
	for i := range pods.Items {
		p := &pods.Items[i]
		if !slices.ContainsFunc(deployments.Items, func(d appsv1.Deployment) bool {
			return d.Labels[resources.LabelTemplateHash] == p.Labels[resources.LabelTemplateHash]
		}) {
			if err := m.remove(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep is one round for one Deployment; it returns how many pods are ready.
func (m *machine) keep(ctx context.Context, d *appsv1.Deployment, pods []corev1.Pod) (ready int, err error) {
	for i := range pods {
		if err := m.probe(ctx, &pods[i]); err != nil {
			return 0, err
		}
	}
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return cmp.Compare(readiness(&b), readiness(&a)) }) // who is not ready goes first
	for len(pods) > int(*d.Spec.Replicas) {
		if err := m.remove(ctx, &pods[len(pods)-1]); err != nil {
			return 0, err
		}
		pods = pods[:len(pods)-1]
	}
	for i := range pods {
		ready += readiness(&pods[i])
	}
	for n := len(pods); n < int(*d.Spec.Replicas); n++ {
		if err := m.add(ctx, d); err != nil {
			return 0, err
		}
	}
	status := appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: int32(len(pods)), UpdatedReplicas: int32(len(pods)),
		ReadyReplicas: int32(ready), AvailableReplicas: int32(ready),
	}
	progress := appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "ReplicaSetUpdated"}
	was := slices.ContainsFunc(d.Status.Conditions, func(c appsv1.DeploymentCondition) bool { return c.Reason == "NewReplicaSetAvailable" })
	if was || ready == int(*d.Spec.Replicas) {
		progress.Reason = "NewReplicaSetAvailable"
	}
	status.Conditions = []appsv1.DeploymentCondition{progress}
	if fmt.Sprint(status) == fmt.Sprint(d.Status) {
		return ready, nil
	}
	d.Status = status
	return ready, cluster.Status().Update(ctx, d)
}

func readiness(p *corev1.Pod) int {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return 1
		}
	}
	return 0
}

// probe asks a pod's gateway whether it is ready, as the kubelet does.
func (m *machine) probe(ctx context.Context, p *corev1.Pod) error {
	n := m.nodes[p.Name]
	if n == nil {
		return nil
	}
	status := corev1.ConditionFalse
	if response, err := http.Get("http://" + net.JoinHostPort(n.ip, "9090") + "/readyz"); err == nil {
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			status = corev1.ConditionTrue
		}
	}
	if p.Status.PodIP != "" && len(p.Status.Conditions) > 0 && p.Status.Conditions[0].Status == status {
		return nil
	}
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: n.ip, PodIPs: []corev1.PodIP{{IP: n.ip}}, Conditions: []corev1.PodCondition{
		{Type: corev1.PodReady, Status: status}, {Type: corev1.ContainersReady, Status: status},
	}}
	return cluster.Status().Update(ctx, p)
}

func (m *machine) add(ctx context.Context, d *appsv1.Deployment) error {
	set := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: d.Name + "-" + rand.String(5), Labels: d.Spec.Template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
		},
		Spec: appsv1.ReplicaSetSpec{Selector: d.Spec.Selector, Template: d.Spec.Template},
	}
	if err := cluster.Create(ctx, set); err != nil {
		return err
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: set.Name, Labels: d.Spec.Template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))},
		},
		Spec: *d.Spec.Template.Spec.DeepCopy(),
	}
	if err := cluster.Create(ctx, pod); err != nil {
		return err
	}
	if fails := m.faults[d.Spec.Template.Spec.Containers[0].Image]; fails != nil {
		fails(pod)
		return cluster.Status().Update(ctx, pod)
	}
	n, err := m.w.execute(pod)
	m.nodes[pod.Name] = n
	return err
}

func (m *machine) remove(ctx context.Context, p *corev1.Pod) error {
	if n := m.nodes[p.Name]; n != nil {
		n.kill()
		delete(m.nodes, p.Name)
	}
	now := int64(0)
	return client.IgnoreNotFound(cluster.Delete(ctx, p, &client.DeleteOptions{GracePeriodSeconds: &now}))
}
