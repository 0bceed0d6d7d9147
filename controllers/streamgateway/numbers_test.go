package streamgateway_test

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/report"
)

func TestChangeWhoseAuditorFindsALossIsTakenBack(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	pods := w.fleet(2)
	good := w.gateway().Status.DesiredRevision
	for i, p := range pods {
		looks := uint64(0)
		p.counts(func(r *report.Report) {
			r.Audit = &report.Audit{Checked: 1, LastProof: r.Time}
			if i == 1 && r.Revision != good {
				looks++
				r.Audit.Lost, r.Audit.LastLoss, r.Audit.Message = looks, r.Time, "events [7] were acknowledged and never came"
			}
		})
	}
	w.condition(v1alpha1.ConditionNoLossVerified, metav1.ConditionTrue, v1alpha1.ReasonVerified)
	w.patch(`{"spec":{"batching":{"maxEvents":77}}}`)
	w.condition(v1alpha1.ConditionRolledBack, metav1.ConditionTrue, v1alpha1.ReasonLossDetected)
	s := w.gateway().Status
	if r := s.Rollback; r.ToRevision != good || r.Metric != "eventsLost" || r.Observed == "" || r.Threshold != "0" {
		t.Errorf("rollback is %+v", r)
	}
	w.eventually(func() error {
		if s := w.gateway().Status; s.ActiveRevision != good || s.Rollback.CompletedTime == nil {
			return fmt.Errorf("active is %s, %+v", s.ActiveRevision, s.Rollback)
		}
		return nil
	})
	took := s.Rollback.DetectedTime.Sub(must(get[v1alpha1.StreamGateway](w, "prices")).Status.Rollout.StartTime.Time)
	t.Logf("found within %s", took.Round(time.Second))
	w.event("Warning", "RollbackStarted", "eventsLost")
}
