//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// Namespace makes a namespace for this test, under the restricted pod security
// standard. It goes with the test; if the test failed, what was in it is
// printed first.
func (c *Cluster) Namespace(t *testing.T) string {
	t.Helper()
	name := strings.TrimSpace(c.Kubectl(t, `apiVersion: v1
kind: Namespace
metadata:
  generateName: e2e-
  labels: {pod-security.kubernetes.io/enforce: restricted}
`, "create", "-f", "-", "-o", "jsonpath={.metadata.name}"))
	t.Cleanup(func() {
		if t.Failed() {
			c.explain(t, name)
		}
		c.Kubectl(t, "", "delete", "namespace", name, "--wait=false")
	})
	return name
}

// explain prints what a reader of a failed test wants to see.
func (c *Cluster) explain(t *testing.T, namespace string) {
	for _, args := range [][]string{
		{"get", "-n", namespace, "sg,pods,deployments,services", "-o", "wide"},
		{"get", "-n", namespace, "sg", "-o", "yaml"},
		{"get", "-n", namespace, "events", "--sort-by=.metadata.creationTimestamp"},
		{"logs", "-n", namespace, "-l", "streamgateway.io/component=gateway", "--prefix", "--tail=30"},
		{"logs", "-n", OperatorNamespace, "deploy/" + OperatorDeployment, "--tail=40"},
	} {
		out, _ := c.TryKubectl("", args...)
		t.Logf("kubectl %s\n%s", strings.Join(args, " "), out)
	}
}

// Kubectl runs kubectl as a user would, with stdin, and returns what it prints.
func (c *Cluster) Kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := c.TryKubectl(stdin, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// TryKubectl is Kubectl for commands that may fail: its output holds both
// streams when they do.
func (c *Cluster) TryKubectl(stdin string, args ...string) (string, error) {
	command := exec.Command(c.settings["KUBECTL"], args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+c.settings["KUBECONFIG"])
	command.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.String() + stderr.String(), err
	}
	return stdout.String(), nil
}

// Apply applies a manifest.
func (c *Cluster) Apply(t *testing.T, namespace, manifest string) {
	t.Helper()
	c.Kubectl(t, c.Images(manifest), "apply", "-n", namespace, "-f", "-")
}

// Images puts the references of the images just built into a manifest that
// names them localhost/streamgateway/NAME:dev.
func (c *Cluster) Images(manifest string) string {
	return strings.NewReplacer(
		"localhost/streamgateway/manager:dev", c.settings["MANAGER_IMAGE"],
		"localhost/streamgateway/gateway:dev", c.settings["GATEWAY_IMAGE"],
		"localhost/streamgateway/demo:dev", c.settings["DEMO_IMAGE"],
		"localhost/streamgateway/nats:dev", c.settings["NATS_IMAGE"],
	).Replace(manifest)
}

// File reads a file of the checkout, by its path from the top.
func (c *Cluster) File(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(c.root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Gateway applies a StreamGateway with this spec (YAML in flow style or JSON),
// waits until it is Ready and its Service leads to it, and returns the URL that
// its streams are under.
func (c *Cluster) Gateway(t *testing.T, namespace, name, spec string) string {
	t.Helper()
	c.Apply(t, namespace, fmt.Sprintf("apiVersion: streamgateway.io/v1alpha1\nkind: StreamGateway\nmetadata: {name: %s}\nspec: %s\n", name, spec))
	c.Kubectl(t, "", "wait", "-n", namespace, "--for=condition=Ready", "--timeout=60s", "sg/"+name)
	base := fmt.Sprintf("http://%s.%s:80/v2/realtime", name, namespace)
	// Ready is known to the API server first and to kube-proxy up to a second later.
	Eventually(t, 10*time.Second, "the Service leads to the pod", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/time", nil)
		if err != nil {
			return err
		}
		response, err := c.HTTP.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("answered %s", response.Status)
		}
		return nil
	})
	return base
}

// Get reads a StreamGateway.
func (c *Cluster) Get(t *testing.T, namespace, name string) *v1alpha1.StreamGateway {
	t.Helper()
	sg := &v1alpha1.StreamGateway{}
	if err := c.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, sg); err != nil {
		t.Fatal(err)
	}
	return sg
}

// Patch merges JSON into a StreamGateway.
func (c *Cluster) Patch(t *testing.T, namespace, name, merge string) {
	t.Helper()
	c.Kubectl(t, "", "patch", "-n", namespace, "sg", name, "--type=merge", "-p", merge)
}

// Publisher makes a service account that may publish to this gateway and
// returns a token of it.
func (c *Cluster) Publisher(t *testing.T, namespace, gateway string) string {
	t.Helper()
	account := "publisher-" + gateway
	c.Apply(t, namespace, fmt.Sprintf(`apiVersion: v1
kind: ServiceAccount
metadata: {name: %[1]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: %[1]s}
rules: [{apiGroups: [streamgateway.io], resources: [streamgateways/publish], resourceNames: [%[2]s], verbs: [create]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: %[1]s}
subjects: [{kind: ServiceAccount, name: %[1]s}]
`, account, gateway))
	return c.Token(t, namespace, account, "streamgateway.io")
}

// Token asks for a token of a service account, for one audience.
func (c *Cluster) Token(t *testing.T, namespace, account, audience string) string {
	t.Helper()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}}}
	answer, err := c.Core.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account, request, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("asking for a token of %s: %v", account, err)
	}
	return answer.Status.Token
}

// Publish posts one JSON body to a channel and returns status and answer.
// An empty token sends none.
func (c *Cluster) Publish(t *testing.T, base, token, channel, body string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/channels/"+channel+"/events", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		t.Fatalf("publishing to %s: %v", channel, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		t.Fatalf("reading the answer of a publish: %v", err)
	}
	return response.StatusCode, string(answer)
}

// Eventually asks again and again until check has no error, and fails the test
// with the last one when the time is up. It returns the time it took.
func Eventually(t *testing.T, within time.Duration, what string, check func() error) time.Duration {
	t.Helper()
	begun := time.Now()
	for {
		err := check()
		took := time.Since(begun)
		if err == nil {
			return took
		}
		if took > within {
			t.Fatalf("%s: not within %v: %v", what, within, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
