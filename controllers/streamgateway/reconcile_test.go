package streamgateway_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
)

func (w *world) events() ([]eventsv1.Event, error) {
	var list eventsv1.EventList
	err := cluster.List(w.Context(), &list, client.InNamespace(w.namespace))
	return slices.DeleteFunc(list.Items, func(e eventsv1.Event) bool {
		return e.Regarding.Kind != "StreamGateway" || e.ReportingController != "streamgateway-operator"
	}), err
}

func children(w *world) map[string]client.Object {
	d := w.deployments()
	return map[string]client.Object{
		"ServiceAccount": must(get[corev1.ServiceAccount](w, "prices-gateway")),
		"Role":           must(get[rbacv1.Role](w, "prices-gateway")),
		"RoleBinding":    must(get[rbacv1.RoleBinding](w, "prices-gateway")),
		"ConfigMap":      must(get[corev1.ConfigMap](w, "prices-config")),
		"Service":        must(get[corev1.Service](w, "prices")),
		"NetworkPolicy":  must(get[networkingv1.NetworkPolicy](w, "prices")),
		"Deployment":     &d[len(d)-1],
		"StreamGateway":  w.gateway(),
	}
}

func TestEmptySpecBecomesAServingGateway(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	sg := w.sample(v1alpha1.StreamGatewaySpec{})
	w.condition(v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonPending)
	w.condition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonNewRevision)
	w.serve(builtInImage)
	for kind, o := range children(w) {
		if owner := metav1.GetControllerOf(o); kind != "StreamGateway" && (owner == nil || owner.UID != sg.UID || owner.BlockOwnerDeletion == nil) {
			t.Errorf("%s is not owned: %v", kind, o.GetOwnerReferences())
		}
	}
	w.eventually(func() error {
		s := w.gateway().Status
		got := fmt.Sprintln(s.ActiveRevision == s.DesiredRevision, s.Image, s.URL, s.Selector, *s.Replicas, s.Pods.Summary,
			s.Config.Serial, *s.Config.Acked, *s.Config.Pending, s.Metrics != nil && *s.Metrics.SampledPods == 1, s.ObservedGeneration)
		want := fmt.Sprintln(true, builtInImage, "http://prices."+w.namespace+".svc:80",
			"streamgateway.io/component=gateway,streamgateway.io/name=prices", 1, "1/1", 1, 1, 0, true, 1)
		if got != want {
			return fmt.Errorf("status is\n%swant\n%s", got, want)
		}
		return nil
	})
	w.condition(v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	w.condition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonMinimumPodsReady)
	w.condition(v1alpha1.ConditionHealthy, metav1.ConditionTrue, v1alpha1.ReasonIdle)
	w.condition(v1alpha1.ConditionReconciling, metav1.ConditionFalse, v1alpha1.ReasonUpToDate)
	w.event("Normal", "RolloutStarted", builtInImage)
	w.event("Normal", "RevisionPromoted", "is live")
}

func TestSteadyStateSendsNoRequestAndWritesNothing(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	w.serve(builtInImage)
	w.condition(v1alpha1.ConditionHealthy, metav1.ConditionTrue, v1alpha1.ReasonIdle)
	w.event("Normal", "RevisionPromoted", "is live")
	w.eventually(func() error { // the last events are on their way
		n := len(w.requests.since(0))
		time.Sleep(3 * time.Second)
		if more := w.requests.since(n); len(more) > 0 {
			return fmt.Errorf("still sends %v", more)
		}
		return nil
	})
	before, sent := children(w), len(w.requests.since(0))
	time.Sleep(12 * time.Second) // two looks and more
	if more := w.requests.since(sent); len(more) > 0 {
		t.Errorf("the operator sent %v", more)
	}
	for kind, o := range children(w) {
		if o.GetResourceVersion() != before[kind].GetResourceVersion() {
			t.Errorf("%s was written to", kind)
		}
	}
}

