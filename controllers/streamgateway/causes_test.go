package streamgateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/fleet"
	"github.com/streamgateway/streamgateway/gateway/config"
)

// cause is one thing that is different from serving, and what status says of it.
type cause struct {
	name   string
	change func(*scope)
	want   string // conditions as Type=Status/Reason
	words  string // in the message of the first of them
}

func causesOfProgrammed() []cause {
	nacked := func(s *scope) {
		s.summary.Acks = fleet.Acks{Nacked: 1, Nacks: []fleet.Nack{{Pod: "pod-a", Message: "queue.maxBytes is too small"}}}
	}
	return []cause{
		{"all is well", func(*scope) {}, "Ready=True/Ready Accepted=True/Accepted Programmed=True/Programmed Available=True/MinimumPodsReady Healthy=True/Idle Reconciling=False/UpToDate Stalled=False/NotStalled", "serving revision wanted"},

		{"no pod has been ready yet", starting, "Ready=Unknown/Pending Programmed=Unknown/Pending Available=Unknown/Pending Healthy=Unknown/Pending Reconciling=True/NewRevision", "waiting for the pods"},
		{"nothing exists yet", func(s *scope) {
			starting(s)
			s.deployments, s.pods, s.document, s.service = nil, nil, config.Document{}, nil
		}, "Ready=Unknown/Pending Programmed=Unknown/Pending Available=Unknown/Pending", ""},
		{"new pods are on their way", rollingOut, "Ready=Unknown/RollingOut Programmed=Unknown/Pending Available=True/MinimumPodsReady Reconciling=True/NewRevision Stalled=False/NotStalled", "waiting for the pods"},
		{"a document is on its way", silent, "Ready=Unknown/RollingOut Programmed=Unknown/Pending Reconciling=True/Pushing", "0 of 1 ready pods run config 7"},

		{"an object is somebody else's", serverSaid(v1alpha1.ReasonNameCollision, "Service prices exists"), "Ready=False/NotProgrammed Programmed=False/NameCollision Stalled=True/NameCollision Reconciling=False/Stalled", "Service prices exists"},
		{"a quota is used up", serverSaid(v1alpha1.ReasonQuotaExceeded, "exceeded quota: q"), "Ready=False/NotProgrammed Programmed=False/QuotaExceeded Stalled=False/NotStalled Reconciling=True/Retrying", "exceeded quota: q"},
		{"a quota has been used up for the deadline", forTheDeadline("QuotaExceeded", serverSaid(v1alpha1.ReasonQuotaExceeded, "exceeded quota: q")), "Stalled=True/QuotaExceeded Reconciling=False/Stalled", "exceeded quota: q"},
		{"a right is missing", serverSaid(v1alpha1.ReasonForbidden, "cannot patch"), "Programmed=False/Forbidden Stalled=False/NotStalled", "cannot patch"},
		{"a right has been missing for the deadline", forTheDeadline("Forbidden", serverSaid(v1alpha1.ReasonForbidden, "cannot patch")), "Stalled=True/Forbidden", "cannot patch"},
		{"an admission plug-in says no", serverSaid(v1alpha1.ReasonAdmissionDenied, "denied the request"), "Programmed=False/AdmissionDenied Reconciling=True/Retrying", "denied the request"},
		{"an admission plug-in has said no for the deadline", forTheDeadline("AdmissionDenied", serverSaid(v1alpha1.ReasonAdmissionDenied, "denied the request")), "Stalled=True/ProgressDeadlineExceeded", "denied the request"},
		{"a quota refuses the pods", func(s *scope) {
			starting(s)
			s.deployments[0].Status.Conditions = append(s.deployments[0].Status.Conditions, appsv1.DeploymentCondition{
				Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: `pods "p" is forbidden: exceeded quota: q`})
		}, "Programmed=False/QuotaExceeded", "exceeded quota: q"},
		{"the load balancer has no address", func(s *scope) { s.sg.Spec.Listener.Service.Type = v1alpha1.ServiceLoadBalancer }, "Programmed=False/AddressNotAssigned Ready=False/NotProgrammed", "no load balancer address"},
		{"a pod refuses the document", nacked, "Programmed=False/ConfigRejected Ready=False/NotProgrammed Available=True/MinimumPodsReady Stalled=True/InvalidSpec Reconciling=False/Stalled", "pod pod-a runs on with its last good config; it refused config 7: queue.maxBytes is too small"},
		{"a ready pod is silent", func(s *scope) {
			silent(s)
			s.memory.push.start = s.now.Add(-ackTimeout - time.Second)
		}, "Programmed=False/ConfigNotAcked Ready=False/NotProgrammed", "has not acknowledged config 7"},
		{"a pod that is not ready is silent", func(s *scope) {
			rollingOut(s)
			s.memory.push.start = s.now.Add(-time.Hour)
		}, "Programmed=Unknown/Pending", ""},
	}
}

