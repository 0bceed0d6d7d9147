// Package chart checks the Helm chart with Helm's own library: it renders, it
// refuses values that are none, and it installs what config/default installs.
package chart

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const releaseNamespace = "streamgateway-system"

// objects are parsed manifests by kind and name.
type objects map[string]map[string]any

func (o objects) add(t *testing.T, manifest string) {
	t.Helper()
	for document := range strings.SplitSeq("\n"+manifest, "\n---\n") {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if object == nil {
			continue
		}
		metadata := object["metadata"].(map[string]any)
		key := fmt.Sprintf("%v %v", object["kind"], metadata["name"])
		if namespace, ok := metadata["namespace"]; ok && namespace != releaseNamespace {
			key += fmt.Sprintf(" in %v", namespace)
		}
		if _, twice := o[key]; twice {
			t.Errorf("%s twice", key)
		}
		o[key] = object
	}
}

// render is what `helm template` makes of the chart.
func render(t *testing.T, values string) (objects, error) {
	t.Helper()
	chart, err := loader.Load(filepath.Join("..", "..", "charts", "streamgateway"))
	if err != nil {
		t.Fatal(err)
	}
	if err := chart.Validate(); err != nil {
		t.Fatal(err)
	}
	var set map[string]any
	if err := yaml.Unmarshal([]byte(values), &set); err != nil {
		t.Fatal(err)
	}
	release := common.ReleaseOptions{Name: "streamgateway", Namespace: releaseNamespace, IsInstall: true}
	all, err := util.ToRenderValues(chart, set, release, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(chart, all)
	if err != nil {
		return nil, err
	}
	rendered := objects{}
	for name, content := range files {
		if strings.HasSuffix(name, ".yaml") {
			rendered.add(t, content)
		}
	}
	return rendered, nil
}

func kustomized(t *testing.T) objects {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join("..", "..", "config", "default"))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	all := objects{}
	all.add(t, string(manifest))
	return all
}

func TestChartInstallsWhatKustomizeInstalls(t *testing.T) {
	chart, err := render(t, "")
	if err != nil {
		t.Fatal(err)
	}
	kustomize := kustomized(t)
	if len(kustomize) < 10 {
		t.Fatalf("config/default has %d objects only", len(kustomize))
	}
	delete(kustomize, "Namespace "+releaseNamespace) // Helm's user makes it
	for _, object := range chart {
		metadata := object["metadata"].(map[string]any)
		drop(metadata, "labels", "helm.sh/chart", "app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by")
		drop(metadata, "annotations", "helm.sh/resource-policy")
	}
	for _, object := range kustomize { // the generated role has no labels of its own
		if metadata := object["metadata"].(map[string]any); object["kind"] == "ClusterRole" && metadata["labels"] == nil {
			metadata["labels"] = map[string]any{"app.kubernetes.io/name": "streamgateway", "app.kubernetes.io/component": "operator"}
		}
	}
	if diff := cmp.Diff(kustomize, chart); diff != "" {
		t.Errorf("kustomize (-) and chart (+) differ:\n%s", diff)
	}
}

func drop(metadata map[string]any, where string, keys ...string) {
	held, _ := metadata[where].(map[string]any)
	for _, key := range keys {
		delete(held, key)
	}
}

