package resources

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// TestOperatorOfTodayRestartsNoPodOfAnEarlierOne takes what an earlier operator
// left in clusters: the spec as stored, its ControllerRevision, its Deployment.
// The operator of today has to find that it is all as it would have it, and to
// run the revision as it was when it goes back to it.
func TestOperatorOfTodayRestartsNoPodOfAnEarlierOne(t *testing.T) {
	files, err := filepath.Glob("testdata/upgrade/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("nothing of an earlier operator", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			part := strings.Split(string(text), "\n---\n")
			sg := parseGateway(t, part[0]) // with defaults for what came later, as the API server fills them in
			var revision appsv1.ControllerRevision
			var deployment appsv1.Deployment
			read(t, part[1], &revision)
			read(t, part[2], &deployment)
			image := deployment.Spec.Template.Spec.Containers[0].Image

			plan, err := NewPlanAs(sg, image, 1) // what the operator finds by the Deployment's name
			if err != nil {
				t.Fatal(err)
			}
			if RevisionName(sg.Name, plan.Revision) != revision.Name {
				t.Errorf("the same spec is revision %s now, and was %s", plan.Revision, revision.Name)
			}
			same(t, "the spec's Deployment", deployment, Deployment(sg, plan, *sg.Spec.Gateway.Replicas))

			record, err := ReadRecord(revision.Data.Raw)
			if err != nil {
				t.Fatal(err)
			}
			other := parseGateway(t, "metadata: {name: "+sg.Name+", namespace: "+sg.Namespace+", uid: "+string(sg.UID)+"}\nspec: {gateway: {image: other}}")
			if sg.Spec.Gateway.Image == "" {
				other.Spec.Gateway.Image = ""
			}
			back, restored, err := record.Restore(other, planOf(t, other, "g:newer"))
			if err != nil {
				t.Fatal(err)
			}
			same(t, "the restored Deployment", deployment, Deployment(back, restored, *back.Spec.Gateway.Replicas))
			if diff := cmp.Diff(plan.Hot, restored.Hot); diff != "" {
				t.Errorf("the restored hot config (-of the spec +of the record):\n%s", diff)
			}
		})
	}
}

func read(t *testing.T, text string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

// same compares what makes pods new: name and template.
func same(t *testing.T, what string, want appsv1.Deployment, got any) {
	t.Helper()
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var now appsv1.Deployment
	if err := json.Unmarshal(text, &now); err != nil {
		t.Fatal(err)
	}
	if now.Name != want.Name {
		t.Errorf("%s is %s, was %s: pods would be restarted", what, now.Name, want.Name)
	}
	if diff := cmp.Diff(want.Spec.Template, now.Spec.Template); diff != "" {
		t.Errorf("%s has another template (-was +is), so pods would be restarted:\n%s", what, diff)
	}
}
