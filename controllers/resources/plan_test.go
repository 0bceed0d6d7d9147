package resources

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/config"
)

const builtIn = "example.com/streamgateway/gateway:1.0.0"

// fieldsByClass are the leaf fields of the spec by the class that their doc
// comment declares, as "Section.Field".
func fieldsByClass(t *testing.T) map[string][]string {
	t.Helper()
	class := regexp.MustCompile(`\+streamgateway:class=(\w+)`)
	fields := map[string][]string{}
	files, err := filepath.Glob("../../api/v1alpha1/*_types.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			structure, ok := spec.Type.(*ast.StructType)
			if !ok {
				return false
			}
			for _, f := range structure.Fields.List {
				if m := class.FindStringSubmatch(f.Doc.Text() + rawComment(f.Doc)); m != nil {
					fields[m[1]] = append(fields[m[1]], spec.Name.Name+"."+f.Names[0].Name)
				}
			}
			return false
		})
	}
	return fields
}

func rawComment(group *ast.CommentGroup) string {
	if group == nil {
		return ""
	}
	var text strings.Builder
	for _, c := range group.List {
		text.WriteString(c.Text + "\n")
	}
	return text.String()
}

// section finds the struct of a spec by its type's name, such as Service.
func section(sg *v1alpha1.StreamGateway, name string) reflect.Value {
	switch name {
	case "StreamGatewaySpec":
		return reflect.ValueOf(&sg.Spec).Elem()
	case "Service":
		return reflect.ValueOf(sg.Spec.Listener.Service).Elem()
	case "Subscribers":
		return reflect.ValueOf(sg.Spec.Auth.Subscribers).Elem()
	case "Publishers":
		return reflect.ValueOf(sg.Spec.Auth.Publishers).Elem()
	case "JWT", "JWKS", "ConfigMapKey":
		tokens := sg.Spec.Auth.Subscribers.JWT
		if tokens == nil {
			tokens = &v1alpha1.JWT{
				ClockSkew: "30s", JWKS: v1alpha1.JWKS{ConfigMapRef: &v1alpha1.ConfigMapKey{}, RefreshInterval: "10m"},
			}
			sg.Spec.Auth.Subscribers.JWT = tokens
		}
		switch name {
		case "JWT":
			return reflect.ValueOf(tokens).Elem()
		case "JWKS":
			return reflect.ValueOf(&tokens.JWKS).Elem()
		}
		return reflect.ValueOf(tokens.JWKS.ConfigMapRef).Elem()
	case "NATS", "BrokerSecret":
		if sg.Spec.Broker.NATS == nil { // to nowhere is the same as none
			sg.Spec.Broker.NATS = &v1alpha1.NATS{CredentialsSecretRef: &v1alpha1.BrokerSecret{}}
		}
		if name == "NATS" {
			return reflect.ValueOf(sg.Spec.Broker.NATS).Elem()
		}
		return reflect.ValueOf(sg.Spec.Broker.NATS.CredentialsSecretRef).Elem()
	case "ConnectLimits":
		return reflect.ValueOf(sg.Spec.Limits.Connect).Elem()
	case "DeliveryLimits":
		return reflect.ValueOf(sg.Spec.Limits.Delivery).Elem()
	case "PodTemplate":
		if sg.Spec.Gateway.Template == nil {
			sg.Spec.Gateway.Template = &v1alpha1.PodTemplate{}
		}
		return reflect.ValueOf(sg.Spec.Gateway.Template).Elem()
	case "Route":
		if sg.Spec.Listener.Route == nil {
			sg.Spec.Listener.Route = &v1alpha1.Route{}
		}
		return reflect.ValueOf(sg.Spec.Listener.Route).Elem()
	case "PodPatch":
		if sg.Spec.Gateway.Template == nil {
			sg.Spec.Gateway.Template = &v1alpha1.PodTemplate{Patch: &v1alpha1.PodPatch{Value: &runtime.RawExtension{Raw: []byte(`{"spec":{"dnsPolicy":"Default"}}`)}}}
		}
		return reflect.ValueOf(sg.Spec.Gateway.Template.Patch).Elem()
	case "Override":
		if sg.Spec.Override == nil {
			sg.Spec.Override = &v1alpha1.Override{}
		}
		return reflect.ValueOf(sg.Spec.Override).Elem()
	case "Analysis":
		return reflect.ValueOf(sg.Spec.Rollout.Analysis).Elem()
	case "Thresholds":
		return reflect.ValueOf(sg.Spec.Rollout.Analysis.Thresholds).Elem()
	case "GuardThresholds":
		if sg.Spec.Rollback.Thresholds == nil {
			sg.Spec.Rollback.Thresholds = &v1alpha1.GuardThresholds{}
		}
		return reflect.ValueOf(sg.Spec.Rollback.Thresholds).Elem()
	case "PublishLimits":
		return reflect.ValueOf(sg.Spec.Limits.Publish).Elem()
	case "TLS":
		if sg.Spec.Listener.TLS == nil { // without a name it is the same as none
			sg.Spec.Listener.TLS = &v1alpha1.TLS{MinVersion: v1alpha1.TLS12}
		}
		return reflect.ValueOf(sg.Spec.Listener.TLS).Elem()
	case "Tracing":
		if sg.Spec.Observability.Tracing == nil { // to nowhere is the same as none
			sg.Spec.Observability.Tracing = &v1alpha1.Tracing{SamplePercent: "1"}
		}
		return reflect.ValueOf(sg.Spec.Observability.Tracing).Elem()
	}
	return reflect.ValueOf(&sg.Spec).Elem().FieldByName(name).Elem()
}

