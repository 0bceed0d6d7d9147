package streamgateway

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/streamgateway/streamgateway/controllers/resources"
	"github.com/streamgateway/streamgateway/controllers/rollout"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// This file is about two templates beside each other: that of the wanted
// revision, and the other one whose pods it takes over from. On trial that is
// the stable revision's, on the way back the failed one's.

// other is the template that the wanted one takes over from, empty if it has
// the pods that are there.
func (s *scope) other() string {
	name := s.desired // which failed
	switch {
	case s.base != nil:
		name = s.base.plan.Revision
	case s.plan.Revision == s.desired:
		return ""
	}
	v := s.revision(name)
	if v == nil || v.record.TemplateHash == s.plan.TemplateHash {
		return ""
	}
	return v.record.TemplateHash
}

// live is the Deployment of a template, nil if there is none.
func (s *scope) live(template string) *appsv1.Deployment {
	for i := range s.deployments {
		if s.deployments[i].Name == resources.DeploymentName(s.sg.Name, template) {
			return &s.deployments[i]
		}
	}
	return nil
}

// size is how many pods the wanted template shall have: those of the step, and
// none fewer than it has, for they serve.
func (s *scope) size() int32 {
	replicas := s.replicas()
	if s.base == nil || s.live(s.other()) == nil {
		return replicas
	}
	size := int32(rollout.Share(s.decision.Percent, int(replicas)))
	if d := s.deployment(); d != nil && d.Spec.Replicas != nil {
		size = max(size, *d.Spec.Replicas)
	}
	return min(size, replicas)
}

// podsOf are the pods of a template that are not on their way out.
func (s *scope) podsOf(template string) (pods []*corev1.Pod) {
	for i := range s.pods {
		if p := &s.pods[i]; p.DeletionTimestamp.IsZero() && p.Labels[resources.LabelTemplateHash] == template {
			pods = append(pods, p)
		}
	}
	return pods
}

func countReady(pods []*corev1.Pod) (n int) {
	for _, p := range pods {
		if isReady(p) {
			n++
		}
	}
	return n
}

// standBy says in a document which pods of the other template stand by: as
// many as there are ready ones of the wanted template to make up for them, all
// of them at once where changes do not go by steps. A template whose pods end
// stays listed until they have: none of them is to become ready once more.
func (s *scope) standBy(next, old *config.Document) {
	for _, template := range old.DrainTemplates {
		ends := slices.ContainsFunc(s.leaving, func(p corev1.Pod) bool { return p.Labels[resources.LabelTemplateHash] == template })
		if ends && s.live(template) == nil && template != s.plan.TemplateHash {
			next.DrainTemplates = append(next.DrainTemplates, template)
		}
	}
	other := s.other()
	if other == "" || s.live(other) == nil {
		return
	}
	replicas, ready := int(s.replicas()), countReady(s.podsOf(s.plan.TemplateHash))
	if ready >= replicas {
		next.DrainTemplates = append(next.DrainTemplates, other)
		return
	}
	if s.base == nil || len(s.settings().Stages) == 0 {
		return
	}
	var serving, standing []string
	for _, p := range s.podsOf(other) {
		stands := old.StandsBy(p.Name, other)
		if stands || isReady(p) {
			serving = append(serving, p.Name)
		}
		if stands {
			standing = append(standing, p.Name)
		}
	}
	next.DrainPods = rollout.Choose(serving, standing, rollout.StandBy(replicas, ready, len(serving)))
}

// moved tells whether the other template's pods that the wanted ones make up
// for take no new clients any more.
func (s *scope) moved() bool {
	return countReady(s.podsOf(s.other())) <= int(s.replicas()-s.size())
}

// standing is how many pods stand by.
func (s *scope) standing() (n int32) {
	for i := range s.pods {
		p := &s.pods[i]
		if p.DeletionTimestamp.IsZero() && s.document.StandsBy(p.Name, p.Labels[resources.LabelTemplateHash]) {
			n++
		}
	}
	return n
}