func TestDriftIsRepairedAndWhatOthersSetIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	d, _ := w.serve(builtInImage)
	ctx := t.Context()
	merge := func(o client.Object, patch string) {
		t.Helper()
		if err := cluster.Patch(ctx, o, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
			t.Fatal(err)
		}
	}
	mine := `{"metadata":{"labels":{"team":"pricing"},"annotations":{"note":"mine"}}}`
	for kind, o := range children(w) {
		if kind != "StreamGateway" {
			merge(o, mine)
		}
	}
	merge(must(get[corev1.Service](w, "prices")), `{"spec":{"sessionAffinity":"ClientIP"}}`)
	merge(d, `{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":1}}}}`)
	merge(must(get[corev1.ServiceAccount](w, "prices-gateway")), `{"metadata":{"labels":{"streamgateway.io/component":null}}}`)
	merge(must(get[rbacv1.Role](w, "prices-gateway")), `{"rules":[{"apiGroups":[""],"resources":["secrets"],"verbs":["get"]}]}`)
	merge(must(get[networkingv1.NetworkPolicy](w, "prices")), `{"spec":{"ingress":[{}]}}`)
	merge(must(get[corev1.ConfigMap](w, "prices-config")), `{"data":{"hot.json":"{}"}}`)
	if err := cluster.Delete(ctx, must(get[rbacv1.RoleBinding](w, "prices-gateway"))); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		if _, err := get[rbacv1.RoleBinding](w, "prices-gateway"); err != nil {
			return err
		}
		after := children(w)
		switch {
		case *after["Deployment"].(*appsv1.Deployment).Spec.Template.Spec.TerminationGracePeriodSeconds != 45:
			return fmt.Errorf("the Deployment's template is still changed")
		case after["ServiceAccount"].GetLabels()[resources.LabelComponent] == "":
			return fmt.Errorf("the ServiceAccount's label is still gone")
		case after["Role"].(*rbacv1.Role).Rules[0].Resources[0] != "configmaps":
			return fmt.Errorf("the Role is still changed")
		case len(after["NetworkPolicy"].(*networkingv1.NetworkPolicy).Spec.Ingress) != 2:
			return fmt.Errorf("the NetworkPolicy is still changed")
		case !strings.Contains(after["ConfigMap"].(*corev1.ConfigMap).Data["hot.json"], `"serial":2`):
			return fmt.Errorf("the ConfigMap is still changed: %s", after["ConfigMap"].(*corev1.ConfigMap).Data["hot.json"])
		}
		return nil
	})
	for kind, o := range children(w) {
		if kind != "StreamGateway" && kind != "RoleBinding" && (o.GetLabels()["team"] != "pricing" || o.GetAnnotations()["note"] != "mine") {
			t.Errorf("somebody's label and annotation on %s are gone", kind)
		}
	}
	if s := must(get[corev1.Service](w, "prices")); s.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		t.Error("a field of the Service that the operator does not set was changed back")
	}
	for _, name := range []string{"Deployment " + d.Name, "ServiceAccount prices-gateway", "Role prices-gateway", "RoleBinding prices-gateway", "ConfigMap prices-config", "NetworkPolicy prices"} {
		w.event("Normal", "DriftCorrected", name)
	}
}

func TestForeignObjectIsNeverAdopted(t *testing.T) {
	w := newWorld(t)
	foreign := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "prices", Labels: map[string]string{"whose": "somebodys"}},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1234}}},
	}
	w.create(foreign)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	c := w.condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonNameCollision)
	if c.Message != "Service prices exists and is not controlled by this StreamGateway" {
		t.Errorf("the message is %q", c.Message)
	}
	w.condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonNameCollision)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNotProgrammed)
	w.event("Warning", "NameCollision", "Service prices exists")
	if now := must(get[corev1.Service](w, "prices")); now.ResourceVersion != foreign.ResourceVersion {
		t.Error("the foreign Service was written to")
	}
	// It heals without anybody touching the StreamGateway.
	if err := cluster.Delete(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	w.serve(builtInImage)
}