// alter gives a field another value than it has.
func alter(t *testing.T, f reflect.Value) {
	t.Helper()
	switch v := f.Addr().Interface().(type) {
	case *int32:
		*v += 7
	case **int32:
		*v = ptr.To(ptr.Deref(*v, 0) + 7)
	case *v1alpha1.Duration:
		*v = "1s7ms"
	case **intstr.IntOrString:
		*v = ptr.To(intstr.FromString("0.25"))
	case *v1alpha1.DecimalPercent:
		*v = "7.25"
	case **resource.Quantity:
		*v = ptr.To(resource.MustParse("1234567"))
	case *[]v1alpha1.Feature:
		*v = append(*v, v1alpha1.Feature{Name: "added", Mode: v1alpha1.FeaturePercent, Percent: ptr.To(int32(7)), StickyBy: v1alpha1.StickyBySession})
	case *[]v1alpha1.RolloutStep:
		*v = []v1alpha1.RolloutStep{{Percent: 100}}
	case *[]v1alpha1.FeatureName:
		*v = append(*v, "added")
	case *[]v1alpha1.ChannelPattern:
		*v = append(*v, "added.>")
	case *[]v1alpha1.ParentRef:
		*v = append(*v, v1alpha1.ParentRef{Name: "added"})
	case *[]v1alpha1.Hostname:
		*v = append(*v, "added.test")
	case *[]v1alpha1.Origin:
		*v = append(*v, "https://added.test")
	case *[]v1alpha1.Network:
		*v = append(*v, "192.0.2.0/24")
	case *[]v1alpha1.Audience:
		*v = append(*v, "added")
	case *[]v1alpha1.SecretReference:
		*v = append(*v, v1alpha1.SecretReference{Name: "added"})
	case **corev1.ResourceRequirements:
		*v = &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1234567890")}}
	case *[]corev1.Toleration:
		*v = append(*v, corev1.Toleration{Key: "added", Operator: corev1.TolerationOpExists})
	case *[]corev1.TopologySpreadConstraint:
		*v = append(*v, corev1.TopologySpreadConstraint{MaxSkew: 1, TopologyKey: "added", WhenUnsatisfiable: corev1.ScheduleAnyway})
	case **corev1.Affinity:
		*v = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}}
	case *[]v1alpha1.EnvVar:
		*v = append(*v, v1alpha1.EnvVar{Name: "ADDED", Value: ptr.To("yes")})
	case **runtime.RawExtension:
		*v = &runtime.RawExtension{Raw: []byte(`{"spec":{"dnsPolicy":"ClusterFirstWithHostNet"}}`)}
	case *map[string]string:
		*v = map[string]string{"added": "yes"}
	default:
		if f.Kind() != reflect.String {
			t.Fatalf("no other value known for %s", f.Type())
		}
		f.SetString(f.String() + "-altered")
	}
}

