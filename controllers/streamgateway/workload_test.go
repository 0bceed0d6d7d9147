package streamgateway

import (
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

func TestOlderPodsStayForAsLongAsTheyAreNeeded(t *testing.T) {
	const done, never, failed = "NewReplicaSetAvailable", "ReplicaSetUpdated", "ProgressDeadlineExceeded"
	cases := []struct {
		name     string
		older    appsv1.Deployment
		wanted   appsv1.Deployment
		replicas int32
		retired  bool
		serving  string
	}{
		{"the wanted pods are on their way", deploymentOf(olderTemplate, 1, 1, done), deploymentOf(wantedTemplate, 1, 0, never), 1, false, olderTemplate},
		{"the wanted pods have failed", deploymentOf(olderTemplate, 1, 1, done), deploymentOf(wantedTemplate, 1, 0, failed), 1, false, olderTemplate},
		{"the wanted pods are ready", deploymentOf(olderTemplate, 1, 1, done), deploymentOf(wantedTemplate, 1, 1, done), 1, true, wantedTemplate},
		{"the older pod is not ready just now", deploymentOf(olderTemplate, 1, 0, done), deploymentOf(wantedTemplate, 1, 0, never), 1, false, olderTemplate},
		{"the older pods never were ready", deploymentOf(olderTemplate, 1, 0, failed), deploymentOf(wantedTemplate, 1, 0, never), 1, true, wantedTemplate},
		{"there shall be no pods", deploymentOf(olderTemplate, 1, 1, done), deploymentOf(wantedTemplate, 0, 0, done), 0, true, wantedTemplate},
		{"the wanted pods are more than they shall be", deploymentOf(olderTemplate, 1, 1, done), deploymentOf(wantedTemplate, 2, 2, never), 1, false, olderTemplate},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := serving()
			s.deployments = []appsv1.Deployment{c.older, c.wanted}
			*s.sg.Spec.Gateway.Replicas = c.replicas
			gone := s.retired(&c.wanted)
			if got := len(gone) > 0; got != c.retired || got && gone[0].Name != c.older.Name {
				t.Errorf("retired %v, want %v", gone, c.retired)
			}
			if c.retired {
				s.deployments = s.deployments[1:]
			}
			if got := s.servingTemplate(); got != c.serving {
				t.Errorf("%s serves, want %s", got, c.serving)
			}
		})
	}
}

func TestStatusOfAnOlderGenerationDoesNotMakeADeploymentComplete(t *testing.T) {
	d := deploymentOf(wantedTemplate, 1, 1, "NewReplicaSetAvailable")
	d.Generation, d.Status.ObservedGeneration = 2, 1
	if complete(&d, 1) {
		t.Error("it is complete")
	}
}

func TestTroubleIsThatOfPodsThatShouldComeUp(t *testing.T) {
	pod := func(ready bool, c corev1.ContainerStatus) corev1.Pod {
		p := podOf(wantedTemplate, ready)
		p.Status.ContainerStatuses = []corev1.ContainerStatus{c}
		return p
	}
	waiting := func(reason string) corev1.ContainerStatus {
		return corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "because"}}}
	}
	ending := pod(false, waiting("ImagePullBackOff"))
	ending.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	ended := corev1.ContainerStatus{RestartCount: 2, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}}}
	startError := waiting("RunContainerError")
	startError.RestartCount = 2
	startError.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 128, Reason: "StartError", Message: "no such file"}
	cases := map[string]struct {
		pod           corev1.Pod
		reason, words string
	}{
		"it is being made":                          {pod(false, waiting("ContainerCreating")), "", ""},
		"it has ended once, and is not started yet": {pod(false, corev1.ContainerStatus{State: ended.State}), "", ""},
		"it has ended twice, and is not started yet": {
			pod(false, corev1.ContainerStatus{RestartCount: 1, State: ended.State}),
			v1alpha1.ReasonPodsCrashing, "exit code 137 (OOMKilled)",
		},
		"it has ended once":                   {pod(false, corev1.ContainerStatus{RestartCount: 1}), "", ""},
		"it has ended twice":                  {pod(false, ended), v1alpha1.ReasonPodsCrashing, "exit code 137 (OOMKilled)"},
		"it has ended often and is ready now": {pod(true, corev1.ContainerStatus{RestartCount: 9}), "", ""},
		"it backs off":                        {pod(false, waiting("CrashLoopBackOff")), v1alpha1.ReasonPodsCrashing, "keeps ending"},
		"its container cannot be started":     {pod(false, startError), v1alpha1.ReasonPodsCrashing, "(StartError): no such file"},
		"its container cannot be made":        {pod(false, waiting("CreateContainerConfigError")), v1alpha1.ReasonPodsCrashing, "because"},
		"its image has no valid name":         {pod(false, waiting("InvalidImageName")), v1alpha1.ReasonImagePullFailed, "cannot be pulled"},
		"it is on its way out":                {ending, "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			reason, message := trouble([]corev1.Pod{c.pod})
			if reason != c.reason || !strings.Contains(message, c.words) {
				t.Errorf("got %q, %q; want %q with %q", reason, message, c.reason, c.words)
			}
		})
	}
}

func TestMissingReviewersAreToldOncePerGateway(t *testing.T) {
	recorder := events.NewFakeRecorder(10)
	r := &reviewers{recorder: recorder}
	gateways := make([]v1alpha1.StreamGateway, 2)
	for range 3 {
		r.tell(gateways, errors.New("the binding is missing"))
	}
	if n := len(recorder.Events); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
	if e := <-recorder.Events; !strings.Contains(e, "Warning ApplyFailed") || !strings.Contains(e, "the binding is missing") {
		t.Errorf("the event is %q", e)
	}
	r.tell(gateways, nil)
	r.tell(gateways, errors.New("the binding is missing"))
	if n := len(recorder.Events); n != 3 {
		t.Errorf("%d more events after it healed and failed again, want 2", n-1)
	}
}
