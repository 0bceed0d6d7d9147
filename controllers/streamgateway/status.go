package streamgateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	apply "github.com/streamgateway/streamgateway/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
)

const (
	maxNacks = 5 // in status
	// writeInterval is the least time between two writes of one status.
	writeInterval = time.Second
	// quietFailures are how many passes in a row may fail before status says
	// so: conflicts and short outages mend themselves.
	quietFailures = 3
)

// status is what the scope amounts to: a fold that reads nothing from the
// cluster.
func (s *scope) status() v1alpha1.StreamGatewayStatus {
	before := s.statusBefore()
	after := *before.DeepCopy()
	after.DesiredRevision = s.desired
	s.revisionStatus(&after, before)
	if active := s.active(); active != nil {
		after.ActiveRevision, after.Image = active.Revision, active.Image
	}
	after.Selector = labels.Set(resources.Selector(s.sg.Name)).String()
	after.Pods = s.podsStatus()
	after.Replicas = ptr.To(*after.Pods.Current - s.standing()) // an autoscaler must not count who takes no part
	after.Config = s.configStatus()
	after.Features = s.features()
	after.URL, after.Addresses = addresses(s.sg, s.service)
	s.routeAddresses(&after)
	after.Metrics = s.metrics(before.Metrics)
	s.conditions(&after)
	if !s.failed() {
		after.ObservedGeneration = s.sg.Generation
	}
	if !s.lifecycleChanged(before, &after) && !s.metricsDue(before) || onlyProved(before, &after) {
		return *before
	}
	return after
}

// lifecycleChanged tells whether anything but numbers has changed. Healthy
// follows the numbers, and so counts as one until it turns False or back.
func (s *scope) lifecycleChanged(before, after *v1alpha1.StreamGatewayStatus) bool {
	b, a := before.DeepCopy(), after.DeepCopy()
	b.Metrics, a.Metrics = nil, nil
	sameProof(b, a)
	healthBefore := meta.FindStatusCondition(b.Conditions, v1alpha1.ConditionHealthy)
	healthAfter := meta.FindStatusCondition(a.Conditions, v1alpha1.ConditionHealthy)
	if healthBefore != nil && judged(healthBefore) && judged(healthAfter) &&
		healthBefore.ObservedGeneration == healthAfter.ObservedGeneration {
		*healthAfter = *healthBefore
	}
	return !equality.Semantic.DeepEqual(b, a)
}

// judged: within bounds as far as one can tell.
func judged(c *metav1.Condition) bool {
	return c.Status != metav1.ConditionFalse && c.Reason != v1alpha1.ReasonPending && c.Reason != v1alpha1.ReasonMetricsStale
}

// metricsDue tells whether status may be written for its numbers alone.
func (s *scope) metricsDue(before *v1alpha1.StreamGatewayStatus) bool {
	return before.Metrics == nil || before.Metrics.SampledTime == nil ||
		s.now.Sub(before.Metrics.SampledTime.Time) >= s.plan.StatusInterval
}

// statusBefore is the status as written last, which the cache may not hold yet.
func (s *scope) statusBefore() *v1alpha1.StreamGatewayStatus {
	if m := s.memory; m.status != nil && older(s.sg.ResourceVersion, m.statusRV) {
		return m.status
	}
	return &s.sg.Status
}

func (s *scope) before(condition string) *metav1.Condition {
	return meta.FindStatusCondition(s.statusBefore().Conditions, condition)
}

// active is the plan that most pods run, nil if nobody can tell: of the wanted
// revision once its template serves, or of the one that it is tried beside.
func (s *scope) active() *resources.Plan {
	if s.replicas() == 0 {
		if s.serves() && s.document.Newest() == s.plan.Revision {
			return &s.plan
		}
		return nil
	}
	wanted, ready := s.wanted(), map[string]bool{}
	for i := range s.pods {
		ready[s.pods[i].Name] = isReady(&s.pods[i])
	}
	most := func(revision string) bool {
		n := 0
		for _, sample := range s.samples {
			if r := &sample.Newer; ready[r.Pod] && r.Revision == revision && wanted.Acked(r) {
				n++
			}
		}
		return n > 0 && 2*n > s.readyPods()
	}
	switch {
	case s.serves() && most(s.plan.Revision):
		return &s.plan
	case s.base != nil && most(s.base.plan.Revision):
		return &s.base.plan
	}
	return nil
}

func (s *scope) podsStatus() *v1alpha1.PodsStatus {
	var current, ready, updated int32
	for i := range s.pods {
		p := &s.pods[i]
		if !p.DeletionTimestamp.IsZero() {
			continue
		}
		current++
		if p.Labels[resources.LabelTemplateHash] == s.plan.TemplateHash {
			updated++
		}
		if isReady(p) {
			ready++
		}
	}
	return &v1alpha1.PodsStatus{
		Desired: ptr.To(s.replicas()), Current: &current, Ready: &ready, Updated: &updated, Draining: ptr.To(s.draining()),
		Summary: fmt.Sprintf("%d/%d", ready, s.replicas()),
	}
}

