//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/auth/authtest"
)

// conditionColumns shows what a person would look at first.
const conditionColumns = "custom-columns=" +
	`READY:.status.conditions[?(@.type=="Ready")].status,REASON:.status.conditions[?(@.type=="Ready")].reason,` +
	`REFS:.status.conditions[?(@.type=="ResolvedRefs")].reason,HEALTHY:.status.conditions[?(@.type=="Healthy")].reason,CONNS:.status.metrics.connections,DROPS:.status.metrics.dropPercent`

// issuer signs tokens, and serves its keys on a port of the node while it is up.
type issuer struct {
	address string
	server  *http.Server
	mu      sync.Mutex
	keys    map[string]*ecdsa.PrivateKey // by id
}

func (c *Cluster) issuer(t *testing.T) *issuer {
	t.Helper()
	if c.network.jobs == nil {
		t.Skip("pods of an existing cluster do not reach this process")
	}
	nodes, err := c.Core.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) == 0 {
		t.Fatalf("%d nodes: %v", len(nodes.Items), err)
	}
	i := &issuer{keys: map[string]*ecdsa.PrivateKey{}}
	for _, a := range nodes.Items[0].Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			i.address = net.JoinHostPort(a.Address, "0")
		}
	}
	i.add(t, "k1")
	i.up(t)
	t.Cleanup(func() { _ = i.server.Close() })
	return i
}

func (i *issuer) add(t *testing.T, id string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys[id] = key
}

// up serves, on the port of before if there was one.
func (i *issuer) up(t *testing.T) {
	t.Helper()
	l, err := cluster.network.listen(i.address)
	if err != nil {
		t.Fatal(err)
	}
	i.address = l.Addr().String()
	i.server = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		var set jose.JSONWebKeySet
		for id, key := range i.keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: id, Algorithm: "ES256", Use: "sig"})
		}
		_ = json.NewEncoder(w).Encode(set) // whoever asked is gone when this fails
	})}
	server := i.server
	go func() { _ = server.Serve(l) }() // it ends with Close
}

// token is of a reader of everything.
func (i *issuer) token(t *testing.T, key string) string {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	claims, err := json.Marshal(map[string]any{"iss": "https://login.test", "aud": "prices", "sub": "u7", "exp": time.Now().Add(time.Hour).Unix(), "sg": []string{">"}})
	if err != nil {
		t.Fatal(err)
	}
	return authtest.Sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.keys[key], KeyID: key}}, nil, claims)
}

// read opens a stream with a token; ended is closed when the stream ends.
func (c *Cluster) read(t *testing.T, base, token string) (status int, ended <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/stream?channels=finance.revenue", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := c.HTTP.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer res.Body.Close()
		for buf := make([]byte, 4096); ; {
			if _, err := res.Body.Read(buf); err != nil {
				return
			}
		}
	}()
	return res.StatusCode, done
}

func reasonIs(sg *v1alpha1.StreamGateway, condition, reason string) error {
	if c := meta.FindStatusCondition(sg.Status.Conditions, condition); c == nil || c.Reason != reason {
		return errors.New(conditions(sg))
	}
	return nil
}

// TestAnIssuerThatDiesIsToldOfAndEndsNoStream takes the place of keys away, and
// brings it back with one key more.
func TestAnIssuerThatDiesIsToldOfAndEndsNoStream(t *testing.T) {
	ns := cluster.Namespace(t)
	i := cluster.issuer(t)
	base := cluster.Gateway(t, ns, "prices", `{auth: {subscribers: {mode: JWT, jwt: {issuer: "https://login.test", audiences: [prices], jwks: {uri: "http://`+i.address+`/keys", refreshInterval: 10s}}}}}`)
	status, ended := cluster.read(t, base, i.token(t, "k1"))
	if status != http.StatusOK {
		t.Fatalf("a good token is answered %d", status)
	}
	watch := cluster.watch(t, ns, conditionColumns)
	_ = i.server.Close()
	i.add(t, "k2")
	died := Eventually(t, 40*time.Second, "told that keys cannot be had", func() error {
		return reasonIs(cluster.Get(t, ns, "prices"), v1alpha1.ConditionResolvedRefs, v1alpha1.ReasonInvalidJWKS)
	})
	if status, _ := cluster.read(t, base, i.token(t, "k1")); status != http.StatusOK {
		t.Errorf("a token of a key that is known is answered %d", status)
	}
	if status, _ := cluster.read(t, base, i.token(t, "k2")); status == http.StatusOK {
		t.Error("a token of a key that nobody could fetch is taken")
	}
	i.up(t)
	back := Eventually(t, 60*time.Second, "told that they can be had again", func() error {
		return reasonIs(cluster.Get(t, ns, "prices"), v1alpha1.ConditionResolvedRefs, v1alpha1.ReasonResolvedRefs)
	})
	Eventually(t, 20*time.Second, "the new key is taken", func() error {
		if status, _ := cluster.read(t, base, i.token(t, "k2")); status != http.StatusOK {
			return errNotYet
		}
		return nil
	})
	select {
	case <-ended:
		t.Error("the stream ended")
	default:
	}
	time.Sleep(time.Second) // kubectl prints a moment later
	t.Logf("told %.1f s after the issuer went, and %.1f s after it was back; the stream is open\n%s\n%s", died.Seconds(), back.Seconds(), watch(), cluster.notes(t, ns))
}

// TestALimitThatSkipsEventsIsToldOf has readers fall behind a limit of their own.
func TestALimitThatSkipsEventsIsToldOf(t *testing.T) {
	ns := cluster.Namespace(t)
	base := cluster.Gateway(t, ns, "prices", "{rollback: {guardPeriod: 0s, warmPeriod: 0s}, rollout: {analysis: {minEvents: 10}}}")
	cluster.Audience(t, base, 20, "finance.revenue")
	p := cluster.publishing(t, base, cluster.Publisher(t, ns, "prices"))
	Eventually(t, 40*time.Second, "healthy by its traffic", func() error { return healthIs(cluster.Get(t, ns, "prices"), v1alpha1.ReasonWithinThresholds) })
	watch := cluster.watch(t, ns, conditionColumns)
	cluster.Patch(t, ns, "prices", `{"spec":{"limits":{"delivery":{"eventsPerSecond":1}},"queue":{"maxEvents":10},"batching":{"maxEvents":2}}}`)
	told := Eventually(t, 60*time.Second, "told that events are skipped", func() error { return healthIs(cluster.Get(t, ns, "prices"), v1alpha1.ReasonDropRateHigh) })
	cluster.Patch(t, ns, "prices", `{"spec":{"limits":{"delivery":{"eventsPerSecond":2000}},"queue":{"maxEvents":10000},"batching":{"maxEvents":100}}}`)
	mended := Eventually(t, 60*time.Second, "healthy again", func() error { return healthIs(cluster.Get(t, ns, "prices"), v1alpha1.ReasonWithinThresholds) })
	p.stop()
	time.Sleep(time.Second) // as above
	t.Logf("told after %.1f s, mended after %.1f s\n%s\n%s", told.Seconds(), mended.Seconds(), watch(), cluster.notes(t, ns))
}

// notes are the events of the gateway, as kubectl shows them.
func (c *Cluster) notes(t *testing.T, ns string) string {
	t.Helper()
	return strings.TrimRight(c.Kubectl(t, "", "events", "-n", ns, "--for", "streamgateway/prices"), "\n")
}
