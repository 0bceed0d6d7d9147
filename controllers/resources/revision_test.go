package resources

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"
)

func TestRevisionIsRestoredWithWhatIsOutsideOfItAsItIsNow(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatal("no inputs", err)
	}
	for _, input := range inputs {
		then := readGateway(t, input)
		plan, err := NewPlan(then, "g:then")
		if err != nil {
			t.Fatal(err)
		}
		data, err := NewRecord(&then.Spec, plan)
		if err != nil {
			t.Fatal(err)
		}
		record, err := ReadRecord(data)
		if err != nil {
			t.Fatal(err)
		}
		now := parseGateway(t, "metadata: {name: "+then.Name+", namespace: "+then.Namespace+"}\nspec: {gateway: {image: other}, batching: {maxEvents: 7}, rollback: {historyLimit: 3}}")
		now.Spec.Gateway.Replicas = ptr.To(int32(0))
		got, restored, err := record.Restore(now, plan)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(plan, restored); diff != "" {
			t.Errorf("%s: the plan (-then +restored):\n%s", input, diff)
		}
		if *got.Spec.Gateway.Replicas != 0 || got.Spec.Rollback.HistoryLimit != 3 {
			t.Errorf("%s: what is outside of the revision was restored too", input)
		}
		if fresh, err := NewPlan(got, "g:then"); err != nil || fresh.Revision != plan.Revision || fresh.TemplateHash != plan.TemplateHash {
			t.Errorf("%s: the restored spec gives revision %s of template %s (%v)", input, fresh.Revision, fresh.TemplateHash, err)
		}
	}
}

func TestRevisionOfAnEarlierVersionHasDefaultsForWhatCameLater(t *testing.T) {
	sg := parseGateway(t, "metadata: {name: prices, namespace: shop}\nspec: {}")
	plan, err := NewPlanAs(sg, "g:1", 1)
	if err != nil {
		t.Fatal(err)
	}
	record, err := ReadRecord([]byte(`{"spec":{"gateway":{},"listener":{"port":8080},"observability":{"adminPort":9090}},` +
		`"image":"g:1","templateHash":"` + plan.TemplateHash + `","hot":{"stable":{"revision":"` + plan.Revision + `","hot":{}}},` +
		`"cold":{"gateway":{"namespace":"shop","name":"prices"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, restored, err := record.Restore(sg, plan); err != nil || cmp.Diff(plan, restored) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(plan, restored))
	}
}
