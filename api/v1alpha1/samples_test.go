package v1alpha1_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

func TestEverySampleIsAccepted(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "config", "samples", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	gateways := 0
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		for _, object := range documents(t, file) {
			object.SetNamespace(metav1.NamespaceDefault)
			if err := try(t, object); err != nil {
				t.Errorf("%s: %v", filepath.Base(file), err)
			}
			if object.GetKind() == "StreamGateway" {
				gateways++
			}
		}
	}
	if gateways < 2 {
		t.Errorf("found %d StreamGateways among the samples", gateways)
	}
}

// TestTheFullSampleNamesEveryField keeps the sample that shows every field
// from falling behind the types. Subscribers and publishers describe tokens
// alike, but for where keys come from: one of two ways.
func TestTheFullSampleNamesEveryField(t *testing.T) {
	sample := documents(t, filepath.Join("..", "..", "config", "samples", "full.yaml"))[0]
	for path := range specClasses(t) {
		if path == "override.pinnedRevision" {
			continue // none exists before the sample is applied
		}
		named := func(path string) bool {
			_, found, err := unstructured.NestedFieldNoCopy(sample.Object, append([]string{"spec"}, strings.Split(path, ".")...)...)
			return err == nil && found
		}
		if !named(path) && !named(strings.Replace(path, "auth.subscribers.jwt.", "auth.publishers.jwt.", 1)) &&
			!named(strings.Replace(path, "auth.publishers.jwt.", "auth.subscribers.jwt.", 1)) {
			t.Errorf("config/samples/full.yaml does not set spec.%s", path)
		}
	}
}

func documents(t *testing.T, file string) []*unstructured.Unstructured {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, object)
	}
}

func TestGetPrintsWhatAnOperatorLooksFor(t *testing.T) {
	ctx := context.Background()
	u := gateway(t, "printed")
	if err := cluster(t).Create(ctx, u); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cluster(t).Delete(ctx, u); err != nil {
			t.Error(err)
		}
	}()
	u.Object["status"] = map[string]any{
		"observedGeneration": int64(1), "desiredRevision": "5f8c7d9b64", "activeRevision": "7d4b9c6f58",
		"image": "example.com/gateway:1", "pods": map[string]any{"draining": int64(2), "ready": int64(0), "summary": "0/1"},
		"rollback":   map[string]any{"reason": "DropRateHigh"},
		"config":     map[string]any{"acked": int64(1), "nacked": int64(0)},
		"metrics":    map[string]any{"connections": int64(0), "errorPercent": "0.02", "queuePercent": int64(5), "latencyP99Milliseconds": int64(80), "dropPercent": "0", "eventsPerSecond": int64(48000)},
		"conditions": []any{map[string]any{"type": "Ready", "status": "False", "reason": "Unavailable", "message": "", "lastTransitionTime": "2030-01-07T10:15:04Z"}},
	}
	if err := cluster(t).Status().Update(ctx, u); err != nil {
		t.Fatal(err)
	}
	narrow, wide := table(t, u.GetName())
	if diff := cmp.Diff([]string{"Name", "READY", "REASON", "ACTIVE", "DESIRED", "PODS", "CONNS", "ERR%", "AGE"}, narrow); diff != "" {
		t.Errorf("columns: %s", diff)
	}
	want := []string{"QUEUE%=5", "P99MS=80", "DROP%=0", "EV/S=48000", "ACKED=1", "NACKED=0", "DRAINING=2", "ROLLBACK=DropRateHigh", "IMAGE=example.com/gateway:1"}
	if diff := cmp.Diff(want, wide); diff != "" {
		t.Errorf("columns of -o wide: %s", diff)
	}
}

func TestStatusIsASubresourceAndScaleFollowsReplicas(t *testing.T) {
	ctx := context.Background()
	u := gateway(t, "scaled")
	u.Object["status"] = map[string]any{"url": "http://nobody.example.com"}
	if err := cluster(t).Create(ctx, u); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cluster(t).Delete(ctx, u); err != nil {
			t.Error(err)
		}
	}()
	if url, ok, _ := unstructured.NestedString(u.Object, "status", "url"); ok {
		t.Errorf("a user wrote status: %v", url)
	}
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	if len(conditions) != 2 || conditions[0].(map[string]any)["message"] != "waiting for the operator" {
		t.Errorf("before anybody has looked, the conditions are %v", conditions)
	}
	scale := &unstructured.Unstructured{}
	scale.SetAPIVersion("autoscaling/v1")
	scale.SetKind("Scale")
	if err := cluster(t).SubResource("scale").Get(ctx, u, scale); err != nil {
		t.Fatal(err)
	}
	for replicas, refusal := range map[int64]string{0: "", 2: "gateway.replicas must be 0 or 1"} {
		if err := unstructured.SetNestedField(scale.Object, replicas, "spec", "replicas"); err != nil {
			t.Fatal(err)
		}
		scale.SetResourceVersion("")
		err := cluster(t).SubResource("scale").Update(ctx, u, client.WithSubResourceBody(scale))
		if refusal == "" && err != nil || refusal != "" && (err == nil || !strings.Contains(err.Error(), refusal)) {
			t.Errorf("scale to %d: %v, want %q", replicas, err, refusal)
		}
	}
}

func TestTheKindAnswersToItsShortNames(t *testing.T) {
	var resources metav1.APIResourceList
	get(t, "/apis/"+v1alpha1.GroupVersion.String(), &resources)
	i := slices.IndexFunc(resources.APIResources, func(r metav1.APIResource) bool { return r.Name == "streamgateways" })
	if i < 0 {
		t.Fatal("no such resource")
	}
	r := resources.APIResources[i]
	if !r.Namespaced || r.Kind != "StreamGateway" || !slices.Equal(r.ShortNames, []string{"sg", "sgw"}) || !slices.Equal(r.Categories, []string{"all"}) {
		t.Errorf("got %+v", r)
	}
}
