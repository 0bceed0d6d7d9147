package server

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/report"
)

// pemPair makes a certificate for loopback with this serial number.
func pemPair(t *testing.T, serial int64, notAfter time.Time) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: notAfter.Add(-48 * time.Hour), NotAfter: notAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}

// secured is a gateway with TLS and the folder of its certificate.
type secured struct {
	*gateway
	folder string
	root   *x509.CertPool
}

func startSecured(t *testing.T) *secured {
	t.Helper()
	s := &secured{folder: t.TempDir(), root: x509.NewCertPool()}
	s.rotate(t, 1, time.Now().Add(time.Hour))
	s.gateway = start(t, func(o *Options) {
		o.TLSCert, o.TLSKey = filepath.Join(s.folder, "tls.crt"), filepath.Join(s.folder, "tls.key")
	})
	s.base = "https" + strings.TrimPrefix(s.base, "http")
	return s
}

func (s *secured) rotate(t *testing.T, serial int64, notAfter time.Time) {
	t.Helper()
	cert, key := pemPair(t, serial, notAfter)
	writeFile(t, filepath.Join(s.folder, "tls.crt"), cert)
	writeFile(t, filepath.Join(s.folder, "tls.key"), key)
	s.root.AppendCertsFromPEM(cert)
}

// client is a new client with connections of its own.
func (s *secured) client(change func(*tls.Config)) *http.Client {
	config := &tls.Config{RootCAs: s.root}
	if change != nil {
		change(config)
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// serial is the number of the certificate that a new connection is given.
func (s *secured) serial() int64 {
	s.t.Helper()
	res, err := s.client(nil).Get(s.base + "/time")
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.TLS.PeerCertificates[0].SerialNumber.Int64()
}

func TestANewCertificateIsForNewConnectionsAndDropsNoStream(t *testing.T) {
	g := startSecured(t)
	client := g.client(nil)
	res, err := client.Get(g.base + "/stream?channels=prices")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.ProtoMajor != 2 || res.TLS.PeerCertificates[0].SerialNumber.Int64() != 1 {
		t.Errorf("got %s with certificate %d", res.Proto, res.TLS.PeerCertificates[0].SerialNumber)
	}
	g.rotate(t, 2, time.Now().Add(time.Hour))
	g.eventually("the new certificate is used", func() bool { return g.serial() == 2 })
	posted, err := g.client(nil).Post(g.base+"/channels/prices/events", "application/json", strings.NewReader(`"after"`))
	if err != nil {
		t.Fatal(err)
	}
	_ = posted.Body.Close()
	if posted.StatusCode != 200 {
		t.Fatalf("publishing: %d", posted.StatusCode)
	}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() && lines.Text() != `data: "after"` {
	}
	if lines.Text() != `data: "after"` {
		t.Errorf("the stream ended: %v", lines.Err())
	}
	if res, err := http.Get(g.admin + report.ReadyzPath); err != nil || res.StatusCode != 200 {
		t.Errorf("the admin port is plain, for the kubelet: %v", err)
	}
}

func TestACertificateThatCannotBeUsedLeavesTheOneBefore(t *testing.T) {
	folder := t.TempDir()
	certPath, keyPath := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	write := func(cert, key []byte) {
		writeFile(t, certPath, cert)
		writeFile(t, keyPath, key)
	}
	now := time.Now()
	cert, key := pemPair(t, 1, now.Add(time.Hour))
	otherCert, _ := pemPair(t, 2, now.Add(time.Hour))
	expiredCert, expiredKey := pemPair(t, 3, now.Add(-time.Minute))
	c := &certificate{certPath: certPath, keyPath: keyPath, log: slog.New(slog.DiscardHandler)}
	for name, try := range map[string]struct {
		cert, key []byte
		want      string
	}{
		"one that has expired":      {expiredCert, expiredKey, "has expired at"},
		"the key of another one":    {otherCert, key, "private key does not match"},
		"text that is none":         {[]byte("none"), key, "failed to find any PEM data"},
		"a certificate without key": {cert, nil, "failed to find any PEM data"},
	} {
		write(try.cert, try.key)
		if _, err := c.read(now); err == nil || !strings.Contains(err.Error(), try.want) {
			t.Errorf("%s: %v, want %q", name, err, try.want)
		}
	}
	write(cert, key)
	if p, err := c.read(now); err != nil || p.use.Leaf.SerialNumber.Int64() != 1 {
		t.Error(err)
	}

	g := startSecured(t)
	g.rotate(t, 2, now.Add(-time.Minute))
	time.Sleep(certificatePoll + 200*time.Millisecond) // it has been read, and nothing may follow from it
	if n := g.serial(); n != 1 {
		t.Errorf("certificate %d is used", n)
	}
	g.rotate(t, 3, now.Add(time.Hour))
	g.eventually("a good one is used again", func() bool { return g.serial() == 3 })
}

func TestTheHintOfAGatewayWithTLSNamesHTTPS(t *testing.T) {
	for line := range strings.SplitSeq(strings.TrimSpace(Try("127.0.0.1:8443", true)), "\n") {
		if !strings.Contains(line, "https://127.0.0.1:8443/") {
			t.Error(line)
		}
	}
}

func TestClientsOfAnOlderTLSAreRefused(t *testing.T) {
	g := startSecured(t)
	if res, err := g.client(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }).Get(g.base + "/time"); err == nil {
		_ = res.Body.Close()
		t.Error("TLS 1.1 is taken")
	}
	if res, err := g.client(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }).Get(g.base + "/time"); err != nil {
		t.Error(err)
	} else {
		_ = res.Body.Close()
	}
}
