package streamgateway

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// graceLate is how long a pod may be there after its grace period before that
// is worth a word.
const graceLate = 5 * time.Second

// drains is what is remembered of pods that send their clients on.
type drains struct {
	own   map[types.UID]bool // pods that are or were ours
	late  map[types.UID]bool // that were told of
	start time.Time          // of the first pod's; zero: none drains
	most  int32              // pods at once
}

// leaving are our pods that are on their way out: those that were told to end,
// and those whose Deployment has gone before them, which nothing but our memory
// shows to be ours.
func (d *drains) leaving(all, own []corev1.Pod) []corev1.Pod {
	before := d.own
	d.own = map[types.UID]bool{}
	for i := range own {
		if own[i].DeletionTimestamp.IsZero() {
			d.own[own[i].UID] = true
		}
	}
	var out []corev1.Pod
	ours := map[types.UID]bool{}
	for i := range own {
		ours[own[i].UID] = true
	}
	for i := range all {
		p := &all[i]
		if d.own[p.UID] || !ours[p.UID] && !before[p.UID] {
			continue
		}
		d.own[p.UID] = true // until it is gone
		if !p.DeletionTimestamp.IsZero() || !ended(p) {
			out = append(out, *p)
		}
	}
	return out
}

// draining is the number of pods that send their clients on: all that end, and
// those that stand by and have clients left.
func (s *scope) draining() int32 { return int32(len(s.leaving) + s.summary.Draining) }

// announceDrains tells when pods begin to send their clients on, when the last
// one has, and of those that are not done in time.
func (r *Reconciler) announceDrains(s *scope, before, after *v1alpha1.StreamGatewayStatus) {
	d := &s.memory.drains
	was, is := drainingPods(before), drainingPods(after)
	if was == 0 && is > 0 {
		d.start, d.most = s.now, 0
		r.normal(s, nil, "DrainStarted", actionDrain, "%s", s.drainNote(is))
	}
	d.most = max(d.most, is)
	if was > 0 && is == 0 {
		note := fmt.Sprintf("pods have sent their clients on: %d", max(d.most, was))
		if !d.start.IsZero() { // else the leader before this one knew
			note += fmt.Sprintf(", in %s", s.now.Sub(d.start).Round(100*time.Millisecond))
		}
		d.start, d.most = time.Time{}, 0
		r.normal(s, nil, "DrainCompleted", actionDrain, "%s", note)
	}
}

func drainingPods(status *v1alpha1.StreamGatewayStatus) int32 {
	if status.Pods == nil {
		return 0
	}
	return ptr.Deref(status.Pods.Draining, 0)
}

func (s *scope) drainNote(pods int32) string {
	note := fmt.Sprintf("pods send their clients on: %d", pods)
	if len(s.leaving) > 0 {
		note += fmt.Sprintf(", of these ending: %d (first %s)", len(s.leaving), s.leaving[0].Name)
	}
	return note
}

// announceLate tells, once for each pod, of those that were killed before they
// had sent their clients on, and of those that are still there when their grace
// period is long over, as on a node that was lost.
func (r *Reconciler) announceLate(s *scope) {
	d := &s.memory.drains
	late := map[types.UID]bool{}
	for i := range s.leaving {
		p := &s.leaving[i]
		why := lateness(p, s.now)
		if why == "" {
			continue
		}
		if late[p.UID] = true; !d.late[p.UID] {
			r.warning(s, "DrainTimedOut", actionDrain, "pod "+p.Name+" "+why)
		}
	}
	d.late = late
}

// lateness is why a pod that ends is not done in time, empty if it is. The API
// server sets the time of deletion to the end of the grace period.
func lateness(p *corev1.Pod, now time.Time) string {
	for _, c := range p.Status.ContainerStatuses {
		const killed = 128 + 9
		if t := c.State.Terminated; t != nil && t.ExitCode == killed {
			return "was killed before it had sent its clients on"
		}
	}
	if p.DeletionTimestamp.IsZero() || now.Sub(p.DeletionTimestamp.Time) < graceLate {
		return ""
	}
	return fmt.Sprintf("on node %s is still there %s after the end of its grace period", p.Spec.NodeName, graceLate)
}
