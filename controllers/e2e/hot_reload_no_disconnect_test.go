//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/gateway/report"
)

// TestHotPatchReachesRunningStreamsAndDropsNone patches a knob and a feature
// flag under 500 open streams.
func TestHotPatchReachesRunningStreamsAndDropsNone(t *testing.T) {
	const streams = 500
	ns := cluster.Namespace(t)
	base := cluster.Gateway(t, ns, "prices", "{}")
	token := cluster.Publisher(t, ns, "prices")
	a := cluster.Audience(t, base, streams, "finance.revenue")
	before := cluster.Pods(t, ns, "prices")
	serial := cluster.Get(t, ns, "prices").Status.Config.Serial

	// Not by kubectl: how long that takes to start is not what is measured.
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"batching":{"window":"20ms"},"features":[{"name":"newTicker","mode":"Enabled"}]}}`))
	sg := cluster.Get(t, ns, "prices")
	running := make(chan time.Time, 1)
	go func() { running <- waitForSerial(t, before[0].Status.PodIP, serial+1) }()
	begun := time.Now()
	if err := cluster.Client.Patch(t.Context(), sg, patch); err != nil {
		t.Fatal(err)
	}
	patched := time.Since(begun)
	inPod := (<-running).Sub(begun)
	Eventually(t, 20*time.Second, "sg.flags in every stream", func() error { return a.Told("sg.flags", flagIs("newTicker", true)) })
	inStreams := a.LastAt(func(l *listener) time.Time {
		for _, m := range l.controls {
			if m.Event == "sg.flags" && flagIs("newTicker", true)(m.Data) {
				return m.At
			}
		}
		return time.Time{}
	}).Sub(begun)
	Eventually(t, 20*time.Second, "acknowledged in status", func() error {
		config := cluster.Get(t, ns, "prices").Status.Config
		if config.Serial <= serial || *config.Acked != 1 || *config.Pending != 0 {
			return errNotYet
		}
		return cluster.ReadyOn(t, ns, "prices")
	})
	inStatus := time.Since(begun)
	t.Logf("the patch returned after %d ms; from its start: the pod acknowledged after %d ms, the last of %d streams had sg.flags after %d ms, status showed the ack after %d ms",
		patched.Milliseconds(), inPod.Milliseconds(), streams, inStreams.Milliseconds(), inStatus.Milliseconds())
	t.Logf("events:\n%s", cluster.Kubectl(t, "", "get", "events", "-n", ns, "--field-selector", "reason=ConfigPushed", "-o", `jsonpath={range .items[*]}{.note}{.message}{"\n"}{end}`))

	Eventually(t, 2*time.Second, "new window", func() error { return cluster.WindowIs(t, base, token, 20*time.Millisecond) })
	if status, answer := cluster.Publish(t, base, token, "finance.revenue", `{"after":"patch"}`); status != http.StatusOK {
		t.Fatalf("publishing: %d %s", status, answer)
	}
	Eventually(t, 5*time.Second, "an event in every stream", func() error { return a.Got(`{"after":"patch"}`) })
	if err := a.Open(); err != nil {
		t.Errorf("streams were dropped: %v", err)
	}
	if after := cluster.Pods(t, ns, "prices"); len(after) != 1 || after[0].UID != before[0].UID {
		t.Errorf("%d pods, or another one than before", len(after))
	}

	// And back: the flag is taken away again in the same streams.
	cluster.Patch(t, ns, "prices", `{"spec":{"features":[{"name":"newTicker","mode":"Disabled"}]}}`)
	Eventually(t, 20*time.Second, "flag off in every stream", func() error { return a.Told("sg.flags", flagIs("newTicker", false)) })
	if err := a.Open(); err != nil {
		t.Errorf("streams were dropped: %v", err)
	}
}

// waitForSerial asks the admin port of a pod, which answers the moment it runs
// a document with this serial.
func waitForSerial(t *testing.T, ip string, serial int64) time.Time {
	url := fmt.Sprintf("http://%s%s?%s=%d", net.JoinHostPort(ip, "9090"), report.Path, report.WaitParameter, serial)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Error(err)
		return time.Time{}
	}
	response, err := cluster.HTTP.Do(request)
	at := time.Now()
	if err != nil {
		t.Errorf("waiting for serial %d: %v", serial, err)
		return at
	}
	defer response.Body.Close()
	var got report.Report
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil || got.Serial < serial || got.Nack != nil {
		t.Errorf("waiting for serial %d: %v, %+v", serial, err, got)
	}
	return at
}
