//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"
)

// TestEmptySpecIsReadyWithinHalfAMinute is the first contact: one apply, and
// kubectl tells the rest.
func TestEmptySpecIsReadyWithinHalfAMinute(t *testing.T) {
	const streams = 3
	ns := cluster.Namespace(t)
	begun := time.Now()
	base := cluster.Gateway(t, ns, "prices", "{}")
	took := time.Since(begun)
	t.Logf("apply to Ready: %.1f s", took.Seconds())
	if took > 30*time.Second {
		t.Errorf("Ready after %v, want 30 s at most", took)
	}
	cluster.Audience(t, base, streams, "finance.revenue")

	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"get", "sg", "-n", ns}, []string{"READY", "REASON", "PODS", "prices", "True", "1/1"}},
		{[]string{"get", "sg", "-n", ns, "-o", "wide"}, []string{"ACKED", "NACKED", "IMAGE", "P99MS"}},
		{[]string{"get", "all", "-n", ns}, []string{"streamgateway.streamgateway.io/prices", "service/prices"}},
		{[]string{"describe", "sg", "prices", "-n", ns}, []string{"Conditions:", "Programmed", "Events:", "RevisionPromoted"}},
		{[]string{"explain", "sg.spec.queue"}, []string{"FIELDS:", "maxEvents", "slowConsumerPolicy", "lag"}},
		{[]string{"explain", "sg.spec.batching"}, []string{"window", "50ms", "maxBytes", "256Ki"}},
		// Nothing here enforces it; that it names this operator shows in the object.
		{[]string{"describe", "networkpolicy", "prices", "-n", ns}, []string{"To Port: http/TCP", "From: <any>", "To Port: admin/TCP", "kubernetes.io/metadata.name=" + OperatorNamespace, "streamgateway.io/scrape=allowed"}},
	} {
		out := cluster.Kubectl(t, "", c.args...)
		t.Logf("$ kubectl %s\n%s", strings.Join(c.args, " "), out)
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("kubectl %s: no %q", strings.Join(c.args, " "), want)
			}
		}
	}
	took = Eventually(t, 45*time.Second, "open streams in status", func() error {
		if m := cluster.Get(t, ns, "prices").Status.Metrics; m == nil || m.Connections == nil || *m.Connections != streams {
			return errNotYet
		}
		return nil
	})
	t.Logf("%d open streams were in status after %.0f s (numbers are written every 30 s at most)", streams, took.Seconds())
}
