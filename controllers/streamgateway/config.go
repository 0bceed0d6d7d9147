package streamgateway

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/controllers/resources"
	"github.com/streamgateway/streamgateway/controllers/rollout"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create;patch

// config pushes what pods run. It comes before workload, so that new pods find
// what they start from; pods of an older template read the same document, and
// it must suit them too.
func (r *Reconciler) config(ctx context.Context, s *scope) error {
	live, exists, err := r.liveConfig(ctx, s)
	if err != nil {
		return err
	}
	data := live.Data
	if exists && !metav1.IsControlledBy(live, s.sg) {
		data = nil // somebody else's; settle says so
	}
	old, _, decodeErr := config.Decode[config.Document]([]byte(data[config.HotKey]))
	if decodeErr != nil {
		old = config.Document{} // absent, or edited beyond reading: written anew
	}
	if err := r.readKeySets(ctx, s); err != nil {
		return err
	}
	next, err := s.nextDocument(old, data[config.HotKey])
	if err != nil {
		return err
	}
	want, err := resources.ConfigMap(s.sg, s.plan, next, s.olderColds(data))
	if err != nil {
		return err
	}
	start := s.now
	result, err := settle(ctx, r, s, live, exists, want, corev1ac.ExtractConfigMap)
	s.document = next
	if result == blocked {
		s.document = old
	}
	if p := &s.memory.push; p.serial != s.document.Serial && s.document.Serial > 0 {
		*p = push{serial: s.document.Serial, start: start, fresh: result == written}
	}
	return err
}

// liveConfig reads the ConfigMap, and past the cache when the cache is behind
// our own last write: serials are counted up from what is read.
func (r *Reconciler) liveConfig(ctx context.Context, s *scope) (*corev1.ConfigMap, bool, error) {
	key := client.ObjectKey{Namespace: s.sg.Namespace, Name: resources.ConfigName(s.sg.Name)}
	live := &corev1.ConfigMap{}
	exists, err := r.find(ctx, key, live)
	known, isKnown := s.memory.children["ConfigMap "+key.Name]
	if err == nil && exists && isKnown && older(live.ResourceVersion, known.resourceVersion) {
		live = &corev1.ConfigMap{}
		err = client.IgnoreNotFound(r.Live.Get(ctx, key, live))
		exists = err == nil && live.UID != ""
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading ConfigMap %s: %w", key.Name, err)
	}
	return live, exists, nil
}

// nextDocument is the document that pods shall run: the old one, or one with a
// higher serial when anything in it is to change. The serial outlives the
// ConfigMap in status, since pods ignore a document with a lower one than they
// run.
func (s *scope) nextDocument(old config.Document, oldText string) (config.Document, error) {
	last := max(old.Serial, s.memory.push.serial)
	if c := s.sg.Status.Config; c != nil {
		last = max(last, c.Serial)
	}
	next := s.content(&old)
	if s.unready = s.waitsForKeys(&old); s.unready {
		next = s.unchanged(&old)
	}
	s.standBy(&next, &old)
	next.Serial, next.KeySets = last, s.keySetsFor(&next, &old)
	text, err := config.Encode(next)
	if err != nil {
		return config.Document{}, err
	}
	if string(text) != oldText {
		next.Serial++
	}
	return next, nil
}

// content is the document without its serial: what shall run on all pods, or
// what runs so far and beside it what is on trial, with those that try it.
func (s *scope) content(old *config.Document) config.Document {
	wanted := config.Revision{Name: s.plan.Revision, Hot: s.withoutFlags(s.plan.Revision, s.plan.Hot)}
	if s.base == nil {
		wanted.Hot = s.fit(wanted.Hot, s.deployments)
		return config.Document{Stable: wanted}
	}
	var own, others []appsv1.Deployment
	for _, d := range s.deployments {
		if d.Labels[resources.LabelTemplateHash] == s.plan.TemplateHash {
			own = append(own, d)
		} else {
			others = append(others, d)
		}
	}
	next := config.Document{Stable: config.Revision{Name: s.base.plan.Revision}}
	switch {
	case s.other() != "", s.decision.Percent == 100:
		next.CandidateTemplates = []string{s.plan.TemplateHash}
	default:
		next.CandidatePods = s.chosen(old)
		others = s.deployments
	}
	wanted.Hot = s.fit(wanted.Hot, own)
	next.Candidate, next.Stable.Hot = wanted, s.fit(s.withoutFlags(s.base.plan.Revision, s.base.plan.Hot), others)
	return next
}

// chosen are the pods that a hot change is tried on: the same ones as before,
// as long as they are there.
func (s *scope) chosen(old *config.Document) []string {
	var names, kept []string
	for i := range s.pods {
		p := &s.pods[i]
		if p.DeletionTimestamp.IsZero() && p.Labels[resources.LabelTemplateHash] == s.plan.TemplateHash {
			names = append(names, p.Name)
		}
	}
	if old.Candidate.Name == s.plan.Revision {
		kept = old.CandidatePods
	}
	return rollout.Choose(names, kept, rollout.Share(s.decision.Percent, max(len(names), int(s.replicas()))))
}

// fit takes overrides in and fits the settings to the smallest of the templates
// that run them: when a change raises both the memory limit and
// replay.maxBytes, the pods that serve until the new ones are ready have the
// old limit.
func (s *scope) fit(hot config.Hot, deployments []appsv1.Deployment) config.Hot {
	if o := s.sg.Spec.Override; o != nil {
		hot = resources.Disable(hot, o.DisabledFeatures)
	}
	for i := range deployments {
		for _, c := range deployments[i].Spec.Template.Spec.Containers {
			if limit := resources.MemoryLimit(&c.Resources); c.Name == resources.ContainerName && limit > 0 {
				hot.Replay.MaxBytes = min(hot.Replay.MaxBytes, resources.MaxReplayBytes(limit))
			}
		}
	}
	return hot
}

// olderColds are the cold documents of live templates other than the wanted
// one, as they stand.
func (s *scope) olderColds(data map[string]string) map[string]string {
	colds := map[string]string{}
	for i := range s.deployments {
		key := config.ColdKey(s.deployments[i].Labels[resources.LabelTemplateHash])
		if text, ok := data[key]; ok {
			colds[key] = text
		}
	}
	return colds
}
