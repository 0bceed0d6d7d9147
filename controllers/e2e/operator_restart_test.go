//go:build e2e

package e2e

import (
	"maps"
	"net/http"
	"testing"
	"time"
)

// TestGatewaysOutliveTheirOperator stops the operator, changes a spec meanwhile,
// and starts it again.
func TestGatewaysOutliveTheirOperator(t *testing.T) {
	ns := cluster.Namespace(t)
	base := cluster.Gateway(t, ns, "prices", "{}")
	cluster.Gateway(t, ns, "quotes", "{}") // is not touched by anybody
	token := cluster.Publisher(t, ns, "prices")
	a := cluster.Audience(t, base, 20, "finance.revenue")
	Eventually(t, 20*time.Second, "Ready and at rest", func() error { return cluster.ReadyOn(t, ns, "quotes") })
	untouched := cluster.versions(t, ns, "quotes")

	scaleOperator(t, "0")
	t.Cleanup(func() { scaleOperator(t, "1") })
	cluster.Patch(t, ns, "prices", `{"spec":{"batching":{"window":"33ms"}}}`)
	if status, answer := cluster.Publish(t, base, token, "finance.revenue", `{"operator":"away"}`); status != http.StatusOK {
		t.Fatalf("publishing without the operator: %d %s", status, answer)
	}
	Eventually(t, 5*time.Second, "an event in every stream", func() error { return a.Got(`{"operator":"away"}`) })
	if err := cluster.WindowIs(t, base, token, 50*time.Millisecond); err != nil {
		t.Errorf("without the operator: %v", err)
	}

	begun := time.Now()
	scaleOperator(t, "1")
	Eventually(t, 60*time.Second, "the edit made meanwhile is in force", func() error { return cluster.WindowIs(t, base, token, 33*time.Millisecond) })
	Eventually(t, 20*time.Second, "and in status", func() error { return cluster.ReadyOn(t, ns, "prices") })
	t.Logf("operator started: edit in force and in status after %.1f s", time.Since(begun).Seconds())
	if err := a.Open(); err != nil {
		t.Errorf("streams were dropped: %v", err)
	}
	if after := cluster.versions(t, ns, "quotes"); !maps.Equal(after, untouched) {
		t.Errorf("a restart wrote to objects of a gateway that nobody touched:\nbefore %v\nafter  %v", untouched, after)
	}
}

func scaleOperator(t *testing.T, replicas string) {
	t.Helper()
	cluster.Kubectl(t, "", "scale", "-n", OperatorNamespace, "deploy/"+OperatorDeployment, "--replicas="+replicas)
	if replicas == "0" {
		cluster.Kubectl(t, "", "wait", "-n", OperatorNamespace, "pod", "-l", "app.kubernetes.io/component=operator", "--for=delete", "--timeout=60s")
		return
	}
	cluster.Kubectl(t, "", "rollout", "status", "-n", OperatorNamespace, "deploy/"+OperatorDeployment, "--timeout=60s")
}
