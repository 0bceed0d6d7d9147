package streamgateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/auth/authtest"
)

// signer is an issuer's key, with the key set that it publishes.
func signer(t *testing.T, kid string) (sign func() string, jwks string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private := jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: "ES256", Use: "sig"}
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{private.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	return func() string {
		claims := fmt.Sprintf(`{"iss":"https://issuer.example","aud":"prices","sub":"u7","exp":%d,"sg":["a"]}`, time.Now().Add(time.Hour).Unix())
		return authtest.Sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: private}, nil, []byte(claims))
	}, string(text)
}

// reads waits until the pod answers a read with this token with a status.
func (n *node) reads(token string, status int) {
	n.w.Helper()
	n.w.eventually(func() error {
		r, err := http.NewRequest(http.MethodGet, "http://"+net.JoinHostPort(n.ip, "8080")+"/v2/realtime/channels/a/events", nil)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		res.Body.Close()
		if res.StatusCode != status {
			return fmt.Errorf("answered %d, want %d", res.StatusCode, status)
		}
		return nil
	})
}

func TestKeysOfAConfigMapReachRunningPodsWithEveryChange(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	_, n := w.serve(builtInImage)
	first, firstKeys := signer(t, "first")
	second, secondKeys := signer(t, "second")
	w.patch(`{"spec":{"auth":{"subscribers":{"mode":"JWT","jwt":{"issuer":"https://issuer.example","audiences":["prices"],"jwks":{"configMapRef":{"name":"issuer"}}}}}}}`)
	c := w.condition(v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonConfigMapNotFound)
	if !strings.Contains(c.Message, "ConfigMap issuer with the key jwks.json is not there") {
		t.Errorf("the message is %q", c.Message)
	}
	w.condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRefsNotResolved)
	w.condition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonResolvingRefs)
	n.reads("whatever", http.StatusOK) // nobody is turned away for a name that is not there yet
	w.condition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonMinimumPodsReady)

	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "issuer"}, Data: map[string]string{"jwks.json": firstKeys}}
	w.create(m)
	n.reads(first(), http.StatusOK)
	n.reads(second(), http.StatusUnauthorized)
	w.condition(v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	revision := w.gateway().Status.ActiveRevision

	set := func(text string) {
		t.Helper()
		patch := must(json.Marshal(map[string]any{"data": map[string]string{"jwks.json": text}}))
		if err := cluster.Patch(t.Context(), m, client.RawPatch("application/merge-patch+json", patch)); err != nil {
			t.Fatal(err)
		}
	}
	set(secondKeys)
	n.reads(second(), http.StatusOK)
	n.reads(first(), http.StatusUnauthorized)

	// What cannot be used is told, and leaves the keys of before.
	for text, message := range map[string]string{
		"{": "no JSON object", `{"keys":[]}`: "no public key",
		`{"keys":[{"kty":"oct","kid":"second","k":"c2VjcmV0"}]}`: "a private or a shared key",
	} {
		set(text)
		w.eventually(func() error {
			c := w.condition(v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonInvalidJWKS)
			if !strings.Contains(c.Message, message) || strings.Contains(c.Message, "c2VjcmV0") {
				return fmt.Errorf("the message is %q, want %q", c.Message, message)
			}
			return nil
		})
		n.reads(second(), http.StatusOK)
	}
	if now := w.gateway().Status.ActiveRevision; now != revision {
		t.Errorf("other keys made revision %s of %s", now, revision)
	}
}
