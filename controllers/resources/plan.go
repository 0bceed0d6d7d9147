package resources

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/config"
)

const (
	// hashVersion names what the revision hash is taken over. A spec keeps its
	// revision for as long as this stands.
	hashVersion = "h1"
	// RenderVersion names how a pod template is rendered today. Raise it in the
	// same change that alters what podTemplate gives for an unchanged spec, and
	// keep the older form for Plans of the versions before: pods that are there
	// are rendered as they were, so that an upgrade of the operator restarts
	// none of them. The golden files show when it happens.
	//
	// 2: with the Secret that all pods share.
	RenderVersion = 2

	revisionLength     = 10
	templateHashLength = 8
)

// Plan is all that follows from a spec, before it is laid out in objects.
type Plan struct {
	Revision     string // equal for equal hot and restart fields
	TemplateHash string // equal for equal pods
	Image        string
	Cold         config.Cold
	Hot          config.Hot
	// StatusInterval is the least time between two writes of status for its
	// numbers alone.
	StatusInterval time.Duration
	// RenderVersion is how its pods are rendered, 1 to RenderVersion.
	RenderVersion int
	// Fault is why spec.gateway.template.patch cannot be followed; nil: it can,
	// or there is none. No pods may be made of a plan with a fault: it describes
	// them without the patch.
	Fault *Fault
}

// NewPlan works a spec out. builtInImage is what runs when the spec names no
// image; it is in the template hash and not in the revision, which belongs to
// the spec alone.
func NewPlan(sg *v1alpha1.StreamGateway, builtInImage string) (Plan, error) {
	return NewPlanAs(sg, builtInImage, RenderVersion)
}

// NewPlanAs is NewPlan with pods as an operator of another render version made
// them.
func NewPlanAs(sg *v1alpha1.StreamGateway, builtInImage string, version int) (Plan, error) {
	hot, err := Hot(&sg.Spec)
	if err != nil {
		return Plan{}, err
	}
	cold, err := Cold(sg)
	if err != nil {
		return Plan{}, err
	}
	var d durations
	p := Plan{Image: sg.Spec.Gateway.Image, Cold: cold, Hot: hot, RenderVersion: version,
		StatusInterval: d.parse("observability.statusInterval", sg.Spec.Observability.StatusInterval)}
	if d.err != nil {
		return Plan{}, d.err
	}
	if p.Image == "" {
		p.Image = builtInImage
	}
	if p.Revision, err = revision(&sg.Spec, &p); err != nil {
		return Plan{}, fmt.Errorf("hashing the revision: %w", err)
	}
	if p.TemplateHash, err = templateHash(sg, &p); err != nil {
		return Plan{}, fmt.Errorf("hashing the pod template: %w", err)
	}
	_, p.Fault = patched(plainPods(sg, &p), sg, &p)
	return p, nil
}

// revision hashes the hot and restart fields. It takes their translated form,
// so that 60s and 1m are one revision, and of the config only what differs
// from the default, so that a field declared later changes no revision until
// somebody sets it.
func revision(spec *v1alpha1.StreamGatewaySpec, p *Plan) (string, error) {
	cold, hot := config.Default()
	// The same settings are the same revision under any name.
	cold.Gateway = p.Cold.Gateway
	if Shared(p.Cold.Broker) {
		cold.Broker.SubjectPrefix = subjectPrefix(cold.Gateway.Namespace, cold.Gateway.Name)
	}
	changedHot, err := changed(p.Hot, hot)
	if err != nil {
		return "", err
	}
	changedCold, err := changed(p.Cold, cold)
	if err != nil {
		return "", err
	}
	g := spec.Gateway
	return hash(revisionLength, hashVersion, changedHot, changedCold, pods{
		Image: g.Image, ImagePullPolicy: g.ImagePullPolicy, ImagePullSecrets: g.ImagePullSecrets, Resources: g.Resources,
		Template: g.Template,
	})
}

// pods are the fields of spec.gateway that make new pods, under the names they
// have in the spec.
type pods struct {
	Image            string                       `json:"image,omitempty"`
	ImagePullPolicy  corev1.PullPolicy            `json:"imagePullPolicy,omitempty"`
	ImagePullSecrets []v1alpha1.SecretReference   `json:"imagePullSecrets,omitempty"`
	Resources        *corev1.ResourceRequirements `json:"resources,omitempty"`
	Template         *v1alpha1.PodTemplate        `json:"template,omitempty"`
}

// templateHash hashes the rendered pods and what they read at their start.
func templateHash(sg *v1alpha1.StreamGateway, p *Plan) (string, error) {
	unnamed := *p
	unnamed.TemplateHash = ""
	cold, _ := config.Default()
	changedCold, err := changed(p.Cold, cold)
	if err != nil {
		return "", err
	}
	return hash(templateHashLength, p.RenderVersion, podTemplate(sg, &unnamed), changedCold)
}

// alphabet of names: no vowels, so no words, and nothing that looks alike.
const alphabet = "bcdfghjklmnpqrstvwxz2456789"

// hash is the SHA-256 over canonical JSON (keys sorted) of its parts, its
// first bytes written in alphabet.
func hash(length int, parts ...any) (string, error) {
	sum := sha256.New()
	for _, part := range parts {
		tree, err := canonical(part)
		if err != nil {
			return "", err
		}
		text, err := json.Marshal(tree) // of maps: sorted
		if err != nil {
			return "", err
		}
		sum.Write(text)
		sum.Write([]byte{'\n'})
	}
	name := sum.Sum(nil)[:length]
	for i, b := range name {
		name[i] = alphabet[int(b)%len(alphabet)]
	}
	return string(name), nil
}

// changed is the JSON tree of value without what is equal in base.
func changed(value, base any) (any, error) {
	tree, err := canonical(value)
	if err != nil {
		return nil, err
	}
	baseTree, err := canonical(base)
	if err != nil {
		return nil, err
	}
	return without(tree, baseTree), nil
}

func without(tree, base any) any {
	fields, ok := tree.(map[string]any)
	baseFields, baseOk := base.(map[string]any)
	if !ok || !baseOk {
		return tree
	}
	left := map[string]any{}
	for name, value := range fields {
		if reflect.DeepEqual(value, baseFields[name]) {
			continue
		}
		left[name] = without(value, baseFields[name])
	}
	return left
}

func canonical(value any) (tree any, err error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return tree, json.Unmarshal(text, &tree)
}
