package resources

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

func patchedGateway(t *testing.T, kind v1alpha1.PatchType, value string) *v1alpha1.StreamGateway {
	t.Helper()
	sg := emptyGateway(t)
	sg.Spec.Listener.TLS = &v1alpha1.TLS{SecretName: "prices-tls", MinVersion: v1alpha1.TLS12}
	sg.Spec.Gateway.Template = &v1alpha1.PodTemplate{Patch: &v1alpha1.PodPatch{Type: kind, Value: &runtime.RawExtension{Raw: []byte(value)}}}
	return sg
}

func TestAPatchThatTakesAwayWhatPodsNeedIsRefusedWithWhatItIs(t *testing.T) {
	gateway := func(fields string) string { return `{"spec":{"containers":[{"name":"gateway",` + fields + `}]}}` }
	cases := []struct {
		name, value, reason, words string
		kind                       v1alpha1.PatchType
	}{
		{name: "a field that pods do not have", value: `{"spec":{"dnsPolicies":"None"}}`, words: "dnsPolicies"},
		{name: "a value of another type", value: `{"spec":{"dnsPolicy":7}}`, words: "dnsPolicy"},
		{name: "a list without the key to merge it by", value: `{"spec":{"containers":[{"image":"x"}]}}`, words: "name"},
		{name: "a label of the operator's", value: `{"metadata":{"labels":{"streamgateway.io/name":"other"}}}`, reason: v1alpha1.ReasonReservedKey, words: "the label streamgateway.io/name"},
		{name: "a label of the operator's taken away", value: `{"metadata":{"labels":{"streamgateway.io/component":null}}}`, reason: v1alpha1.ReasonReservedKey, words: "the label streamgateway.io/component"},
		{name: "a new label in the operator's name", value: `{"metadata":{"labels":{"app.kubernetes.io/version":"1"}}}`, reason: v1alpha1.ReasonReservedKey, words: "the label app.kubernetes.io/version"},
		{name: "a reserved variable", value: gateway(`"env":[{"name":"SG_DEBUG","value":"1"}]`), reason: v1alpha1.ReasonReservedKey, words: "the variable SG_DEBUG"},
		{name: "a variable of the operator's", value: gateway(`"env":[{"name":"GOMEMLIMIT","value":"1"}]`), words: "the variable GOMEMLIMIT"},
		{name: "another image", value: gateway(`"image":"x"`), words: "set spec.gateway.image"},
		{name: "another command", value: gateway(`"command":["/bin/sh"]`), words: "command of the container gateway"},
		{name: "other arguments", value: gateway(`"args":["--dev"]`), words: "args of the container gateway"},
		{name: "one more port", value: gateway(`"ports":[{"name":"debug","containerPort":6060}]`), words: "ports of the container gateway"},
		{name: "other resources", value: gateway(`"resources":{"limits":{"memory":"1Gi"}}`), words: "set spec.gateway.resources"},
		{name: "no container of ours", value: `{"spec":{"containers":[{"name":"gateway","$patch":"delete"}]}}`, words: "the container gateway is gone"},
		{name: "no config", value: `{"spec":{"volumes":[{"name":"config","$patch":"delete"}]}}`, words: "the volume config"},
		{name: "other keys", value: `{"spec":{"volumes":[{"name":"keys","secret":{"secretName":"mine"}}]}}`, words: "the volume keys"},
		{name: "another certificate", value: `{"spec":{"volumes":[{"name":"tls","secret":{"secretName":"mine"}}]}}`, words: "the volume tls"},
		{name: "keys mounted elsewhere", value: gateway(`"volumeMounts":[{"mountPath":"/etc/streamgateway-keys","$patch":"delete"}]`), words: "the mount of the volume keys"},
		{name: "a sidecar under the name of our port", value: `{"spec":{"containers":[{"name":"proxy","image":"x","ports":[{"name":"http","containerPort":1}]}]}}`, words: "another name than http"},
		{name: "all containers replaced", kind: v1alpha1.PatchJSONMerge, value: `{"spec":{"containers":[{"name":"proxy","image":"x"}]}}`, words: "the container gateway is gone"},
		{name: "all volumes replaced", kind: v1alpha1.PatchJSONMerge, value: `{"spec":{"volumes":[]}}`, words: "the volume config"},
		{name: "all of it replaced", kind: v1alpha1.PatchJSONMerge, value: `{"metadata":null}`, reason: v1alpha1.ReasonReservedKey, words: "the label "},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.reason == "" {
				c.reason = v1alpha1.ReasonInvalidPodTemplatePatch
			}
			fault := planOf(t, patchedGateway(t, c.kind, c.value), builtIn).Fault
			if fault == nil {
				t.Fatal("it is followed")
			}
			if fault.Reason != c.reason || !strings.HasPrefix(fault.Message, "spec.gateway.template.patch: ") || !strings.Contains(fault.Message, c.words) {
				t.Errorf("%s: %s; want %s with %q", fault.Reason, fault.Message, c.reason, c.words)
			}
		})
	}
}

func TestAJSONMergePatchReplacesListsAndRemovesWhatIsNull(t *testing.T) {
	sg := patchedGateway(t, v1alpha1.PatchJSONMerge, `{"spec":{"affinity":null,"hostNetwork":false,"tolerations":[{"key":"edge","operator":"Exists"}],"priorityClassName":"high"}}`)
	sg.Spec.Gateway.Template.PriorityClassName = "low"
	p := planOf(t, sg, builtIn)
	if p.Fault != nil {
		t.Fatal(p.Fault.Message)
	}
	spec := podTemplate(sg, &p).Spec
	if spec.Affinity != nil || len(spec.Tolerations) != 1 || *spec.PriorityClassName != "high" || *spec.ServiceAccountName != "prices-gateway" {
		t.Errorf("the pods are %+v", spec)
	}
	if spec.HostNetwork != nil {
		t.Error("a false, which the API server drops, is in what is applied: the Deployment would look edited for ever")
	}
}
