package streamgateway

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/fleet"
	"github.com/streamgateway/streamgateway/controllers/resources"
	"github.com/streamgateway/streamgateway/controllers/rollout"
	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/report"
)

const (
	wantedTemplate = "newnewne"
	olderTemplate  = "oldoldol"
)

// serving is the scope of a gateway with one ready pod that runs what is
// wanted and is idle. Each test changes one thing about it.
func serving() *scope {
	s := newScope(&v1alpha1.StreamGateway{
		ObjectMeta: metav1.ObjectMeta{Name: "prices", Namespace: "shop", Generation: 4, ResourceVersion: "100"},
		Spec: v1alpha1.StreamGatewaySpec{
			Gateway:  &v1alpha1.Gateway{Replicas: ptr.To(int32(1))},
			Listener: &v1alpha1.Listener{Service: &v1alpha1.Service{Type: v1alpha1.ServiceClusterIP, Port: 80}},
		},
		Status: v1alpha1.StreamGatewayStatus{ActiveRevision: "before", Image: "image-before"},
	}, &memory{children: map[string]applied{}})
	s.desired = "wanted"
	s.plan = resources.Plan{Revision: "wanted", TemplateHash: wantedTemplate, Image: "image-wanted", StatusInterval: 30 * time.Second}
	s.deployments = []appsv1.Deployment{deploymentOf(wantedTemplate, 1, 1, "NewReplicaSetAvailable")}
	s.pods = []corev1.Pod{podOf(wantedTemplate, true)}
	s.document = config.Document{Serial: 7, Stable: config.Revision{Name: "wanted"}}
	s.service = &corev1.Service{}
	s.memory.push = push{serial: 7, start: s.now}
	s.summary = fleet.Summary{Pods: 1, Rated: 1, Acks: fleet.Acks{Acked: 1}}
	s.samples = []fleet.Sample{sampleOf(wantedTemplate, "wanted")}
	return s
}

// sampleOf is what the pod of a template says: it runs this revision by the
// newest document.
func sampleOf(template, revision string) fleet.Sample {
	return fleet.Sample{Newer: report.Report{Pod: "pod-" + template, Serial: 7, Revision: revision}}
}

func deploymentOf(template string, replicas, ready int32, reason string) appsv1.Deployment {
	status := corev1.ConditionTrue
	if reason == "ProgressDeadlineExceeded" {
		status = corev1.ConditionFalse
	}
	return appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Name: "prices-" + template, UID: "uid", Labels: map[string]string{resources.LabelTemplateHash: template},
		},
		Status: appsv1.DeploymentStatus{
			Replicas: replicas, UpdatedReplicas: replicas, ReadyReplicas: ready,
			Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Status: status, Reason: reason}},
		},
	}
}

func podOf(template string, ready bool) corev1.Pod {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "pod-" + template, Labels: map[string]string{resources.LabelTemplateHash: template}},
		Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}},
	}
}

// rollingOut: the pods of an older template serve, those of the wanted one are
// not ready.
func rollingOut(s *scope) {
	s.deployments = []appsv1.Deployment{
		deploymentOf(olderTemplate, 1, 1, "NewReplicaSetAvailable"), deploymentOf(wantedTemplate, 1, 0, "ReplicaSetUpdated"),
	}
	s.pods = []corev1.Pod{podOf(olderTemplate, true), podOf(wantedTemplate, false)}
	s.summary.Acks.Pending = 1
	s.samples = []fleet.Sample{sampleOf(olderTemplate, "wanted")}
}

func starting(s *scope) {
	s.sg.Status = v1alpha1.StreamGatewayStatus{}
	s.deployments = []appsv1.Deployment{deploymentOf(wantedTemplate, 1, 0, "ReplicaSetUpdated")}
	s.pods = []corev1.Pod{podOf(wantedTemplate, false)}
	s.summary, s.samples = fleet.Summary{Acks: fleet.Acks{Pending: 1}}, nil
}

// silent: the pod is asked and does not answer.
func silent(s *scope) { s.summary.Acks, s.samples = fleet.Acks{Pending: 1}, nil }

func waitingFor(reason string) func(*scope) {
	return func(s *scope) {
		starting(s)
		s.pods[0].Status.ContainerStatuses = []corev1.ContainerStatus{{
			Image: "image-wanted", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error"}},
		}}
	}
}

