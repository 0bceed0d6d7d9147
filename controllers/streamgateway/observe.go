package streamgateway

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/fleet"
	"github.com/streamgateway/streamgateway/controllers/resources"
)

const (
	askTimeout = time.Second
	// ackTimeout is how long a ready pod may take to acknowledge a document
	// before status says so.
	ackTimeout = 10 * time.Second
)

// observe asks the pods what they run and how they are. Right after a push it
// waits for their acks, which take milliseconds, so that the same pass can
// write them into status; a pod that does not answer in time is asked again
// in the next one.
func (r *Reconciler) observe(ctx context.Context, s *scope) error {
	var targets []fleet.Target
	silent := 0
	for i := range s.pods {
		p := &s.pods[i]
		switch {
		case !p.DeletionTimestamp.IsZero():
			// On its way out: its streams move, its word no longer counts.
		case p.Status.PodIP == "" || p.Status.Phase != corev1.PodRunning:
			silent++
		default:
			address := net.JoinHostPort(p.Status.PodIP, strconv.Itoa(adminPort(p)))
			targets = append(targets, fleet.Target{Pod: p.Name, Address: address})
		}
	}
	answers := r.ask(ctx, s, targets)
	for _, a := range answers {
		if a.Report == nil {
			silent++
		} else {
			s.memory.reportTime = s.now
		}
	}
	s.samples = s.memory.window.Add(answers, s.window())
	s.summary = fleet.Summarize(s.samples, silent, s.wanted())
	r.announcePush(s)
	r.announceExpiry(s)
	return ctx.Err()
}

// adminPort is that of this pod, which may be of an older template.
func adminPort(p *corev1.Pod) int {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == resources.AdminPortName {
				return int(port.ContainerPort)
			}
		}
	}
	return 0
}

func (r *Reconciler) ask(ctx context.Context, s *scope, targets []fleet.Target) []fleet.Answer {
	if !s.memory.push.fresh {
		return r.Fleet.Ask(ctx, targets, 0, askTimeout)
	}
	s.memory.push.fresh = false
	answers := r.Fleet.Ask(ctx, targets, s.document.Serial, askTimeout)
	// A pod that did not get there in time held its answer back; what it runs
	// is worth knowing all the same.
	var late []fleet.Target
	for i, a := range answers {
		if a.Report == nil {
			late = append(late, targets[i])
		}
	}
	again := r.Fleet.Ask(ctx, late, 0, askTimeout)
	for i := range answers {
		if answers[i].Report == nil {
			answers[i], again = again[0], again[1:]
		}
	}
	return answers
}

// announcePush tells once when the newest document has reached all pods.
func (r *Reconciler) announcePush(s *scope) {
	p, acks := &s.memory.push, s.summary.Acks
	if p.acked || acks.Acked == 0 || acks.Pending+acks.Nacked > 0 {
		return
	}
	p.acked = true
	if c := s.sg.Status.Config; c != nil && c.Serial == p.serial && ptr.Deref(c.Acked, 0) > 0 && ptr.Deref(c.Pending, 0) == 0 {
		return // told by the leader before this one
	}
	r.normal(s, nil, "ConfigPushed", actionPush, "config %d of revision %s runs on all pods (%d) after %d ms",
		p.serial, s.document.Newest(), acks.Acked, time.Since(p.start).Milliseconds())
}

// silentReady tells whether a ready pod has not acknowledged the newest
// document for longer than ackTimeout.
func (s *scope) silentReady() bool {
	return s.unacked() > s.summary.Acks.Nacked && s.now.Sub(s.memory.push.start) > ackTimeout
}

func (s *scope) readyPods() int {
	n := 0
	for i := range s.pods {
		if isReady(&s.pods[i]) {
			n++
		}
	}
	return n
}

func isReady(p *corev1.Pod) bool {
	if !p.DeletionTimestamp.IsZero() {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// trouble is why a pod does not come up, in the words of status. Its message
// stays the same while the trouble does: back-off counters are left out.
func trouble(pods []corev1.Pod) (reason, message string) {
	for i := range pods {
		p := &pods[i]
		if isReady(p) || !p.DeletionTimestamp.IsZero() {
			continue
		}
		for _, c := range p.Status.ContainerStatuses {
			if reason, message = containerTrouble(p.Name, &c); reason != "" {
				return reason, message
			}
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
				return v1alpha1.ReasonUnschedulable, fmt.Sprintf("pod %s: %s", p.Name, c.Message)
			}
		}
	}
	return "", ""
}

func containerTrouble(pod string, c *corev1.ContainerStatus) (reason, message string) {
	waiting := ""
	if c.State.Waiting != nil {
		waiting = c.State.Waiting.Reason
	}
	switch waiting {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable":
		return v1alpha1.ReasonImagePullFailed, fmt.Sprintf("pod %s: image %q cannot be pulled", pod, c.Image)
	case "CreateContainerConfigError", "CreateContainerError":
		return v1alpha1.ReasonPodsCrashing, fmt.Sprintf("pod %s: %s: %s", pod, waiting, c.State.Waiting.Message)
	}
	const crashes = 2 // one may be an accident
	ended, times := c.LastTerminationState.Terminated, c.RestartCount
	if c.State.Terminated != nil { // and not started again yet
		ended, times = c.State.Terminated, times+1
	}
	if waiting != "CrashLoopBackOff" && times < crashes {
		return "", ""
	}
	if ended == nil {
		return v1alpha1.ReasonPodsCrashing, fmt.Sprintf("pod %s: the container keeps ending", pod)
	}
	message = fmt.Sprintf("pod %s: the container keeps ending, last with exit code %d (%s)", pod, ended.ExitCode, ended.Reason)
	if ended.Reason == "StartError" {
		message += ": " + ended.Message // the runtime's own words; there is no log to look into
	}
	return v1alpha1.ReasonPodsCrashing, message
}
