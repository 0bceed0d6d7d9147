package resources

import (
	"fmt"
	"maps"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// ConfigMap is the only thing that pods are told by: the numbered document
// that running pods follow, and, for each live template, what its pods read
// once at their start. colds are the cold documents of templates other than
// the plan's, by key, as they stand in the ConfigMap: they are never changed.
func ConfigMap(sg *v1alpha1.StreamGateway, p Plan, document config.Document, colds map[string]string) (*corev1ac.ConfigMapApplyConfiguration, error) {
	hot, err := config.Encode(document)
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", config.HotKey, err)
	}
	cold, err := config.Encode(p.Cold)
	if err != nil {
		return nil, fmt.Errorf("rendering the cold config: %w", err)
	}
	data := maps.Clone(colds)
	if data == nil {
		data = map[string]string{}
	}
	data[config.HotKey] = string(hot)
	data[config.ColdKey(p.TemplateHash)] = string(cold)
	return corev1ac.ConfigMap(ConfigName(sg.Name), sg.Namespace).
		WithLabels(labels(sg.Name)).
		WithOwnerReferences(owner(sg)).
		WithData(data), nil
}
