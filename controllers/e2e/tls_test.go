//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
	"github.com/streamgateway/streamgateway/gateway/noloss"
)

// authority signs certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e2e"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a := &authority{pool: x509.NewCertPool()}
	var der []byte
	a.key, der = sign(t, template, template, nil)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

func sign(t *testing.T, template, parent *x509.Certificate, by *ecdsa.PrivateKey) (key *ecdsa.PrivateKey, der []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if by == nil {
		by = key
	}
	if der, err = x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by); err != nil {
		t.Fatal(err)
	}
	return key, der
}

// issue makes the content of a Secret: a certificate with this serial number.
func (a *authority) issue(t *testing.T, host string, serial int64, lifetime time.Duration) map[string][]byte {
	t.Helper()
	key, der := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lifetime), DNSNames: []string{host},
	}, a.cert, a.key)
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}),
	}
}

// hurry makes the kubelet look at the Secrets of the gateway's pods now: it
// would do so by itself within a minute or so.
func (c *Cluster) hurry(t *testing.T, namespace string) {
	t.Helper()
	c.Kubectl(t, "", "annotate", "pods", "-n", namespace, "-l", "streamgateway.io/component=gateway", "--overwrite", fmt.Sprintf("e2e/hurry=%d", time.Now().UnixNano()))
}

// show prints what a person sees of the gateway.
func (c *Cluster) show(t *testing.T, namespace, moment string) {
	t.Helper()
	t.Logf("%s\n%s%s", moment, c.Kubectl(t, "", "get", "-n", namespace, "sg", "prices"), c.Kubectl(t, "", "get", "-n", namespace, "sg", "prices", "-o",
		`jsonpath={range .status.conditions[?(@.type=="ResolvedRefs")]}{.type}={.status} {.reason}: {.message}{"\n"}{end}`))
}

// condition waits for a condition.
func (c *Cluster) condition(t *testing.T, namespace, kind string, status metav1.ConditionStatus, reason string) time.Duration {
	t.Helper()
	return Eventually(t, 30*time.Second, kind+" "+reason, func() error {
		have := meta.FindStatusCondition(c.Get(t, namespace, "prices").Status.Conditions, kind)
		if have == nil || have.Status != status || have.Reason != reason {
			return fmt.Errorf("it is %+v", have)
		}
		return nil
	})
}

// TestACertificateIsWaitedForRotatedAndExpiresWithoutAStreamDropped counts
// every event over streams of HTTP/1.1 and HTTP/2 while that happens.
func TestACertificateIsWaitedForRotatedAndExpiresWithoutAStreamDropped(t *testing.T) {
	ns := cluster.Namespace(t)
	host, ca := "prices."+ns, newAuthority(t)
	cluster.Apply(t, ns, "apiVersion: streamgateway.io/v1alpha1\nkind: StreamGateway\nmetadata: {name: prices}\nspec: {listener: {service: {port: 443}, tls: {secretName: prices-tls}}}\n")
	cluster.condition(t, ns, v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonSecretNotFound)
	cluster.show(t, ns, "without the Secret")

	secrets := cluster.Core.CoreV1().Secrets(ns)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "prices-tls"}, Type: corev1.SecretTypeTLS, Data: ca.issue(t, host, 1, time.Hour)}
	secret, err := secrets.Create(t.Context(), secret, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cluster.hurry(t, ns)
	t.Logf("ready %s after the Secret was there", cluster.condition(t, ns, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady).Round(time.Millisecond))
	cluster.show(t, ns, "with it")

	client := func(http2 bool) *Cluster {
		own := *cluster
		own.HTTP = &http.Client{Transport: &http.Transport{
			DialContext: cluster.HTTP.Transport.(*http.Transport).DialContext, TLSClientConfig: &tls.Config{RootCAs: ca.pool}, ForceAttemptHTTP2: http2, MaxIdleConnsPerHost: 4,
		}}
		return &own
	}
	base := "https://" + host + ":443/v2/realtime"
	client(false).Answers(t, base+"/time")
	open := client(true).Audience(t, base, 50, "finance.revenue")
	o := load(t, ns, base)
	o.Client, o.Cuts, o.Duration, o.Strict = client(false).HTTP, 0, 25*time.Second, true
	done := make(chan struct{})
	var result noloss.Result
	go func() {
		defer close(done)
		result, err = noloss.Run(t.Context(), o)
	}()
	served := func() (serial int64) {
		conn, err := cluster.HTTP.Transport.(*http.Transport).DialContext(t.Context(), "tcp", host+":443")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		secure := tls.Client(conn, &tls.Config{RootCAs: ca.pool, ServerName: host, Time: func() time.Time { return time.Now().Add(-time.Minute) }})
		if err := secure.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return secure.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	rotate := func(serial int64, lifetime time.Duration) {
		t.Helper()
		secret.Data = ca.issue(t, host, serial, lifetime)
		if secret, err = secrets.Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		cluster.hurry(t, ns)
		took := Eventually(t, 30*time.Second, "another certificate", func() error {
			if got := served(); got != serial {
				return fmt.Errorf("certificate %d is served", got)
			}
			return nil
		})
		t.Logf("certificate %d served %s after the Secret was changed", serial, took.Round(time.Millisecond))
	}
	rotate(2, 12*time.Second) // nobody renews it in time
	cluster.condition(t, ns, v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonInvalidCertificate)
	cluster.show(t, ns, "expired")
	if n := served(); n != 2 {
		t.Errorf("certificate %d is served", n)
	}
	rotate(3, 24*time.Hour)
	cluster.condition(t, ns, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	cluster.show(t, ns, "renewed")
	<-done
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("streams through all of it:\n%s", result)
	if !result.Passed || result.Connections != o.Subscribers {
		t.Errorf("want every event once for each subscriber, over one connection each")
	}
	if err := open.Open(); err != nil {
		t.Errorf("streams of HTTP/2 were dropped: %v", err)
	}
	cluster.condition(t, ns, v1alpha1.ConditionNoLossVerified, metav1.ConditionTrue, v1alpha1.ReasonVerified)
	events := cluster.Kubectl(t, "", "get", "events", "-n", ns, "--field-selector", "involvedObject.kind=StreamGateway", "--sort-by=.metadata.creationTimestamp")
	t.Logf("events:\n%s", events)
	for _, reason := range []string{"RefNotResolved", "CertificateInUse", "CertificateExpiring"} {
		if !strings.Contains(events, reason) {
			t.Errorf("no event %s", reason)
		}
	}
}
