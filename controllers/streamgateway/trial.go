package streamgateway

import (
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/fleet"
	"github.com/streamgateway/streamgateway/controllers/resources"
	"github.com/streamgateway/streamgateway/controllers/rollout"
)

// compare judges the pods that run the wanted revision, and apart from them
// those that run another one, by what each says it runs.
func (s *scope) compare() {
	var wanted, others []fleet.Sample
	for _, sample := range s.samples {
		if sample.Newer.Revision == s.desired {
			wanted = append(wanted, sample)
		} else {
			others = append(others, sample)
		}
	}
	numbers := fleet.Summarize(wanted, 0, fleet.Wanted{})
	t := s.thresholds()
	s.tooQuiet = numbers.Offered < float64(t.MinEvents)
	s.breach, s.flagBreach = rollout.Judge(&numbers, t), rollout.Blame(&numbers, s.raisedFlags(), t)
	s.common = false
	if s.breach != nil && len(others) > 0 {
		numbers = fleet.Summarize(others, 0, fleet.Wanted{})
		s.common = s.breach.SharedBy(&numbers, t)
	}
	s.count(wanted)
}

// count counts looks in a row that find what the pods that run the wanted
// revision do wrong.
func (s *scope) count(wanted []fleet.Sample) {
	m := s.memory
	next, counted := m.looks.Next(s.now, s.analysisInterval(), s.desired, s.breach, func(b *rollout.Breach) bool {
		t := s.thresholds()
		since := fleet.Summarize(m.window.SinceMark(wanted, t.MaxP99Latency), 0, fleet.Wanted{})
		return b.GoesOn(&since, t)
	})
	if m.looks = next; counted {
		m.window.Mark()
	}
	m.flagLooks, _ = m.flagLooks.Next(s.now, s.analysisInterval(), s.desired, s.flagBreach, func(*rollout.Breach) bool { return true })
}

// history is what decisions go by before anybody has been asked.
func (s *scope) history() *rollout.Observation {
	o := &rollout.Observation{Settings: s.settings(), Now: s.now, Desired: s.desired}
	for i := range s.revisions {
		v := &s.revisions[i]
		o.Revisions = append(o.Revisions, rollout.Revision{
			Name: v.name, Verdict: v.verdict, Step: v.detail.Step, StepStart: v.detail.StepStart,
			GuardStart: v.detail.GuardStart, UnhealthyBefore: v.detail.UnhealthyBefore,
		})
	}
	return o
}

// observation is what decisions go by.
func (s *scope) observation() *rollout.Observation {
	o := s.history()
	o.TooQuiet = s.tooQuiet
	runs := s.document.Newest() == s.plan.Revision
	acked := runs && s.unacked() == 0 && s.summary.Acks.Nacked == 0
	if s.plan.Revision != s.desired {
		own := s.podsOf(s.plan.TemplateHash)
		o.LeftBehind = acked && s.serves() && countReady(s.podsOf(s.other())) == 0 && (countReady(own) > 0 || s.replicas() == 0)
		return o
	}
	o.TemplateReady, o.AllAcked, o.Moved = s.templateReady(), acked, s.moved()
	o.Breach, o.Breaches, o.Common = s.breach, s.memory.looks.Count, s.common
	o.FlagBreach, o.FlagBreaches, o.Settles = s.flagBreach, s.memory.flagLooks.Count, s.settles()
	if runs {
		o.Nack = s.refusedByPod()
	}
	o.PodReason, o.PodMessage = s.candidateTrouble()
	if o.Deadline = s.overdue(o.TemplateReady); o.Deadline && o.PodMessage == "" {
		o.PodMessage = "no progress for " + s.progressDeadline().String() + ": the pods are not ready, or do not take the config"
	}
	return o
}

// serves tells whether the pods of the wanted template are there, or were all
// of them once and are not just now.
func (s *scope) serves() bool {
	d := s.deployment()
	return d != nil && (complete(d, s.replicas()) || served(d))
}

// templateReady tells whether as many pods of the wanted template as the step
// asks for are there and ready. Once it is promoted, one that is not ready just
// now takes nothing back.
func (s *scope) templateReady() bool {
	if s.base == nil || s.live(s.other()) == nil {
		return s.serves() && s.chosenReady()
	}
	d, v := s.deployment(), s.revision(s.desired)
	return d != nil && (complete(d, s.size()) || !v.detail.GuardStart.IsZero() && served(d))
}

// chosenReady tells whether all pods that a canary was given to take part.
// Those on a lost node do not, and are waited for.
func (s *scope) chosenReady() bool {
	for i := range s.pods {
		p := &s.pods[i]
		if slices.Contains(s.document.CandidatePods, p.Name) && !isReady(p) {
			return false
		}
	}
	return true
}

