package streamgateway

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// keySetsEvery is how old what was read of ConfigMaps with keys may be. They
// are asked for and not watched: the cache holds objects with our label only,
// and a watch of the others would hold all ConfigMaps of the cluster.
const keySetsEvery = 4 * time.Second

// keySet is what was found in a ConfigMap: keys, or why there are none.
type keySet struct {
	jwks            string
	reason, message string // of ResolvedRefs; "" = jwks is good
}

// keySets is what is remembered of ConfigMaps between passes.
type keySets struct {
	at   time.Time
	sets map[config.KeyRef]keySet
}

// readKeySets reads the ConfigMaps that settings refer to.
func (r *Reconciler) readKeySets(ctx context.Context, s *scope) error {
	m := &s.memory.keySets
	refs := resources.KeySetRefs(s.hots()...)
	known := true
	for _, ref := range refs {
		_, have := m.sets[ref]
		known = known && have
	}
	if known && s.now.Sub(m.at) < keySetsEvery {
		return nil
	}
	sets := map[config.KeyRef]keySet{}
	for _, ref := range refs {
		set, err := r.readKeySet(ctx, s.sg.Namespace, ref)
		if err != nil {
			return err
		}
		sets[ref] = set
	}
	m.at, m.sets = s.now, sets
	return nil
}

func (r *Reconciler) readKeySet(ctx context.Context, namespace string, ref config.KeyRef) (keySet, error) {
	var m corev1.ConfigMap
	err := client.IgnoreNotFound(r.Live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: ref.Name}, &m))
	if err != nil {
		return keySet{}, fmt.Errorf("reading ConfigMap %s: %w", ref.Name, err)
	}
	text, there := m.Data[ref.Key]
	if !there {
		return keySet{reason: v1alpha1.ReasonConfigMapNotFound, message: fmt.Sprintf("ConfigMap %s with the key %s is not there", ref.Name, ref.Key)}, nil
	}
	if err := resources.CheckJWKS(text); err != nil {
		return keySet{reason: v1alpha1.ReasonInvalidJWKS, message: fmt.Sprintf("ConfigMap %s, key %s: %v", ref.Name, ref.Key, err)}, nil
	}
	return keySet{jwks: text}, nil
}

// hots are the settings that pods are to run, by what is known so far.
func (s *scope) hots() []config.Hot {
	all := []config.Hot{s.plan.Hot}
	if s.base != nil {
		all = append(all, s.base.plan.Hot)
	}
	return all
}

// keySetsFor are the contents of the ConfigMaps that a document's revisions
// refer to. Where there is nothing good to read any more, pods keep what they
// were given last.
func (s *scope) keySetsFor(d, old *config.Document) []config.KeySet {
	var out []config.KeySet
	for _, ref := range resources.KeySetRefs(d.Stable.Hot, d.Candidate.Hot) {
		jwks := s.memory.keySets.sets[ref].jwks
		if jwks == "" {
			jwks = old.Keys(ref)
		}
		if jwks != "" {
			out = append(out, config.KeySet{ConfigMap: ref, JWKS: jwks})
		}
	}
	return out
}

// waitsForKeys tells whether the wanted revision is new, and refers to keys that
// nobody has: pods that ran it would turn everybody away, so they run on as
// before.
func (s *scope) waitsForKeys(old *config.Document) bool {
	if old.Serial == 0 || old.Stable.Name == s.plan.Revision || old.Candidate.Name == s.plan.Revision {
		return false
	}
	for _, ref := range resources.KeySetRefs(s.plan.Hot) {
		if s.memory.keySets.sets[ref].jwks == "" && old.Keys(ref) == "" {
			return true
		}
	}
	return false
}

// unchanged is a document of what runs so far.
func (s *scope) unchanged(old *config.Document) config.Document {
	if s.base == nil {
		return *old
	}
	return config.Document{Stable: config.Revision{Name: s.base.plan.Revision, Hot: s.fit(s.withoutFlags(s.base.plan.Revision, s.base.plan.Hot), s.deployments)}}
}

// keySetTrouble is a ConfigMap that the wanted settings refer to in vain; nil:
// none.
func (s *scope) keySetTrouble() *keySet {
	for _, ref := range resources.KeySetRefs(s.plan.Hot) {
		if set := s.memory.keySets.sets[ref]; set.reason != "" {
			return &set
		}
	}
	return nil
}
