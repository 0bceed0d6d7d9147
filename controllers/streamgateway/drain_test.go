package streamgateway

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func podNamed(name string, change ...func(*corev1.Pod)) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}
	for _, c := range change {
		c(&p)
	}
	return p
}

func TestPodsAreKnownToLeaveUntilTheyAreGone(t *testing.T) {
	deleted := func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }
	failed := func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }
	a, b, stranger := podNamed("a"), podNamed("b"), podNamed("stranger")
	var d drains
	for i, pass := range []struct {
		what     string
		all, own []corev1.Pod
		want     string
	}{
		{"both serve", []corev1.Pod{a, b, stranger}, []corev1.Pod{a, b}, ""},
		{"one is deleted", []corev1.Pod{podNamed("a", deleted), b, stranger}, []corev1.Pod{podNamed("a", deleted), b}, "a"},
		{"its Deployment goes before it", []corev1.Pod{podNamed("a", deleted), b, stranger}, []corev1.Pod{b}, "a"},
		{"the other's as well", []corev1.Pod{podNamed("a", deleted), b, stranger}, nil, "ab"},
		{"one is gone", []corev1.Pod{b, stranger}, nil, "b"},
		{"the other one ended long ago, and nobody takes its object away", []corev1.Pod{podNamed("b", failed), stranger}, nil, ""},
		{"and is deleted", []corev1.Pod{podNamed("b", failed, deleted), stranger}, nil, "b"},
		{"all are gone", []corev1.Pod{stranger}, nil, ""},
	} {
		got := ""
		for _, p := range d.leaving(pass.all, pass.own) {
			got += p.Name
		}
		if got != pass.want {
			t.Errorf("pass %d, %s: %q leave, want %q", i, pass.what, got, pass.want)
		}
	}
}

func TestPodThatIsNotDoneInTimeIsToldOf(t *testing.T) {
	now := time.Unix(1000, 0)
	until := func(seconds int) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.DeletionTimestamp, p.Spec.NodeName = &metav1.Time{Time: now.Add(time.Duration(seconds) * time.Second)}, "node-1"
		}
	}
	exited := func(code int32) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}}}
		}
	}
	for name, c := range map[string]struct {
		pod  corev1.Pod
		want string
	}{
		"within its grace period":          {podNamed("a", until(10)), ""},
		"a little late":                    {podNamed("a", until(-4)), ""},
		"long over it":                     {podNamed("a", until(-5)), "on node node-1 is still there 5s after the end of its grace period"},
		"done":                             {podNamed("a", until(10), exited(0)), ""},
		"killed":                           {podNamed("a", until(0), exited(137)), "was killed before it had sent its clients on"},
		"whose Deployment went before it ": {podNamed("a"), ""},
	} {
		if got := lateness(&c.pod, now); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