func TestValuesReachTheOperator(t *testing.T) {
	rendered, err := render(t, `
image: {registry: example.com/sg, tag: v1.2.3, pullPolicy: Always, pullSecrets: [{name: registry}]}
replicas: 2
resources: {limits: {memory: 512Mi}}
goMemoryLimit: 400MiB
extraArgs: [--zap-log-level=debug]
nodeSelector: {kubernetes.io/arch: arm64}
tolerations: [{key: edge, operator: Exists}]
affinity: {nodeAffinity: {}}
crds: {install: false}
`)
	if err != nil {
		t.Fatal(err)
	}
	for key := range rendered {
		if strings.HasPrefix(key, "CustomResourceDefinition") {
			t.Errorf("%s in spite of crds.install: false", key)
		}
	}
	spec := rendered["Deployment streamgateway-controller-manager"]["spec"].(map[string]any)
	pod := spec["template"].(map[string]any)["spec"].(map[string]any)
	container := pod["containers"].([]any)[0].(map[string]any)
	want := map[string]any{
		"replicas": float64(2), "image": "example.com/sg/manager:v1.2.3", "pullPolicy": "Always",
		"pullSecrets": []any{map[string]any{"name": "registry"}},
		"args":        []any{"--gateway-image=example.com/sg/gateway:v1.2.3", "--metrics-bind-address=:8080", "--health-probe-bind-address=:8081", "--zap-log-level=debug"},
		"resources":   map[string]any{"requests": map[string]any{"cpu": "10m", "memory": "64Mi"}, "limits": map[string]any{"memory": "512Mi"}},
		"memory":      "400MiB",
		"nodes":       map[string]any{"kubernetes.io/arch": "arm64"},
		"tolerations": []any{map[string]any{"key": "edge", "operator": "Exists"}},
		"affinity":    map[string]any{"nodeAffinity": map[string]any{}},
	}
	got := map[string]any{
		"replicas": spec["replicas"], "image": container["image"], "pullPolicy": container["imagePullPolicy"],
		"pullSecrets": pod["imagePullSecrets"], "args": container["args"], "resources": container["resources"],
		"memory": container["env"].([]any)[1].(map[string]any)["value"],
		"nodes":  pod["nodeSelector"], "tolerations": pod["tolerations"], "affinity": pod["affinity"],
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRightsStayInTheNamespacesServed(t *testing.T) {
	rendered, err := render(t, "watchNamespaces: [shop, billing]")
	if err != nil {
		t.Fatal(err)
	}
	for _, namespace := range []string{"shop", "billing"} {
		binding := rendered["RoleBinding streamgateway-manager in "+namespace]
		if binding == nil {
			t.Fatalf("no binding in %s", namespace)
		}
		if role := binding["roleRef"].(map[string]any)["name"]; role != "streamgateway-manager" {
			t.Errorf("the binding in %s grants %v", namespace, role)
		}
	}
	if role := rendered["ClusterRoleBinding streamgateway-manager"]["roleRef"].(map[string]any)["name"]; role != "streamgateway-manager-cluster" {
		t.Errorf("the cluster-wide binding grants %v", role)
	}
	rights := granted(rendered["ClusterRole streamgateway-manager-cluster"])
	want := []string{"bind rbac.authorization.k8s.io/clusterroles", "get rbac.authorization.k8s.io/clusterrolebindings", "patch rbac.authorization.k8s.io/clusterrolebindings"}
	if diff := cmp.Diff(want, rights); diff != "" {
		t.Errorf("cluster-wide rights: %s", diff)
	}
}

// TestTheOperatorCannotReadSecretsNorWriteStreamGateways holds the promises
// of its role against what the markers in its code add up to.
func TestTheOperatorCannotReadSecretsNorWriteStreamGateways(t *testing.T) {
	rights := granted(kustomized(t)["ClusterRole streamgateway-manager"])
	if len(rights) < 20 {
		t.Fatalf("found %d rights only", len(rights))
	}
	for _, right := range rights {
		verb, resource, _ := strings.Cut(right, " ")
		switch {
		case strings.Contains(right, "*"),
			resource == "/secrets" && verb != "create", resource == "/nodes", strings.HasPrefix(resource, "/pods/"),
			resource == "/pods" && verb != "get" && verb != "list" && verb != "watch",
			resource == "streamgateway.io/streamgateways" && verb != "get" && verb != "list" && verb != "watch",
			strings.HasPrefix(resource, "rbac.authorization.k8s.io/cluster") && (verb == "create" || verb == "delete" || verb == "update" || verb == "escalate"):
			t.Errorf("the operator may %s", right)
		}
	}
}

// granted are the rights of a role, as "verb group/resource".
func granted(role map[string]any) []string {
	var rights []string
	rules, _ := role["rules"].([]any)
	for _, r := range rules {
		rule := r.(map[string]any)
		for _, group := range rule["apiGroups"].([]any) {
			for _, resource := range rule["resources"].([]any) {
				for _, verb := range rule["verbs"].([]any) {
					rights = append(rights, fmt.Sprintf("%v %v/%v", verb, group, resource))
				}
			}
		}
	}
	slices.Sort(rights)
	return rights
}

func TestValuesThatAreNoneAreRefused(t *testing.T) {
	for name, values := range map[string]string{
		"an unknown value":           "replicaCount: 2",
		"an unknown value of image":  "image: {repository: x}",
		"a pull policy that is none": "image: {pullPolicy: Sometimes}",
		"a negative number of pods":  "replicas: -1",
		"a flag without a dash":      "extraArgs: [debug]",
		"an empty registry":          `image: {registry: ""}`,
		"a memory limit in Mi":       "goMemoryLimit: 200Mi",
		"a namespace that is none":   "watchNamespaces: [Shop]",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := render(t, values); err == nil {
				t.Errorf("%s was accepted", values)
			}
		})
	}
}