func TestHotChangeReachesPodsAndStatusAndTouchesNoPod(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	d, _ := w.serve(builtInImage)
	before := w.deployments()[0]
	revision := w.gateway().Status.ActiveRevision
	w.patch(`{"spec":{"batching":{"window":"10ms"},"features":[{"name":"newTicker"}]}}`)
	w.eventually(func() error {
		s := w.gateway().Status
		if s.Config.Serial != 2 || *s.Config.Acked != 1 || s.ActiveRevision == revision || s.ActiveRevision != s.DesiredRevision {
			return fmt.Errorf("config %+v, active %s, desired %s", s.Config, s.ActiveRevision, s.DesiredRevision)
		}
		return nil
	})
	c := w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	if !strings.Contains(c.Message, w.gateway().Status.ActiveRevision) {
		t.Errorf("the message %q does not name the new revision", c.Message)
	}
	after := w.deployments()
	if len(after) != 1 || after[0].Name != d.Name || after[0].Generation != before.Generation {
		t.Errorf("the Deployment was touched: %d of them, generation %d, before %d", len(after), after[0].Generation, before.Generation)
	}
	if f := w.gateway().Status.Features; len(f) != 1 || f[0].Name != "newTicker" || f[0].Source != v1alpha1.FeatureSourceSpec {
		t.Errorf("features are %+v", f)
	}
	w.event("Normal", "ConfigPushed", "config 2 of revision")
}

func TestRefusedConfigIsToldInThePodsOwnWordsAndTheOldOneServes(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	_, n := w.serve(builtInImage)
	revision := w.gateway().Status.ActiveRevision
	// The pod's gateway is of another version, say, and cannot run this:
	spoil := func(hot string) string { return strings.Replace(hot, `"maxEvents":77`, `"maxEvents":0`, 1) }
	n.spoil.Store(&spoil)
	w.patch(`{"spec":{"batching":{"maxEvents":77}}}`)
	c := w.condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonConfigRejected)
	if !strings.Contains(c.Message, n.pod.Name) || !strings.Contains(c.Message, "maxEvents") {
		t.Errorf("the message is %q", c.Message)
	}
	w.condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNotProgrammed)
	w.condition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonMinimumPodsReady)
	w.condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonInvalidSpec)
	s := w.gateway().Status
	if s.ActiveRevision != revision || *s.Config.Nacked != 1 || *s.Config.Acked != 0 || len(s.Config.Nacks) != 1 ||
		s.Config.Nacks[0].Pod != n.pod.Name || !strings.Contains(s.Config.Nacks[0].Message, "maxEvents") {
		t.Errorf("active %s (was %s), config %+v", s.ActiveRevision, revision, s.Config)
	}
	w.event("Warning", "ConfigRejected", "maxEvents")
	// A spec that pods can run puts everything right.
	w.patch(`{"spec":{"batching":{"maxEvents":78}}}`)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	if s := w.gateway().Status; len(s.Config.Nacks) != 0 || s.Config.Serial != 3 {
		t.Errorf("config is %+v", s.Config)
	}
}

func TestSilentReadyPodIsToldAfterTenSeconds(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	d := w.deployment(builtInImage)
	w.running(w.pod(d), address(), true) // nothing listens there
	w.progress(d, 1, 1, "NewReplicaSetAvailable")
	start := time.Now()
	w.condition(v1alpha1.ConditionProgrammed, metav1.ConditionUnknown, v1alpha1.ReasonPending)
	w.within(20*time.Second, func() error {
		for _, c := range w.gateway().Status.Conditions {
			if c.Type == v1alpha1.ConditionProgrammed && c.Reason == v1alpha1.ReasonConfigNotAcked {
				return nil
			}
		}
		return fmt.Errorf("Programmed has not become ConfigNotAcked")
	})
	if took := time.Since(start); took < 8*time.Second {
		t.Errorf("told after %s", took)
	}
	w.event("Warning", "ConfigNotAcked", "has not acknowledged config 1")
	w.eventually(func() error {
		if c := w.gateway().Status.Config; *c.Pending != 1 || *c.Acked != 0 {
			return fmt.Errorf("config is %+v", c)
		}
		return nil
	})
}