// certificate says that the wanted template answers with TLS, and what its pod
// tells of the Secret.
func certificate(reason, message string) func(*scope) {
	return func(s *scope) {
		s.plan.Cold.Listener.TLS.SecretName = "prices-tls"
		s.summary.Certificates = []fleet.Certificate{
			{Pod: "pod-" + olderTemplate, Reason: v1alpha1.ReasonSecretNotFound, Message: "of a template that nobody wants any more"},
			{Pod: "pod-" + wantedTemplate, Reason: reason, Message: message},
		}
	}
}

// shared says that the wanted template reads a log with a Secret, and what its
// pod tells of that.
func shared(reason, message string) func(*scope) {
	return func(s *scope) {
		s.plan.Cold.Broker = config.Broker{Type: config.BrokerNATS, NATS: config.NATS{CredentialsSecretRef: config.SecretRef{Name: "nats-user"}}}
		s.summary.Brokers = []fleet.Broker{
			{Pod: "pod-" + olderTemplate, Reason: v1alpha1.ReasonSecretNotFound, Message: "of a template that nobody wants any more"},
			{Pod: "pod-" + wantedTemplate, Reason: reason, Message: message},
		}
	}
}

func causesOfResolvedRefs() []cause {
	waiting := func(reason string) func(*scope) {
		return func(s *scope) {
			rollingOut(s)
			certificate(v1alpha1.ReasonSecretNotFound, "Secret prices-tls is not there")(s)
			s.deployments[1] = deploymentOf(wantedTemplate, 1, 0, reason)
		}
	}
	return []cause{
		{"the certificate is in use", certificate("", ""), "ResolvedRefs=True/ResolvedRefs Ready=True/Ready", ""},
		{"a pod has no Secret", waiting("ReplicaSetUpdated"), "ResolvedRefs=False/SecretNotFound Ready=False/RefsNotResolved Available=True/MinimumPodsReady Reconciling=True/ResolvingRefs Stalled=False/NotStalled", "pod pod-newnewne: Secret prices-tls is not there"},
		{"a pod has had no Secret for the deadline", waiting("ProgressDeadlineExceeded"), "ResolvedRefs=False/SecretNotFound Reconciling=True/ResolvingRefs Stalled=False/NotStalled", ""},
		{"the Secret came a minute ago, after the deadline", func(s *scope) {
			waiting("ProgressDeadlineExceeded")(s)
			certificate("", "")(s)
			s.sg.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionResolvedRefs, Status: metav1.ConditionTrue,
				Reason: v1alpha1.ReasonResolvedRefs, LastTransitionTime: metav1.NewTime(s.now.Add(-time.Minute))}}
		}, "ResolvedRefs=True/ResolvedRefs Reconciling=True/NewRevision Stalled=False/NotStalled", ""},
		{"the Secret came longer than a deadline ago", func(s *scope) {
			waiting("ProgressDeadlineExceeded")(s)
			certificate("", "")(s)
			s.sg.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionResolvedRefs, Status: metav1.ConditionTrue,
				Reason: v1alpha1.ReasonResolvedRefs, LastTransitionTime: metav1.NewTime(s.now.Add(-time.Hour))}}
		}, "Stalled=True/ProgressDeadlineExceeded", ""},
		{"the issuer's keys cannot be fetched", func(s *scope) {
			s.summary.KeysFaults = []fleet.KeysFault{{Pod: "pod-" + wantedTemplate, Message: "fetching the key set: the answer is 503; redirects are not followed"}}
		}, "ResolvedRefs=False/InvalidJWKS Ready=False/RefsNotResolved Available=True/MinimumPodsReady Reconciling=False/UpToDate", "the answer is 503"},
		{"a serving pod's certificate has expired", certificate(v1alpha1.ReasonInvalidCertificate, "Secret prices-tls: the certificate has expired"), "ResolvedRefs=False/InvalidCertificate Ready=False/RefsNotResolved Available=True/MinimumPodsReady Reconciling=False/UpToDate", "has expired"},
		{"no pod of the wanted template has told", func(s *scope) {
			rollingOut(s)
			certificate("", "")(s)
			s.summary.Certificates = s.summary.Certificates[:1]
		}, "ResolvedRefs=Unknown/Pending Ready=Unknown/RollingOut Reconciling=True/NewRevision", "whether it can use Secret prices-tls"},
		{"the pods are silent about what was told before", func(s *scope) {
			certificate("", "")(s)
			s.summary.Certificates = nil
			s.sg.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionResolvedRefs, Status: metav1.ConditionFalse,
				Reason: v1alpha1.ReasonSecretNotFound, Message: "as before", ObservedGeneration: s.sg.Generation}}
		}, "ResolvedRefs=False/SecretNotFound", "as before"},
		{"somebody has changed the Secret that pods share", func(s *scope) { s.summary.SharedInvalid = []string{"pod-a"} },
			"ResolvedRefs=False/InvalidCredentials Ready=False/RefsNotResolved Available=True/MinimumPodsReady Stalled=False/NotStalled", "pod pod-a cannot use Secret prices-keys"},
		{"the Secret of the log is in use", shared("", ""), "ResolvedRefs=True/ResolvedRefs Ready=True/Ready", ""},
		{"a pod has no Secret for its log", func(s *scope) {
			rollingOut(s)
			shared(v1alpha1.ReasonSecretNotFound, "Secret nats-user is not there")(s)
			s.deployments[1] = deploymentOf(wantedTemplate, 1, 0, "ProgressDeadlineExceeded")
		}, "ResolvedRefs=False/SecretNotFound Ready=False/RefsNotResolved Available=True/MinimumPodsReady Reconciling=True/ResolvingRefs Stalled=False/NotStalled", "pod pod-newnewne: Secret nats-user is not there"},
		{"a serving pod finds none of the keys", shared(v1alpha1.ReasonInvalidCredentials, "Secret nats-user has no nats.creds"),
			"ResolvedRefs=False/InvalidCredentials Ready=False/RefsNotResolved Available=True/MinimumPodsReady Reconciling=False/UpToDate", "has no nats.creds"},
		{"no wanted pod has told of its log", func(s *scope) {
			rollingOut(s)
			shared("", "")(s)
			s.summary.Brokers = s.summary.Brokers[:1]
		}, "ResolvedRefs=Unknown/Pending Ready=Unknown/RollingOut Reconciling=True/NewRevision", "whether it can use Secret nats-user"},
		{"nothing is referred to", func(*scope) {}, "ResolvedRefs=True/ResolvedRefs", ""},
	}
}

