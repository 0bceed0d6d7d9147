//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"
)

// TestCommandsOfTheManualDoWhatTheySay types what docs/rollouts.md and
// docs/operations.md tell a person to type.
func TestCommandsOfTheManualDoWhatTheySay(t *testing.T) {
	ns := cluster.Namespace(t)
	cluster.Gateway(t, ns, "prices", "{rollback: {guardPeriod: 0s, warmPeriod: 0s}}")
	say := func(args ...string) string {
		t.Helper()
		out := cluster.Kubectl(t, "", append([]string{"-n", ns}, args...)...)
		t.Logf("$ kubectl %s\n%s", strings.Join(args, " "), out)
		return out
	}
	patch := func(merge string) { t.Helper(); say("patch", "sg", "prices", "--type=merge", "-p", merge) }
	field := func(path string) string {
		t.Helper()
		return strings.TrimSpace(cluster.Kubectl(t, "", "-n", ns, "get", "sg", "prices", "-o", "jsonpath="+path))
	}
	wait := func(what string) { t.Helper(); say("wait", "sg/prices", "--for="+what, "--timeout=30s") }

	first := field("{.status.activeRevision}")
	if out, err := cluster.TryKubectl("", "-n", ns, "scale", "sg/prices", "--replicas=3"); err == nil || !strings.Contains(out, "gateway.replicas must be 0 or 1") {
		t.Errorf("scaling to three: %v, %s", err, out)
	}
	wait("jsonpath={.status.stableRevision}=" + first)
	patch(`{"spec":{"batching":{"window":"10ms"}}}`)
	wait("condition=Ready")
	second := field("{.status.desiredRevision}")
	wait("jsonpath={.status.activeRevision}=" + second)
	wait("jsonpath={.status.stableRevision}=" + second)
	history := say("get", "controllerrevisions", "-l", "streamgateway.io/name=prices", "-L", "streamgateway.io/verdict", "--sort-by=.revision")
	if i, j := strings.Index(history, first), strings.Index(history, second); i < 0 || j < i || strings.Count(history, "Healthy") != 2 {
		t.Errorf("the history is not %s, then %s, both healthy", first, second)
	}
	if wide := say("get", "sg", "prices", "-o", "wide"); !strings.Contains(wide, "DRAINING") || !strings.Contains(wide, second) {
		t.Error("a column is missing")
	}

	patch(`{"spec":{"override":{"pinnedRevision":"` + first + `"}}}`)
	wait(`jsonpath={.status.conditions[?(@.type=="Ready")].reason}=Pinned`)
	wait("jsonpath={.status.activeRevision}=" + first)
	patch(`{"spec":{"override":{"pinnedRevision":"nosuchone"}}}`)
	wait(`jsonpath={.status.conditions[?(@.type=="Accepted")].reason}=PinnedRevisionNotFound`)
	patch(`{"spec":{"override":{"pinnedRevision":null}}}`)
	wait("jsonpath={.status.activeRevision}=" + second)

	patch(`{"spec":{"override":{"disabledFeatures":["sse"]}}}`)
	wait(`jsonpath={.status.features[?(@.name=="sse")].source}=Override`)
	patch(`{"spec":{"override":{"reconcile":"Paused"}}}`)
	wait("condition=Paused")
	patch(`{"spec":{"batching":{"window":"20ms"}}}`)
	wait(`jsonpath={.status.conditions[?(@.type=="Ready")].reason}=Paused`)
	time.Sleep(2 * time.Second) // time to act after all
	if now := field("{.status.activeRevision}"); now != second {
		t.Errorf("paused, it went on from %s to %s", second, now)
	}
	patch(`{"spec":{"override":{"reconcile":null}}}`)
	wait("condition=Paused=False")
	wait("condition=Ready")
	patch(`{"spec":{"override":null}}`)
	say("annotate", "sg", "prices", "streamgateway.io/retry-revision="+second+"/1", "--overwrite")
	say("events", "--for=sg/prices")
	if out, err := cluster.TryKubectl("", "-n", ns, "wait", "sg/prices", "--for=condition=Stalled=True", "--timeout=1s"); err == nil {
		t.Errorf("the gate of CI found it stalled: %s", out)
	}
}