func (s *scope) configStatus() *v1alpha1.ConfigStatus {
	if s.document.Serial == 0 {
		return nil
	}
	acks := &s.summary.Acks
	out := &v1alpha1.ConfigStatus{
		Revision: s.document.Newest(),
		Serial:   s.document.Serial,
		Acked:    ptr.To(int32(acks.Acked)),
		Nacked:   ptr.To(int32(acks.Nacked)),
		Pending:  ptr.To(int32(acks.Pending)),
	}
	for _, n := range acks.Nacks[:min(len(acks.Nacks), maxNacks)] {
		nack := v1alpha1.ConfigNack{Pod: n.Pod, Revision: n.Revision, Message: n.Message}
		if !n.Time.IsZero() {
			nack.Time = &metav1.Time{Time: n.Time.Truncate(time.Second)}
		}
		out.Nacks = append(out.Nacks, nack)
	}
	return out
}

func (s *scope) features() []v1alpha1.FeatureStatus {
	var disabled []v1alpha1.FeatureName
	if o := s.sg.Spec.Override; o != nil {
		disabled = o.DisabledFeatures
	}
	var out []v1alpha1.FeatureStatus
	off := s.flagsOff(s.plan.Revision)
	for _, f := range s.sg.Spec.Features {
		switch {
		case slices.Contains(disabled, v1alpha1.FeatureName(f.Name)):
		case slices.ContainsFunc(off, func(o flagOff) bool { return o.Name == f.Name }):
			out = append(out, v1alpha1.FeatureStatus{Name: f.Name, Mode: v1alpha1.FeatureDisabled, Source: v1alpha1.FeatureSourceRollback})
		default:
			out = append(out, v1alpha1.FeatureStatus{Name: f.Name, Mode: f.Mode, Percent: f.Percent, Source: v1alpha1.FeatureSourceSpec})
		}
	}
	for _, name := range disabled {
		out = append(out, v1alpha1.FeatureStatus{Name: string(name), Mode: v1alpha1.FeatureDisabled, Source: v1alpha1.FeatureSourceOverride})
	}
	return out
}

// addresses are where clients find the gateway, the best one as a URL.
func addresses(sg *v1alpha1.StreamGateway, service *corev1.Service) (url string, all []v1alpha1.Address) {
	if service == nil {
		return "", nil
	}
	host := fmt.Sprintf("%s.%s.svc", sg.Name, sg.Namespace)
	all = append(all, v1alpha1.Address{Type: v1alpha1.AddressHostname, Value: host})
	for _, in := range service.Status.LoadBalancer.Ingress {
		a := v1alpha1.Address{Type: v1alpha1.AddressHostname, Value: in.Hostname}
		if in.Hostname == "" {
			a = v1alpha1.Address{Type: v1alpha1.AddressIP, Value: in.IP}
		}
		all = append(all, a)
	}
	if len(all) > 1 {
		host = all[1].Value
	}
	scheme := "http://"
	if sg.Spec.Listener.TLS != nil {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, strconv.Itoa(int(sg.Spec.Listener.Service.Port))), all
}

// +kubebuilder:rbac:groups=streamgateway.io,resources=streamgateways/status,verbs=patch

// writeStatus is the only place that writes status. It writes when something
// has changed, and tells of what has by events.
func (r *Reconciler) writeStatus(ctx context.Context, s *scope, err error) error {
	s.err = err
	if err == nil {
		s.memory.failures = 0
	} else if s.memory.failures++; s.memory.failures <= quietFailures {
		return nil
	}
	r.announceLate(s)
	before, after := *s.statusBefore(), s.status()
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	if since := s.now.Sub(s.memory.statusTime); since < writeInterval {
		s.lookAgain(writeInterval - since)
		return nil
	}
	version, err := r.applyStatus(ctx, s.sg, &after)
	if err != nil {
		return client.IgnoreNotFound(err) // deleted meanwhile: nobody is left to tell
	}
	s.memory.status, s.memory.statusRV, s.memory.statusTime = &after, version, s.now
	r.announce(s, &before, &after)
	return nil
}

// writeDeleting says that the StreamGateway is on its way out.
func (r *Reconciler) writeDeleting(ctx context.Context, s *scope) error {
	after := s.statusBefore().DeepCopy()
	changed := meta.SetStatusCondition(&after.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonDeleting,
		Message: "waiting for finalizers", ObservedGeneration: s.sg.Generation,
	})
	if !changed {
		return nil
	}
	version, err := r.applyStatus(ctx, s.sg, after)
	if err != nil {
		return client.IgnoreNotFound(fmt.Errorf("writing status: %w", err))
	}
	s.memory.status, s.memory.statusRV = after, version
	return nil
}

func (r *Reconciler) applyStatus(ctx context.Context, sg *v1alpha1.StreamGateway, status *v1alpha1.StreamGatewayStatus) (resourceVersion string, err error) {
	text, err := json.Marshal(status)
	if err != nil {
		return "", err
	}
	configuration := apply.StreamGatewayStatus()
	if err := json.Unmarshal(text, configuration); err != nil {
		return "", err
	}
	want := apply.StreamGateway(sg.Name, sg.Namespace).WithUID(sg.UID).WithStatus(configuration)
	if err := r.Status().Apply(ctx, want, client.FieldOwner(statusOwner), client.ForceOwnership); err != nil {
		return "", err
	}
	return resourceVersionOf(want), nil
}
