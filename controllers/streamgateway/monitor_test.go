package streamgateway_test

import (
	"errors"
	"fmt"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/controllers/resources"
)

// A ServiceMonitor is asked for before its kind is there, gets made once it is,
// is put back when somebody bends it, and goes when nobody asks for it any more.
func TestAServiceMonitorIsMadeWhereItsKindIs(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	w.serve(builtInImage)
	w.patch(`{"spec":{"observability":{"serviceMonitor":"Enabled"}}}`)
	w.event("Warning", "ServiceMonitorUnavailable", "not installed")
	w.condition(v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed) // no fault of the gateway
	preserve := ptr.To(true)
	kind := resources.MonitorKind()
	definition := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "servicemonitors." + kind.Group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: kind.Group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "servicemonitors", Singular: "servicemonitor", Kind: kind.Kind, ListKind: kind.Kind + "List"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: kind.Version, Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: preserve}}}},
		},
	}
	install := envtest.CRDInstallOptions{CRDs: []*apiextensionsv1.CustomResourceDefinition{definition}}
	if _, err := envtest.InstallCRDs(server, install); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := envtest.UninstallCRDs(server, install); err != nil {
			t.Error(err)
		}
	})
	read := func() (*unstructured.Unstructured, error) {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(kind)
		return u, cluster.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "prices"}, u)
	}
	asWanted := func() error {
		u, err := read()
		if err != nil {
			return err
		}
		endpoints, _, _ := unstructured.NestedSlice(u.Object, "spec", "endpoints")
		if len(endpoints) != 1 || endpoints[0].(map[string]any)["targetPort"] != resources.AdminPortName || len(u.GetOwnerReferences()) != 1 {
			return fmt.Errorf("it is %v", u.Object)
		}
		return nil
	}
	w.eventually(asWanted)
	bent := must(read())
	if err := cluster.Patch(t.Context(), bent, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"endpoints":[]},"metadata":{"labels":{"team":"pricing"}}}`))); err != nil {
		t.Fatal(err)
	}
	w.eventually(asWanted)
	if must(read()).GetLabels()["team"] != "pricing" {
		t.Error("somebody's label is gone")
	}
	w.patch(`{"spec":{"observability":{"serviceMonitor":"Disabled"}}}`)
	w.eventually(func() error {
		if _, err := read(); !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("it is still there"), err)
		}
		return nil
	})
}
