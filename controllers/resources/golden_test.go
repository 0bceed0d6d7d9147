package resources

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/config"
)

var update = flag.Bool("update", false, "rewrite the golden files; read their diff")

// Each testdata/<feature>.in.yaml is a StreamGateway as a person writes it;
// its .out.yaml holds all objects that follow from it. A diff in the name of a
// Deployment means that an upgrade of the operator would restart every gateway.
func TestObjectsFollowFromSpec(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no inputs found: %v", err)
	}
	for _, input := range inputs {
		t.Run(strings.TrimSuffix(filepath.Base(input), ".in.yaml"), func(t *testing.T) {
			got := render(t, readGateway(t, input))
			golden := strings.TrimSuffix(input, ".in.yaml") + ".out.yaml"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("objects differ from %s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

func render(t *testing.T, sg *v1alpha1.StreamGateway) []byte {
	t.Helper()
	plan, err := NewPlan(sg, "example.com/streamgateway/gateway:1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	document := config.Document{Serial: 1, Stable: config.Revision{Name: plan.Revision, Hot: plan.Hot}}
	if err := document.Validate(); err != nil {
		t.Errorf("pods would refuse the document: %v", err)
	}
	if err := plan.Cold.Validate(); err != nil {
		t.Errorf("pods would refuse the cold document: %v", err)
	}
	configMap, err := ConfigMap(sg, plan, document, nil)
	if err != nil {
		t.Fatal(err)
	}
	objects := []any{Account(sg), Role(sg), RoleBinding(sg), configMap, Deployment(sg, plan, *sg.Spec.Gateway.Replicas), Service(sg), NetworkPolicy(sg, "streamgateway-system")}
	if budget := DisruptionBudget(sg, plan.TemplateHash); budget != nil {
		objects = append(objects, budget)
	}
	if route := Route(sg); route != nil {
		objects = append(objects, route.Object)
	}
	var out bytes.Buffer
	for _, o := range objects {
		text, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	return out.Bytes()
}

// readGateway reads a StreamGateway and fills in defaults from the schema, as
// the API server does before the operator sees it.
func readGateway(t *testing.T, path string) *v1alpha1.StreamGateway {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parseGateway(t, string(text))
}

func parseGateway(t *testing.T, text string) *v1alpha1.StreamGateway {
	t.Helper()
	var tree map[string]any
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	fillDefaults(t, tree, crdSchema(t))
	defaulted, err := yaml.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	var sg v1alpha1.StreamGateway
	if err := yaml.UnmarshalStrict(defaulted, &sg); err != nil {
		t.Fatal(err)
	}
	return &sg
}

func crdSchema(t *testing.T) apiextensionsv1.JSONSchemaProps {
	t.Helper()
	text, err := os.ReadFile("../../config/crd/bases/streamgateway.io_streamgateways.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(text, &crd); err != nil {
		t.Fatal(err)
	}
	return *crd.Spec.Versions[0].Schema.OpenAPIV3Schema
}

func fillDefaults(t *testing.T, value any, schema apiextensionsv1.JSONSchemaProps) {
	t.Helper()
	switch value := value.(type) {
	case map[string]any:
		for name, property := range schema.Properties {
			if _, ok := value[name]; !ok && property.Default != nil {
				var filled any
				if err := yaml.Unmarshal(property.Default.Raw, &filled); err != nil {
					t.Fatal(err)
				}
				value[name] = filled
			}
			fillDefaults(t, value[name], property)
		}
	case []any:
		for _, item := range value {
			fillDefaults(t, item, *schema.Items.Schema)
		}
	}
}