func causesOfTheOthers() []cause {
	return []cause{
		{"the pod is gone", func(s *scope) { s.pods = nil; s.summary = fleet.Summary{} }, "Available=False/NoPodsReady Ready=False/Unavailable Reconciling=True/Scaling Programmed=True/Programmed", "0/1 pods ready"},
		{"too few of many pods are ready", func(s *scope) { s.sg.Spec.Gateway.Replicas = ptr.To(int32(2)) }, "Available=False/BelowMinimum Ready=False/Unavailable", "1/2 pods ready"},
		{"the first image cannot be pulled", waitingFor("ImagePullBackOff"), "Available=False/ImagePullFailed Ready=False/Unavailable", `image "image-wanted" cannot be pulled`},
		{"the first pod crashes", waitingFor("CrashLoopBackOff"), "Available=False/PodsCrashing Ready=False/Unavailable", "exit code 2 (Error)"},
		{"no node takes the first pod", func(s *scope) {
			starting(s)
			s.pods[0].Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes"}}
		}, "Available=False/Unschedulable", "0/3 nodes"},
		{"it is scaled to zero", func(s *scope) {
			s.sg.Spec.Gateway.Replicas = ptr.To(int32(0))
			s.pods, s.summary = nil, fleet.Summary{}
			s.deployments[0] = deploymentOf(wantedTemplate, 0, 0, "NewReplicaSetAvailable")
		}, "Available=False/ScaledToZero Ready=True/Ready Reconciling=False/UpToDate", "replicas is 0"},

		{"deliveries fail", traffic(func(s *fleet.Summary) { s.ErrorPercent = 2 }), "Healthy=False/ErrorRateHigh Ready=False/Unhealthy", "more than 1 %"},
		{"events are dropped", traffic(func(s *fleet.Summary) { s.DropPercent = 2 }), "Healthy=False/DropRateHigh", "skipped"},
		{"deliveries are late", traffic(func(s *fleet.Summary) { s.LatencyP99 = 2 * time.Second }), "Healthy=False/LatencyHigh", "over 1s"},
		{"pages get their events late", func(s *scope) {
			s.sg.Spec.Rollout = &v1alpha1.Rollout{Analysis: &v1alpha1.Analysis{Thresholds: &v1alpha1.Thresholds{MaxBrowserP95: "2s"}}}
			traffic(func(s *fleet.Summary) { s.BrowserP95, s.BrowserReports = 3*time.Second, 20 })(s)
		}, "Healthy=False/BrowserLatencyHigh Ready=False/Unhealthy", "more than 5 % of pages report that more than 5 % of their events took over 2s"},
		{"clients lag", traffic(func(s *fleet.Summary) { s.QueuePercent = 95 }), "Healthy=False/QueueFull", "90 %"},
		{"streams end unasked", traffic(func(s *fleet.Summary) { s.ReconnectsPerMinute = 30 }), "Healthy=False/ReconnectStorm", "20 %"},
		{"the log has no room", traffic(func(s *fleet.Summary) { s.BrokerDown, s.BrokerFull = []string{"pod-a"}, []string{"pod-a"} }), "Healthy=False/BrokerStorageFull Ready=False/Unhealthy", "the log of pod-a has no room"},
		{"the log fails", traffic(func(s *fleet.Summary) { s.BrokerDown, s.ErrorPercent = []string{"pod-a"}, 50 }), "Healthy=False/BrokerUnavailable Ready=False/Unhealthy", "the log of pod-a fails"},
		{"the replay buffer is too small", traffic(func(s *fleet.Summary) { s.ShortReplay = []string{"pod-a"} }), "Healthy=False/ReplayWindowShort", "pod-a keeps events for less than replay.ttl"},
		{"there is traffic", traffic(func(*fleet.Summary) {}), "Healthy=True/WithinThresholds", ""},
		{"there is little traffic", traffic(func(s *fleet.Summary) { s.Offered, s.ErrorPercent = 50, 100 }), "Healthy=Unknown/InsufficientTraffic Ready=True/Ready", "fewer than 100"},
		{"ready pods have not answered", func(s *scope) {
			s.summary = fleet.Summary{Acks: fleet.Acks{Pending: 1}}
			s.memory.reportTime = s.now.Add(-staleAfter - time.Second)
		}, "Healthy=Unknown/MetricsStale", "no pod"},

		{"a pod is too old for a setting", func(s *scope) {
			s.plan.Hot.Queue.MaxEvents = 7
			s.samples[0].Newer.Version, s.samples[0].Newer.UnknownFields = "0.9.0", []string{"stable.hot.queue.maxEvents", "stable.hot.queue.maxLag"}
			_, hot := config.Default()
			s.plan.Hot.Queue.MaxLag = hot.Queue.MaxLag
		}, "Accepted=False/UnsupportedByEngine Ready=False/NotAccepted Stalled=True/InvalidSpec Available=True/MinimumPodsReady", "version 0.9.0, does not know queue.maxEvents and runs without"},
		{"a pod of the revision before is too old for a setting", func(s *scope) {
			s.plan.Hot.Queue.MaxEvents = 7
			s.samples[0].Newer.Revision, s.samples[0].Newer.UnknownFields = "before", []string{"stable.hot.queue.maxEvents"}
		}, "Accepted=True/Accepted", ""},
		{"the deadline has passed", func(s *scope) {
			rollingOut(s)
			s.deployments[1] = deploymentOf(wantedTemplate, 1, 0, "ProgressDeadlineExceeded")
		}, "Stalled=True/ProgressDeadlineExceeded Ready=False/Stalled Reconciling=False/Stalled Available=True/MinimumPodsReady", "no progress for 5m0s"},
		{"the API server fails again and again", func(s *scope) { s.err = errors.New("the server is away") }, "Reconciling=True/Retrying", "the server is away"},
		{"pods end", func(s *scope) {
			ending := podOf(olderTemplate, true)
			ending.DeletionTimestamp = &metav1.Time{Time: s.now}
			s.pods, s.leaving = append(s.pods, ending), []corev1.Pod{ending}
		}, "Reconciling=True/Draining Ready=True/Ready", "pods send their clients on: 1, of these ending: 1"},
		{"a pod stands by with clients", func(s *scope) { s.summary.Draining = 1 }, "Reconciling=True/Draining Ready=True/Ready", "pods send their clients on: 1"},
	}
}

func TestEachReasonOfEachConditionHasItsCause(t *testing.T) {
	for _, c := range slices.Concat(causesOfProgrammed(), causesOfResolvedRefs(), causesOfNoLoss(), causesOfTheOthers()) {
		t.Run(c.name, func(t *testing.T) {
			s := serving()
			c.change(s)
			status := s.status()
			for i, want := range strings.Fields(c.want) {
				kind, rest, _ := strings.Cut(want, "=")
				got := meta.FindStatusCondition(status.Conditions, kind)
				if fmt.Sprintf("%s/%s", got.Status, got.Reason) != rest {
					t.Errorf("%s is %s/%s (%s), want %s", kind, got.Status, got.Reason, got.Message, rest)
				}
				if i == 0 && !strings.Contains(got.Message, c.words) {
					t.Errorf("the message of %s is %q, want %q in it", kind, got.Message, c.words)
				}
			}
			if len(status.Conditions) != 11 {
				t.Errorf("%d conditions, want all eleven", len(status.Conditions))
			}
			if meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReconciling) && meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionStalled) {
				t.Error("Reconciling and Stalled are both True")
			}
		})
	}
}
