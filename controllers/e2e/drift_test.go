//go:build e2e

package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestEditedServiceIsRestoredAndForeignLabelsStay edits what the operator owns
// and adds what it does not.
func TestEditedServiceIsRestoredAndForeignLabelsStay(t *testing.T) {
	ns := cluster.Namespace(t)
	cluster.Gateway(t, ns, "prices", "{}")
	cluster.Kubectl(t, "", "label", "service", "prices", "-n", ns, "team=pricing")
	cluster.Kubectl(t, "", "annotate", "service", "prices", "-n", ns, "example.com/note=ours")
	cluster.Kubectl(t, "", "patch", "service", "prices", "-n", ns, "--type=merge", "-p",
		`{"spec":{"selector":{"streamgateway.io/name":"nobody"}}}`)
	took := Eventually(t, 15*time.Second, "selector restored", func() error {
		if got := service(t, ns, `{.spec.selector.streamgateway\.io/name}`); got != "prices" {
			return errors.New(got)
		}
		return nil
	})
	if got := service(t, ns, `{.metadata.labels.team} {.metadata.annotations.example\.com/note}`); got != "pricing ours" {
		t.Errorf("label and annotation of somebody else are %q", got)
	}
	cluster.Kubectl(t, "", "delete", "service", "prices", "-n", ns)
	again := Eventually(t, 15*time.Second, "Service made again", func() error {
		out, err := cluster.TryKubectl("", "get", "service", "prices", "-n", ns)
		if err != nil {
			return errors.New(out)
		}
		return nil
	})
	t.Logf("edited Service restored after %d ms, deleted Service back after %d ms", took.Milliseconds(), again.Milliseconds())
	Eventually(t, 10*time.Second, "an event tells of it", func() error {
		if out := cluster.Kubectl(t, "", "get", "events", "-n", ns); !strings.Contains(out, "DriftCorrected") {
			return errors.New(out)
		}
		return nil
	})
	Eventually(t, 10*time.Second, "Ready", func() error { return cluster.ReadyOn(t, ns, "prices") })
}

func service(t *testing.T, namespace, path string) string {
	t.Helper()
	return cluster.Kubectl(t, "", "get", "service", "prices", "-n", namespace, "-o", "jsonpath="+path)
}