func serverSaid(reason, message string) func(*scope) {
	return func(s *scope) { s.problem(reason, message) }
}

// forTheDeadline says that the trouble has lasted for five minutes.
func forTheDeadline(reason string, change func(*scope)) func(*scope) {
	return func(s *scope) {
		change(s)
		s.sg.Status.Conditions = append(s.sg.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionProgrammed, Status: metav1.ConditionFalse, Reason: reason,
			LastTransitionTime: metav1.NewTime(s.now.Add(-s.progressDeadline())),
		})
	}
}

func traffic(change func(*fleet.Summary)) func(*scope) {
	return func(s *scope) {
		s.summary.Connections, s.summary.Offered = 100, 1000
		change(&s.summary)
		if b := rollout.Judge(&s.summary, s.thresholds()); b != nil { // seen once before
			s.memory.breach = b.Reason
		}
		s.memory.breaches = 1
	}
}

func TestFailedPassDoesNotMoveTheObservedGeneration(t *testing.T) {
	s := serving()
	s.sg.Status.ObservedGeneration = 3
	s.err = errors.New("the server is away")
	status := s.status()
	if status.ObservedGeneration != 3 || status.Conditions[0].ObservedGeneration != 3 {
		t.Errorf("observed %d, the condition %d; want 3", status.ObservedGeneration, status.Conditions[0].ObservedGeneration)
	}
}

func TestActiveRevisionMovesOnceTheWantedPodsServeAndRunIt(t *testing.T) {
	cases := map[string]struct {
		change func(*scope)
		want   string
	}{
		"the pods serve and run it":         {func(*scope) {}, "wanted"},
		"the wanted pods are not ready":     {rollingOut, "before"},
		"they run another document":         {silent, "before"},
		"the document could not be written": {func(s *scope) { s.document.Stable.Name = "before" }, "before"},
		"there are no pods, and shall be none": {func(s *scope) {
			s.sg.Spec.Gateway.Replicas = ptr.To(int32(0))
			s.pods = nil
			s.summary = fleet.Summary{}
		}, "wanted"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := serving()
			c.change(s)
			if got := s.status(); got.ActiveRevision != c.want || got.Image != "image-"+c.want || got.DesiredRevision != "wanted" {
				t.Errorf("active %s with %s, desired %s; want active %s", got.ActiveRevision, got.Image, got.DesiredRevision, c.want)
			}
		})
	}
}

func TestAtMostFiveRefusalsAreTold(t *testing.T) {
	s := serving()
	for i := range 9 {
		s.summary.Acks.Nacks = append(s.summary.Acks.Nacks, fleet.Nack{Pod: fmt.Sprint("pod-", i), Message: "no"})
	}
	s.summary.Acks.Nacked = 9
	if got := s.status().Config; len(got.Nacks) != maxNacks || *got.Nacked != 9 {
		t.Errorf("%d refusals told of %d", len(got.Nacks), *got.Nacked)
	}
}

func TestAddressesAreTheServiceAndItsLoadBalancer(t *testing.T) {
	s := serving()
	s.sg.Spec.Listener.Service.Port = 443
	s.service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "fd00::7"}, {Hostname: "lb.example.com"}}
	url, all := addresses(s.sg, s.service)
	want := []v1alpha1.Address{{Type: "Hostname", Value: "prices.shop.svc"}, {Type: "IPAddress", Value: "fd00::7"}, {Type: "Hostname", Value: "lb.example.com"}}
	if diff := cmp.Diff(want, all); diff != "" || url != "http://[fd00::7]:443" {
		t.Errorf("url %s, addresses %s", url, diff)
	}
	s.sg.Spec.Listener.TLS = &v1alpha1.TLS{SecretName: "prices-tls"}
	if url, _ := addresses(s.sg, s.service); url != "https://[fd00::7]:443" {
		t.Errorf("with TLS: %s", url)
	}
	if url, all := addresses(s.sg, nil); url != "" || all != nil {
		t.Errorf("without a Service: %s, %v", url, all)
	}
}

// nextPass is the scope of the next pass, after this status was written.
func nextPass(s *scope, later time.Duration) *scope {
	next := serving()
	next.sg.Status = s.status()
	next.now = s.now.Add(later)
	next.memory = s.memory
	return next
}