// unacked is how many ready pods do not run what the document gives them.
func (s *scope) unacked() int {
	wanted, acked, n := s.wanted(), map[string]bool{}, 0
	for i := range s.samples {
		r := &s.samples[i].Newer
		acked[r.Pod] = wanted.Acked(r)
	}
	for i := range s.pods {
		if isReady(&s.pods[i]) && !acked[s.pods[i].Name] {
			n++
		}
	}
	return n
}

// wanted is what each pod shall run.
func (s *scope) wanted() fleet.Wanted {
	revisions := map[string]string{}
	for i := range s.pods {
		p := &s.pods[i]
		revisions[p.Name] = s.document.For(p.Name, p.Labels[resources.LabelTemplateHash]).Name
	}
	return fleet.Wanted{Serial: s.document.Serial, Revision: func(pod string) string { return revisions[pod] }}
}

// refusedByPod is a pod's refusal of the wanted revision, empty if there is
// none. What it refuses of another one is not this one's fault.
func (s *scope) refusedByPod() string {
	for _, n := range s.summary.Acks.Nacks {
		if n.Revision == s.desired || n.Revision == "" {
			return "pod " + n.Pod + " refused config " + strconv.FormatInt(s.document.Serial, 10) + ": " + n.Message
		}
	}
	return ""
}

// pullFailure is since when a revision's image cannot be pulled.
type pullFailure struct {
	revision string
	since    time.Time
}

// pullPatience is how long an image may not be there: a registry has hiccups.
const pullPatience = 10 * time.Second

// candidateTrouble is why the pods that run the wanted revision do not come up,
// if that is their own fault. One that finds no node may find one later.
func (s *scope) candidateTrouble() (reason, message string) {
	reason, message = trouble(s.candidates())
	since := &s.memory.pullFailure
	if reason != v1alpha1.ReasonImagePullFailed || since.revision != s.plan.Revision {
		*since = pullFailure{revision: s.plan.Revision, since: s.now}
	}
	switch {
	case reason == v1alpha1.ReasonPodsCrashing:
		return reason, message
	case reason == v1alpha1.ReasonImagePullFailed && s.now.Sub(since.since) >= pullPatience:
		return reason, message
	}
	return "", message
}

// candidates are the pods whose trouble is the wanted revision's: those of its
// template that were made for it, and of those that had run before, the ones
// that it was given to and that have ended since.
func (s *scope) candidates() []corev1.Pod {
	v := s.revision(s.desired)
	if v == nil {
		return nil
	}
	var out []corev1.Pod
	for i := range s.pods {
		p := &s.pods[i]
		template := p.Labels[resources.LabelTemplateHash]
		switch {
		case template != s.plan.TemplateHash:
		case s.base == nil, s.other() != "", s.document.Tries(p.Name, template) && endedSince(p, v.tried()):
			out = append(out, *p)
		}
	}
	return out
}

// endedSince tells whether a container of the pod has ended after a time.
func endedSince(p *corev1.Pod, t time.Time) bool {
	return slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
		ended := c.LastTerminationState.Terminated
		if c.State.Terminated != nil {
			ended = c.State.Terminated
		}
		return ended != nil && ended.FinishedAt.After(t)
	})
}

// tried is since when a revision is where it is: in its step, or at all.
func (v *revision) tried() time.Time {
	if v.detail.StepTime.After(v.created) {
		return v.detail.StepTime
	}
	return v.created
}

// nodeTimeout is longer than it takes a cluster to notice that a node is gone:
// until then its pods look ready, and are silent.
const nodeTimeout = time.Minute

// overdue tells whether the wanted revision has made no progress for too long:
// its pods are not ready, or ready and do not run what they shall. A pod on a
// lost node is waited for, and so are those that one bad node makes silent.
func (s *scope) overdue(ready bool) bool {
	v := s.revision(s.desired)
	waited := s.now.Sub(v.tried())
	switch {
	case !v.detail.GuardStart.IsZero() || !v.detail.StepStart.IsZero() || s.delayedByRefs() || s.delayedByLog():
		return false
	case !ready:
		return s.deadlineExceeded() || s.other() != "" && waited >= s.progressDeadline() && !slices.ContainsFunc(s.candidates(), lost)
	}
	return waited >= max(s.progressDeadline(), nodeTimeout) && s.unacked() > 0 && !s.stalledByNode()
}

func lost(p corev1.Pod) bool { return onLostNode(&p) }

// onLostNode tells whether the cluster has given up on the pod's node: the
// pod's own node would have said of its containers that they are not ready,
// before it said so of the pod.
func onLostNode(p *corev1.Pod) bool {
	containers := false
	for _, c := range p.Status.Conditions {
		containers = containers || c.Type == corev1.ContainersReady && c.Status == corev1.ConditionTrue
	}
	return containers && !isReady(p) && p.DeletionTimestamp.IsZero()
}
