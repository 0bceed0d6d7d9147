package streamgateway_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
)

// installGatewayAPI installs the Gateway API's own definitions, those of its
// module, until the test ends.
func installGatewayAPI(t *testing.T) {
	t.Helper()
	out, err := exec.Command("go", "mod", "download", "-modfile=../../hack/crds.mod", "-json", "sigs.k8s.io/gateway-api").Output()
	var module struct{ Dir string }
	if err = errors.Join(err, json.Unmarshal(out, &module)); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(module.Dir, "config", "crd", "standard")
	install := envtest.CRDInstallOptions{Paths: []string{
		filepath.Join(folder, "gateway.networking.k8s.io_httproutes.yaml"), filepath.Join(folder, "gateway.networking.k8s.io_gateways.yaml"),
	}, ErrorIfPathMissing: true}
	crds, err := envtest.InstallCRDs(server, install)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := envtest.UninstallCRDs(server, envtest.CRDInstallOptions{CRDs: crds}); err != nil {
			t.Error(err)
		}
	})
}

func (w *world) httpRoute() (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(resources.RouteKind())
	return u, cluster.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: "prices"}, u)
}

// answer is what the Gateway public says of the route as it is now.
func (w *world) answer(status, reason, message string) {
	w.Helper()
	w.eventually(func() error {
		u, err := w.httpRoute()
		if err != nil {
			return err
		}
		u.Object["status"] = map[string]any{"parents": []any{map[string]any{
			"controllerName": "example.com/gateways",
			"parentRef":      map[string]any{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "sectionName": "https"},
			"conditions": []any{map[string]any{
				"type": "Accepted", "status": status, "reason": reason, "message": message,
				"observedGeneration": u.GetGeneration(), "lastTransitionTime": "2030-01-07T10:15:04Z",
			}},
		}}}
		return cluster.Status().Update(w.Context(), u)
	})
}

// A route is asked for before its kind is there, waits for its Gateway and for
// what that says, is put back when somebody bends it, and goes when nobody asks
// for it any more. The pods know nothing of it.
func TestARouteIsAttachedToItsGatewayAndSaysWhatThatSays(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	d, _ := w.serve(builtInImage)
	w.patch(`{"spec":{"auth":{"subscribers":{"anonymousChannels":["news.>"]}},"listener":{"route":{
		"parentRefs":[{"name":"public","sectionName":"https"}],"hostnames":["*.example.org","prices.example.com"]}}}}`)
	w.condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonGatewayAPINotInstalled)
	w.condition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonMinimumPodsReady)
	installGatewayAPI(t)
	c := w.condition(v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonParentNotFound)
	if want := "Gateway " + w.namespace + "/public, which listener.route names, is not there"; c.Message != want {
		t.Errorf("the message is %q, want %q", c.Message, want)
	}
	w.event("Warning", "RefNotResolved", "ParentNotFound")
	public := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"gatewayClassName": "example", "listeners": []any{
			map[string]any{"name": "http", "port": int64(80), "protocol": "HTTP"},
			map[string]any{"name": "https", "port": int64(8443), "protocol": "HTTPS", "tls": map[string]any{"certificateRefs": []any{map[string]any{"name": "public"}}}},
		},
	}}}
	public.SetGroupVersionKind(resources.ParentKind())
	public.SetName("public")
	w.create(public)
	c = w.condition(v1alpha1.ConditionProgrammed, metav1.ConditionUnknown, v1alpha1.ReasonPending)
	if !strings.Contains(c.Message, "/public has not taken HTTPRoute prices yet") {
		t.Errorf("the message is %q", c.Message)
	}
	w.answer("False", "NotAllowedByListeners", "no listener takes it")
	c = w.condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonRouteNotAccepted)
	if !strings.Contains(c.Message, "does not take HTTPRoute prices: NotAllowedByListeners: no listener takes it") {
		t.Errorf("the message is %q", c.Message)
	}
	w.answer("True", "Accepted", "")
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	if url := w.gateway().Status.URL; url != "https://prices.example.com:8443/" {
		t.Errorf("the URL is %s", url)
	}
	asWanted := func() error {
		u := must(w.httpRoute())
		rules, _, _ := unstructured.NestedSlice(u.Object, "spec", "rules")
		hosts, _, _ := unstructured.NestedStringSlice(u.Object, "spec", "hostnames")
		timeout, _, _ := unstructured.NestedString(rules[0].(map[string]any), "timeouts", "request")
		if len(rules) != 1 || timeout != "0s" || len(hosts) != 2 || len(u.GetOwnerReferences()) != 1 {
			return fmt.Errorf("it is %v", u.Object)
		}
		return nil
	}
	w.eventually(asWanted)
	bent := must(w.httpRoute())
	if err := cluster.Patch(t.Context(), bent, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"hostnames":["a.test","b.test","c.test"],"rules":[{"timeouts":{"request":"15s"}}]}}`))); err != nil {
		t.Fatal(err)
	}
	w.eventually(asWanted)
	w.answer("True", "Accepted", "")
	w.patch(`{"spec":{"override":{"reconcile":"Paused"}}}`) // who only looks sees the route, too
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	if url := w.gateway().Status.URL; url != "https://prices.example.com:8443/" {
		t.Errorf("while paused the URL is %s", url)
	}
	w.patch(`{"spec":{"override":null,"listener":{"route":null}}}`)
	w.eventually(func() error {
		if _, err := w.httpRoute(); !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("it is still there"), err)
		}
		return nil
	})
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	if all := w.deployments(); len(all) != 1 || all[0].UID != d.UID || all[0].Generation != d.Generation {
		t.Error("the pods' template was touched")
	}
}