func planOf(t *testing.T, sg *v1alpha1.StreamGateway, image string) Plan {
	t.Helper()
	p, err := NewPlan(sg, image)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func emptyGateway(t *testing.T) *v1alpha1.StreamGateway {
	t.Helper()
	return readGateway(t, "testdata/empty.in.yaml")
}

func TestEveryFieldDoesWhatItsClassSays(t *testing.T) {
	base := planOf(t, emptyGateway(t), builtIn)
	want := map[string]struct{ revision, template bool }{
		"hot":     {revision: true},
		"restart": {revision: true, template: true},
		"outside": {},
	}
	fields := fieldsByClass(t)
	for class, changes := range want {
		if len(fields[class]) == 0 {
			t.Errorf("no field of class %s found", class)
		}
		for _, field := range fields[class] {
			t.Run(class+" "+field, func(t *testing.T) {
				sg := emptyGateway(t)
				typeName, name, _ := strings.Cut(field, ".")
				alter(t, section(sg, typeName).FieldByName(name))
				p := planOf(t, sg, builtIn)
				if got := p.Revision != base.Revision; got != changes.revision {
					t.Errorf("changes the revision: %v, want %v", got, changes.revision)
				}
				if got := p.TemplateHash != base.TemplateHash; got != changes.template {
					t.Errorf("makes new pods: %v, want %v", got, changes.template)
				}
				kept := !reflect.DeepEqual(revisioned(&sg.Spec), revisioned(&emptyGateway(t).Spec))
				if kept != changes.revision {
					t.Errorf("a ControllerRevision keeps it: %v, want %v", kept, changes.revision)
				}
			})
		}
	}
}

func TestEveryHotFieldReachesTheRenderedConfig(t *testing.T) {
	base := planOf(t, emptyGateway(t), builtIn).Hot
	for _, field := range fieldsByClass(t)["hot"] {
		t.Run(field, func(t *testing.T) {
			sg := emptyGateway(t)
			typeName, name, _ := strings.Cut(field, ".")
			alter(t, section(sg, typeName).FieldByName(name))
			hot := planOf(t, sg, builtIn).Hot
			if name == "Features" {
				want := []config.Feature{{Name: "added", Mode: "Percent", Percent: 7, StickyBy: "Session"}}
				if !reflect.DeepEqual(hot.Features, want) {
					t.Errorf("features are %v, want %v", hot.Features, want)
				}
				return
			}
			before := group(base, typeName).FieldByName(name)
			after := group(hot, typeName).FieldByName(name)
			if want := translated(section(sg, typeName).FieldByName(name)); !after.IsValid() || !reflect.DeepEqual(after.Interface(), want) {
				t.Errorf("config has %v, want %v", after, want)
			}
			if after.IsValid() && reflect.DeepEqual(after.Interface(), before.Interface()) {
				t.Errorf("config still has the default %v", before)
			}
		})
	}
}

// group is what a section of the spec is in the config, by its type's name.
func group(hot config.Hot, name string) reflect.Value {
	switch name {
	case "JWT":
		return reflect.ValueOf(hot.Auth.Subscribers.JWT)
	case "JWKS":
		return reflect.ValueOf(hot.Auth.Subscribers.JWT.JWKS)
	case "ConfigMapKey":
		return reflect.ValueOf(hot.Auth.Subscribers.JWT.JWKS.ConfigMapRef)
	case "ConnectLimits":
		return reflect.ValueOf(hot.Limits.Connect)
	case "DeliveryLimits":
		return reflect.ValueOf(hot.Limits.Delivery)
	case "PublishLimits":
		return reflect.ValueOf(hot.Limits.Publish)
	case "TLS":
		return reflect.ValueOf(hot.Listener.TLS)
	case "Tracing":
		return reflect.ValueOf(hot.Observability.Tracing)
	case "Subscribers":
		return reflect.ValueOf(hot.Auth.Subscribers)
	case "Publishers":
		return reflect.ValueOf(hot.Auth.Publishers)
	}
	return reflect.ValueOf(hot).FieldByName(name)
}

// translated is what a field of the custom resource is in the config, derived
// from its type alone.
func translated(f reflect.Value) any {
	switch v := f.Interface().(type) {
	case []v1alpha1.ChannelPattern:
		return texts(v)
	case []v1alpha1.Audience:
		return texts(v)
	case []v1alpha1.Origin:
		return texts(v)
	case []v1alpha1.Network:
		return texts(v)
	case int32:
		return int(v)
	case *int32:
		return int(*v)
	case *resource.Quantity:
		return v.Value()
	case v1alpha1.DecimalPercent:
		percent, _ := strconv.ParseFloat(string(v), 64)
		return percent
	case v1alpha1.Duration:
		d, _ := time.ParseDuration(string(v))
		return d
	}
	return f.String()
}

func TestEqualSettingsAreOneRevision(t *testing.T) {
	text, err := os.ReadFile("testdata/empty.in.yaml")
	if err != nil {
		t.Fatal(err)
	}
	base := planOf(t, parseGateway(t, string(text)), builtIn)
	otherWords := strings.Replace(string(text), "spec: {}", `spec:
  batching: {window: 50ms, maxBytes: "262144"}
  replay: {ttl: 300s, maxBytes: 262144Ki}
  gateway: {resources: {requests: {cpu: "0.1", memory: 256Mi}, limits: {memory: 786432Ki}}}`, 1)
	if got := planOf(t, parseGateway(t, otherWords), builtIn); got.Revision != base.Revision || got.TemplateHash != base.TemplateHash {
		t.Errorf("other words for the same settings: %s/%s, want %s/%s", got.Revision, got.TemplateHash, base.Revision, base.TemplateHash)
	}
	otherName := strings.Replace(string(text), "name: prices", "name: quotes", 1)
	if got := planOf(t, parseGateway(t, otherName), builtIn); got.Revision != base.Revision {
		t.Errorf("the same settings under another name: %s, want %s", got.Revision, base.Revision)
	}
}

func TestBuiltInImageIsInTheTemplateAndNotInTheRevision(t *testing.T) {
	older, newer := planOf(t, emptyGateway(t), "g:1"), planOf(t, emptyGateway(t), "g:2")
	if older.Revision != newer.Revision {
		t.Error("a new built-in image changed the revision, which belongs to the spec")
	}
	if older.TemplateHash == newer.TemplateHash {
		t.Error("a new built-in image would change pods in place")
	}
}

func TestDurationThatTheSchemaWouldRefuseIsAnError(t *testing.T) {
	sg := emptyGateway(t)
	sg.Spec.Batching.Window = "1 fortnight"
	if _, err := NewPlan(sg, builtIn); err == nil || !strings.Contains(err.Error(), "spec.batching.window") {
		t.Errorf("got %v, want an error that names spec.batching.window", err)
	}
}

func TestOlderColdDocumentsStayInTheConfigMap(t *testing.T) {
	sg := emptyGateway(t)
	p := planOf(t, sg, builtIn)
	colds := map[string]string{config.ColdKey("older"): `{"kept":"as it is"}`}
	m, err := ConfigMap(sg, p, config.Document{Serial: 1, Stable: config.Revision{Name: p.Revision, Hot: p.Hot}}, colds)
	if err != nil {
		t.Fatal(err)
	}
	if m.Data[config.ColdKey("older")] != colds[config.ColdKey("older")] || m.Data[config.ColdKey(p.TemplateHash)] == "" || m.Data[config.HotKey] == "" {
		t.Errorf("data is %v", m.Data)
	}
	if len(colds) != 1 {
		t.Error("the caller's map was written to")
	}
}
