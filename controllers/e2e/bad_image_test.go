//go:build e2e

package e2e

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// TestBrokenImageLeavesTheOldPodServing rolls out an image that does not exist,
// then mends it.
func TestBrokenImageLeavesTheOldPodServing(t *testing.T) {
	ns := cluster.Namespace(t)
	base := cluster.Gateway(t, ns, "prices", "{}")
	token := cluster.Publisher(t, ns, "prices")
	a := cluster.Audience(t, base, 20, "finance.revenue")
	uid := cluster.Pods(t, ns, "prices")[0].UID

	cluster.Patch(t, ns, "prices", `{"spec":{"gateway":{"image":"localhost/streamgateway/gateway:broken","imagePullPolicy":"Never"}}}`)
	Eventually(t, 30*time.Second, "status names the image", func() error {
		sg := cluster.Get(t, ns, "prices")
		if !strings.Contains(conditions(sg), "gateway:broken") || meta.IsStatusConditionTrue(sg.Status.Conditions, v1alpha1.ConditionReady) {
			return errors.New(conditions(sg))
		}
		return nil
	})
	sg := cluster.Get(t, ns, "prices")
	t.Logf("with a broken image:\n%s\n%s", cluster.Kubectl(t, "", "get", "sg,pods", "-n", ns, "-o", "wide"), conditions(sg))
	if !meta.IsStatusConditionTrue(sg.Status.Conditions, v1alpha1.ConditionAvailable) {
		t.Errorf("Available is not True, though the old pod serves:\n%s", conditions(sg))
	}
	if status, answer := cluster.Publish(t, base, token, "finance.revenue", `{"with":"broken image"}`); status != http.StatusOK {
		t.Fatalf("publishing: %d %s", status, answer)
	}
	Eventually(t, 5*time.Second, "an event in every stream", func() error { return a.Got(`{"with":"broken image"}`) })

	begun := time.Now()
	cluster.Patch(t, ns, "prices", `{"spec":{"gateway":{"image":null,"imagePullPolicy":null}}}`)
	Eventually(t, 30*time.Second, "Ready again", func() error { return cluster.ReadyOn(t, ns, "prices") })
	t.Logf("mended: Ready again after %.1f s", time.Since(begun).Seconds())
	if err := a.Open(); err != nil {
		t.Errorf("streams were dropped: %v", err)
	}
	if pods := cluster.Pods(t, ns, "prices"); len(pods) != 1 || pods[0].UID != uid {
		t.Errorf("%d pods, or another one than before: the old pod should just go on", len(pods))
	}
}
