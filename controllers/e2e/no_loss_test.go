//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/noloss"
)

// TestTwoHundredCutsUnderLoadLoseAndRepeatNothing breaks streams at random
// places while events are published, and resumes them.
func TestTwoHundredCutsUnderLoadLoseAndRepeatNothing(t *testing.T) {
	ns := cluster.Namespace(t)
	o := load(t, ns, cluster.Gateway(t, ns, "prices", "{}"))
	o.Duration, o.Cuts, o.Strict = 15*time.Second, 200, true
	result, err := noloss.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("200 cuts:\n%s", result)
	if !result.Passed || result.Cuts < 200 || result.Resumes["complete"] < 200 {
		t.Error("want every event once for each subscriber, over at least 200 complete resumes")
	}
}
