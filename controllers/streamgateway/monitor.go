package streamgateway

import (
	"context"

	"github.com/streamgateway/streamgateway/controllers/resources"
)

// +kubebuilder:rbac:groups=monitoring.coreos.com,resources=servicemonitors,verbs=get;create;patch;delete

// monitor has pods scraped by a Prometheus operator, where there is one. Where
// there is none, that is told once, and is no fault of the gateway.
func (r *Reconciler) monitor(ctx context.Context, s *scope) error {
	before := s.memory.monitor
	_, err := r.ensureGuest(ctx, s, resources.MonitorKind(), resources.Monitor(s.sg), &s.memory.monitor)
	if s.memory.monitor == guestHomeless && before != guestHomeless {
		r.warning(s, "ServiceMonitorUnavailable", actionApply,
			"observability.serviceMonitor is Enabled, but the kind ServiceMonitor of monitoring.coreos.com/v1 is not installed; it is made once that is")
	}
	return err
}