func TestPodWithOurLabelsAndNoOwnerIsNotAsked(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	d, _ := w.serve(builtInImage)
	ip := address()
	listener, err := net.Listen("tcp", ip+":9090")
	if err != nil {
		t.Fatal(err)
	}
	stranger := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a stranger was asked") }))
	stranger.Listener = listener
	stranger.Start()
	defer stranger.Close()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "stranger", Labels: d.Spec.Template.Labels}, Spec: *d.Spec.Template.Spec.DeepCopy()}
	w.create(pod)
	w.running(pod, ip, true)
	time.Sleep(6 * time.Second) // longer than a round of questions to pods
	if s := w.gateway().Status; *s.Pods.Current != 1 || s.Pods.Summary != "1/1" {
		t.Errorf("the stranger was counted: %+v", s.Pods)
	}
}

func TestDeletedStreamGatewayIsGoneAtOnceAndNothingIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	sg := w.sample(v1alpha1.StreamGatewaySpec{})
	w.serve(builtInImage)
	if f := w.gateway().Finalizers; len(f) != 0 {
		t.Errorf("finalizers %v", f)
	}
	before := children(w)
	if err := cluster.Delete(t.Context(), sg); err != nil {
		t.Fatal(err)
	}
	if _, err := get[v1alpha1.StreamGateway](w, "prices"); !apierrors.IsNotFound(err) {
		t.Fatalf("it is still there: %v", err)
	}
	// There is no garbage collector here: deleting a child by hand shows that
	// nobody makes it again.
	if err := cluster.Delete(t.Context(), before["Service"]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	if _, err := get[corev1.Service](w, "prices"); !apierrors.IsNotFound(err) {
		t.Errorf("the Service was made again: %v", err)
	}
}

func TestSerialGoesOnWhenTheConfigMapIsDeleted(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	w.serve(builtInImage)
	w.stop() // what it remembers must not matter
	if err := cluster.Delete(t.Context(), must(get[corev1.ConfigMap](w, "prices-config"))); err != nil {
		t.Fatal(err)
	}
	w.operate(builtInImage)
	w.eventually(func() error {
		if c := w.gateway().Status.Config; c.Serial != 2 || *c.Acked != 1 {
			return fmt.Errorf("config is %+v", c)
		}
		return nil
	})
}

func TestReviewersAreTheAccountsOfTheLiveGateways(t *testing.T) {
	w := newWorld(t)
	subjects := func() []string {
		var names []string
		for _, s := range must(get[rbacv1.ClusterRoleBinding](&world{T: t}, resources.ReviewersName)).Subjects {
			if s.Namespace == w.namespace || s.Namespace == "elsewhere" {
				names = append(names, s.Namespace+"/"+s.Name)
			}
		}
		return names
	}
	binding := must(get[rbacv1.ClusterRoleBinding](&world{T: t}, resources.ReviewersName))
	binding.Subjects = append(binding.Subjects, rbacv1.Subject{Kind: "ServiceAccount", Namespace: "elsewhere", Name: "served-by-another"})
	if err := cluster.Update(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	w.operate(builtInImage)
	sg := w.sample(v1alpha1.StreamGatewaySpec{})
	want := []string{"elsewhere/served-by-another", w.namespace + "/prices-gateway"}
	w.eventually(func() error {
		if diff := cmp.Diff(want, subjects()); diff != "" {
			return fmt.Errorf("%s", diff)
		}
		return nil
	})
	if err := cluster.Delete(t.Context(), sg); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		if diff := cmp.Diff(want[:1], subjects()); diff != "" {
			return fmt.Errorf("%s", diff)
		}
		return nil
	})
}
