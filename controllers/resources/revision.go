package resources

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	"k8s.io/utils/ptr"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// Labels and annotations of a ControllerRevision.
const (
	LabelVerdict     = v1alpha1.Group + "/verdict"
	LabelHashVersion = v1alpha1.Group + "/hash-version"
	// AnnotationVerdict holds what is known of a revision beside its verdict,
	// as JSON.
	AnnotationVerdict = v1alpha1.Group + "/verdict-detail"
)

// Record is what a ControllerRevision keeps of a revision: all that its pods
// follow from, whatever a later operator brings along.
type Record struct {
	Spec          v1alpha1.StreamGatewaySpec `json:"spec"`  // hot and restart fields
	Image         string                     `json:"image"` // resolved when the revision was made
	TemplateHash  string                     `json:"templateHash"`
	RenderVersion int                        `json:"renderVersion"`
	// Hot and Cold are the documents as they were rendered then. They are read
	// back over today's defaults, so a field that was declared later is at its
	// default.
	Hot  json.RawMessage `json:"hot"`
	Cold json.RawMessage `json:"cold"`
}

// Broker is the log of its pods.
func (r *Record) Broker(gateway *v1alpha1.StreamGateway) config.Broker {
	then := gateway.DeepCopy()
	then.Spec.Broker = r.Spec.Broker
	return broker(then)
}

// RevisionName is the name of the ControllerRevision of a revision.
func RevisionName(gateway, revision string) string { return gateway + "-" + revision }

// NewRecord is the record, as JSON, of a plan that was made from this spec.
func NewRecord(spec *v1alpha1.StreamGatewaySpec, p Plan) ([]byte, error) {
	hot, err := config.Encode(config.Document{Stable: config.Revision{Name: p.Revision, Hot: p.Hot}})
	if err != nil {
		return nil, fmt.Errorf("recording a revision: %w", err)
	}
	cold, err := config.Encode(p.Cold)
	if err != nil {
		return nil, fmt.Errorf("recording a revision: %w", err)
	}
	return json.Marshal(Record{
		Spec: *revisioned(spec), Image: p.Image, TemplateHash: p.TemplateHash, RenderVersion: p.RenderVersion, Hot: hot, Cold: cold,
	})
}

// revisioned is a spec without the fields that are outside of revisions.
func revisioned(spec *v1alpha1.StreamGatewaySpec) *v1alpha1.StreamGatewaySpec {
	return withOutside(spec, &v1alpha1.StreamGatewaySpec{
		Gateway: &v1alpha1.Gateway{}, Listener: &v1alpha1.Listener{}, Observability: &v1alpha1.Observability{},
	})
}

// withOutside is a spec with the fields that are outside of revisions taken
// from another one.
func withOutside(spec, from *v1alpha1.StreamGatewaySpec) *v1alpha1.StreamGatewaySpec {
	out, from := spec.DeepCopy(), from.DeepCopy()
	out.Gateway.Replicas, out.Gateway.DisruptionBudget = from.Gateway.Replicas, from.Gateway.DisruptionBudget
	out.Listener.Service, out.Listener.Route = from.Listener.Service, from.Listener.Route
	out.Observability.StatusInterval, out.Observability.ServiceMonitor = from.Observability.StatusInterval, from.Observability.ServiceMonitor
	out.Rollout, out.Rollback, out.Override = from.Rollout, from.Rollback, from.Override
	return out
}

// Restore is the StreamGateway as it would be if its spec asked for the
// record's revision, with the fields that are outside of revisions as they are
// now, and the plan that follows from it.
func (r *Record) Restore(sg *v1alpha1.StreamGateway, now Plan) (*v1alpha1.StreamGateway, Plan, error) {
	document, _, err := config.Decode[config.Document](r.Hot)
	if err != nil {
		return nil, Plan{}, fmt.Errorf("restoring a revision: %w", err)
	}
	cold, _, err := config.Decode[config.Cold](r.Cold)
	if err != nil {
		return nil, Plan{}, fmt.Errorf("restoring a revision: %w", err)
	}
	restored := sg.DeepCopy()
	restored.Spec = *withOutside(&r.Spec, &sg.Spec)
	if Shared(now.Cold.Broker) && !Shared(cold.Broker) {
		// spec.gateway.replicas is meant for pods that share a log.
		restored.Spec.Gateway.Replicas = ptr.To(min(*sg.Spec.Gateway.Replicas, 1))
	}
	return restored, Plan{
		Revision: document.Stable.Name, TemplateHash: r.TemplateHash, Image: r.Image,
		Cold: cold, Hot: document.Stable.Hot, StatusInterval: now.StatusInterval, RenderVersion: max(r.RenderVersion, 1),
	}, nil
}

// ReadRecord reads the data of a ControllerRevision.
func ReadRecord(data []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("reading a revision: %w", err)
	}
	if r.Spec.Gateway == nil || r.Spec.Listener == nil || r.Spec.Observability == nil {
		return r, fmt.Errorf("reading a revision: it lacks a section")
	}
	return r, nil
}

// ControllerRevision keeps a revision and what became of it. data is a Record
// as JSON, which never changes.
func ControllerRevision(sg *v1alpha1.StreamGateway, revision string, number int64, data []byte, verdict, detail string) *appsv1ac.ControllerRevisionApplyConfiguration {
	return appsv1ac.ControllerRevision(RevisionName(sg.Name, revision), sg.Namespace).
		WithLabels(labels(sg.Name)).
		WithLabels(map[string]string{LabelVerdict: verdict, LabelHashVersion: hashVersion}).
		WithAnnotations(map[string]string{AnnotationVerdict: detail}).
		WithOwnerReferences(owner(sg)).
		WithRevision(number).
		WithData(runtime.RawExtension{Raw: data})
}
