//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestInvalidSpecIsRefusedWithWhatToChange tries specs that contradict
// themselves, on a gateway that serves.
func TestInvalidSpecIsRefusedWithWhatToChange(t *testing.T) {
	ns := cluster.Namespace(t)
	base := cluster.Gateway(t, ns, "prices", "{}")
	a := cluster.Audience(t, base, 5, "finance.revenue")
	generation := cluster.Get(t, ns, "prices").Generation

	for _, c := range []struct{ name, merge, want string }{
		{"a window over its bound", `{"spec":{"batching":{"window":"1h"}}}`, "spec.batching.window"},
		{"a window that is no duration", `{"spec":{"batching":{"window":"1.5s"}}}`, "spec.batching.window"},
		{"more pods than one memory", `{"spec":{"gateway":{"replicas":3}}}`, "gateway.replicas must be 0 or 1"},
		{"a replay buffer beyond the pod's memory", `{"spec":{"replay":{"maxBytes":"4Gi"}}}`, "replay.maxBytes"},
		{"an unknown policy", `{"spec":{"queue":{"slowConsumerPolicy":"Wait"}}}`, "spec.queue.slowConsumerPolicy"},
	} {
		out, err := cluster.TryKubectl("", "patch", "sg", "prices", "-n", ns, "--type=merge", "-p", c.merge)
		t.Logf("%s:\n%s", c.name, out)
		if err == nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: want a refusal that names %q", c.name, c.want)
		}
	}
	out, err := cluster.TryKubectl("apiVersion: streamgateway.io/v1alpha1\nkind: StreamGateway\nmetadata: {name: typo}\nspec: {batchin: {window: 20ms}}\n", "apply", "-n", ns, "-f", "-")
	t.Logf("a field that does not exist:\n%s", out)
	if err == nil || !strings.Contains(out, "batchin") {
		t.Error("a field that does not exist was taken")
	}
	if got := cluster.Get(t, ns, "prices").Generation; got != generation {
		t.Errorf("generation went from %d to %d", generation, got)
	}
	if err := a.Open(); err != nil {
		t.Errorf("streams were dropped: %v", err)
	}
}
