//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// errNotYet is for checks whose waiting needs no further words.
var errNotYet = errors.New("not yet")

// Pods are the gateway pods of a StreamGateway that are not on their way out.
func (c *Cluster) Pods(t *testing.T, namespace, name string) (pods []corev1.Pod) {
	t.Helper()
	for _, p := range c.AllPods(t, namespace, name) {
		if p.DeletionTimestamp.IsZero() {
			pods = append(pods, p)
		}
	}
	return pods
}

// AllPods are all gateway pods of a StreamGateway that exist.
func (c *Cluster) AllPods(t *testing.T, namespace, name string) []corev1.Pod {
	t.Helper()
	var list corev1.PodList
	if err := c.Client.List(t.Context(), &list, client.InNamespace(namespace), client.MatchingLabels{"streamgateway.io/name": name}); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func podReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// ReadyOn returns an error unless the StreamGateway is Ready for its newest
// generation and all pods have acknowledged the newest config.
func (c *Cluster) ReadyOn(t *testing.T, namespace, name string) error {
	t.Helper()
	sg := c.Get(t, namespace, name)
	ready := meta.FindStatusCondition(sg.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.Status != "True" || ready.ObservedGeneration != sg.Generation || sg.Status.ObservedGeneration != sg.Generation {
		return fmt.Errorf("generation %d, conditions\n%s", sg.Generation, conditions(sg))
	}
	return nil
}

// conditions are a StreamGateway's conditions, a line each.
func conditions(sg *v1alpha1.StreamGateway) string {
	var text strings.Builder
	for _, c := range sg.Status.Conditions {
		fmt.Fprintf(&text, "  %-12s %-8s %-22s %s (generation %d)\n", c.Type, c.Status, c.Reason, c.Message, c.ObservedGeneration)
	}
	return text.String()
}

// versions are the resource versions of everything a StreamGateway owns.
func (c *Cluster) versions(t *testing.T, namespace, name string) map[string]string {
	t.Helper()
	got := map[string]string{}
	for line := range strings.Lines(c.Kubectl(t, "", "get", "-n", namespace, "-l", "streamgateway.io/name="+name,
		"deployments,services,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets,pods",
		"-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}`)) {
		if object, version, found := strings.Cut(strings.TrimSpace(line), " "); found {
			got[object] = version
		}
	}
	if len(got) < 5 {
		t.Fatalf("found only %v", got)
	}
	return got
}
