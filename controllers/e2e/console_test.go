//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"
)

// TestTheConsoleOpensByPortForwardAndInNoOtherWay takes the way that
// docs/console.md names, and then the one that must not work: the pod's address.
func TestTheConsoleOpensByPortForwardAndInNoOtherWay(t *testing.T) {
	ns := cluster.Namespace(t)
	base := cluster.Gateway(t, ns, "prices", "{}")
	token := cluster.Publisher(t, ns, "prices")
	if status, body := cluster.Publish(t, base, token, "orders.77", `{"n":1}`); status != http.StatusOK {
		t.Fatalf("publishing: %d %s", status, body)
	}
	pod := cluster.Pods(t, ns, "prices")[0]
	forwarded := cluster.forward(t, ns, "pod/"+pod.Name, 6060)
	var data struct {
		Pod      string
		Config   struct{ Revision string }
		Channels []struct{ Name string }
	}
	Eventually(t, 15*time.Second, "the console answers", func() error {
		res, err := http.Get(forwarded + "/data.json")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		return json.NewDecoder(res.Body).Decode(&data)
	})
	if data.Pod != pod.Name || data.Config.Revision == "" || len(data.Channels) != 1 || data.Channels[0].Name != "orders.77" {
		t.Errorf("the console shows %+v", data)
	}
	direct := "http://" + net.JoinHostPort(pod.Status.PodIP, "6060") + "/data.json"
	if res, err := cluster.HTTP.Get(direct); err == nil {
		_ = res.Body.Close()
		t.Errorf("the console answers %d on the pod's address", res.StatusCode)
	}
}

// forward leads a port of this machine to one of a pod, for as long as the test
// runs, and gives its URL.
func (c *Cluster) forward(t *testing.T, namespace, to string, port int) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), c.settings["KUBECTL"], "port-forward", "-n", namespace, to, fmt.Sprintf(":%d", port))
	command.Env = append(os.Environ(), "KUBECONFIG="+c.settings["KUBECONFIG"])
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill() // it may have ended by itself
		_ = command.Wait()
	})
	local := regexp.MustCompile(`^Forwarding from (127\.0\.0\.1:\d+) `)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := local.FindStringSubmatch(lines.Text()); m != nil {
			return "http://" + m[1]
		}
	}
	t.Fatalf("kubectl port-forward said nothing of a port: %v", lines.Err())
	return ""
}
