package streamgateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streamgateway/streamgateway/api/v1alpha1"
)

// holds puts a certificate into the Secret that the node has mounted.
func (n *node) holds(notAfter time.Time) {
	n.w.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		n.w.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: notAfter.Add(-time.Hour), NotAfter: notAfter, DNSNames: []string{"prices"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		n.w.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		n.w.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"tls.key": {Type: "PRIVATE KEY", Bytes: text}, "tls.crt": {Type: "CERTIFICATE", Bytes: der}} {
		file := filepath.Join(n.secret, name)
		if err := errors.Join(os.WriteFile(file+".new", pem.EncodeToMemory(block), 0o600), os.Rename(file+".new", file)); err != nil {
			n.w.Fatal(err)
		}
	}
}

func TestAMissingSecretIsToldAndWaitedForWhileTheOldPodsServe(t *testing.T) {
	w := newWorld(t)
	w.operate(builtInImage)
	w.sample(v1alpha1.StreamGatewaySpec{})
	old, _ := w.serve(builtInImage)
	w.patch(`{"spec":{"gateway":{"image":"g:2"},"listener":{"service":{"port":443},"tls":{"secretName":"prices-tls"}}}}`)
	fresh := w.deployment("g:2")
	n := w.launch(w.pod(fresh))
	c := w.condition(v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonSecretNotFound)
	if !strings.Contains(c.Message, n.pod.Name+": Secret prices-tls is not there") {
		t.Errorf("the message is %q", c.Message)
	}
	w.condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRefsNotResolved)
	w.condition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonResolvingRefs)
	w.condition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonMinimumPodsReady)
	w.event("Warning", "RefNotResolved", "SecretNotFound: pod "+n.pod.Name)

	// No deadline counts against a pod that waits for somebody's Secret.
	w.progress(fresh, 1, 0, "ProgressDeadlineExceeded")
	n.holds(time.Now().Add(-time.Minute))
	c = w.condition(v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonInvalidCertificate)
	if !strings.Contains(c.Message, "the certificate has expired at ") {
		t.Errorf("the message is %q", c.Message)
	}
	w.condition(v1alpha1.ConditionStalled, metav1.ConditionFalse, v1alpha1.ReasonNotStalled)
	if d := w.deployments(); len(d) != 2 || d[0].Name != old.Name {
		t.Errorf("%d Deployments", len(d))
	}

	n.holds(time.Now().Add(time.Hour))
	c = w.condition(v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs)
	if !strings.Contains(c.Message, "the certificate of Secret prices-tls is valid until ") {
		t.Errorf("the message is %q", c.Message)
	}
	w.running(n.pod, n.ip, true)
	w.progress(fresh, 1, 1, "NewReplicaSetAvailable")
	w.condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	sg := w.gateway()
	if sg.Status.URL != fmt.Sprintf("https://prices.%s.svc:443", w.namespace) || meta.IsStatusConditionTrue(sg.Status.Conditions, v1alpha1.ConditionRolledBack) {
		t.Errorf("url %s, %s", sg.Status.URL, summary(sg))
	}
	service := must(get[corev1.Service](w, "prices"))
	if p := service.Spec.Ports[0]; p.Name != "https" || p.AppProtocol == nil || *p.AppProtocol != "https" {
		t.Errorf("the Service's port is %+v", p)
	}
	n.holds(time.Now().Add(5 * time.Minute)) // of an hour
	w.event("Warning", "CertificateExpiring", "the certificate of Secret prices-tls expires at ")
	n.holds(time.Now().Add(time.Hour))
	w.event("Normal", "CertificateInUse", time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:"))
	if err := os.Remove(filepath.Join(n.secret, "tls.crt")); err != nil {
		t.Fatal(err)
	}
	w.condition(v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonInvalidCertificate)
	w.condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRefsNotResolved)
}
