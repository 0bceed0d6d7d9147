//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// TestDeletionDrainsItsStreamsAndLeavesNothing deletes a StreamGateway that is
// in use: the object goes at once, streams are asked to move and then closed in
// order, pods are gone within their grace.
func TestDeletionDrainsItsStreamsAndLeavesNothing(t *testing.T) {
	const grace = 45 * time.Second // of a gateway pod
	ns := cluster.Namespace(t)
	base := cluster.Gateway(t, ns, "prices", "{}")
	a := cluster.Audience(t, base, 50, "finance.revenue")

	begun := time.Now()
	cluster.Kubectl(t, "", "delete", "sg", "prices", "-n", ns, "--wait=true", "--timeout=20s")
	object := time.Since(begun)
	streams := Eventually(t, grace, "streams closed", a.Ended)
	if err := a.all(func(l *listener) error {
		if !errors.Is(l.ended, io.EOF) {
			return fmt.Errorf("broke instead of ending: %w", l.ended)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	for _, event := range []string{"sg.drain", "sg.end"} {
		if err := a.Told(event, nil); err != nil {
			t.Error(err)
		}
	}
	Eventually(t, grace, "pods gone", func() error {
		if n := len(cluster.AllPods(t, ns, "prices")); n > 0 {
			return fmt.Errorf("%d pods", n)
		}
		return nil
	})
	pods := time.Since(begun)
	Eventually(t, 10*time.Second, "children gone", func() error {
		if left := cluster.Kubectl(t, "", "get", "-n", ns, "-l", "streamgateway.io/name=prices", "-o", "name",
			"deployments,services,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets"); left != "" {
			return errors.New(left)
		}
		return nil
	})
	if out := cluster.Kubectl(t, "", "get", "events", "-n", ns); strings.Contains(out, "DriftCorrected") {
		t.Errorf("the operator took the deletion for drift and made children again:\n%s", out)
	}
	t.Logf("deleted with 50 streams open: object gone after %.1f s, last stream ended after %.1f s, pods gone after %.1f s", object.Seconds(), (object + streams).Seconds(), pods.Seconds())
	if pods > grace+5*time.Second {
		t.Errorf("pods took %v, longer than their grace", pods)
	}
}
