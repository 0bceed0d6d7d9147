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
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
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

// quickPoll is how often tests read the files.
const quickPoll = 10 * time.Millisecond

// secured is a gateway with TLS and the folder of its certificate.
type secured struct {
	*gateway
	folder  string // of its certificate
	configs string
	root    *x509.CertPool
}

// withSecret launches a gateway whose cold document names a Secret that is not
// there yet, with this hot document.
func withSecret(t *testing.T, hot func(*config.Hot), change ...func(*Options)) *secured {
	t.Helper()
	folder := t.TempDir()
	g := &secured{folder: t.TempDir(), root: x509.NewCertPool()}
	cold, _ := config.Default()
	cold.Listener.TLS.SecretName = "prices-tls"
	text, err := config.Encode(cold)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(folder, "cold.json"), text)
	writeFile(t, filepath.Join(folder, config.HotKey), (&gateway{t: t}).document(hot))
	g.gateway = launch(t, func(o *Options) {
		o.Dev, o.Config, o.TLSPath = false, folder, g.folder
		for _, f := range change {
			f(o)
		}
	}, func(s *Server) { s.certificate.poll = quickPoll })
	g.configs = folder
	return g
}

// opened waits until the gateway says that it is ready; its port for clients is
// open then, at the latest.
func (s *secured) opened() {
	s.t.Helper()
	s.eventually("ready", func() bool { return s.status(s.admin+report.ReadyzPath) == 200 })
	main, _ := s.Addresses()
	s.base = "https://" + main + "/v2/realtime"
}

// told waits until the report says this of the certificate.
func (s *secured) told(reason, message string) report.TLS {
	s.t.Helper()
	var last report.TLS
	s.eventually(reason+": "+message, func() bool {
		last = *s.report().TLS
		return last.Reason == reason && strings.Contains(last.Message, message)
	})
	return last
}

func startSecured(t *testing.T) *secured {
	t.Helper()
	s := &secured{folder: t.TempDir(), root: x509.NewCertPool()}
	s.rotate(t, 1, time.Now().Add(time.Hour))
	s.gateway = startAltered(t, func(o *Options) {
		o.TLSCert, o.TLSKey = filepath.Join(s.folder, "tls.crt"), filepath.Join(s.folder, "tls.key")
	}, func(g *Server) { g.certificate.poll = quickPoll })
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
	c := newCertificate(certPath, keyPath, "", slog.New(slog.DiscardHandler))
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
	time.Sleep(20 * quickPoll) // it has been read, and nothing may follow from it
	if n := g.serial(); n != 1 {
		t.Errorf("certificate %d is used", n)
	}
	g.rotate(t, 3, now.Add(time.Hour))
	g.eventually("a good one is used again", func() bool { return g.serial() == 3 })
}

func TestAGatewayWithoutItsSecretOpensTheAdminPortOnlyAndHealsByItself(t *testing.T) {
	g := withSecret(t, func(*config.Hot) {})
	g.told(report.SecretNotFound, "Secret prices-tls is not there")
	if main, _ := g.Addresses(); main != "" {
		t.Errorf("clients may connect to %s without a certificate", main)
	}
	if code := g.status(g.admin + report.ReadyzPath); code != 503 {
		t.Errorf("ready: %d", code)
	}
	now := time.Now()
	cert, key := pemPair(t, 1, now.Add(time.Hour))
	writeFile(t, filepath.Join(g.folder, secretCert), cert)
	g.told(report.InvalidCertificate, "Secret prices-tls: tls.key: no such file")
	writeFile(t, filepath.Join(g.folder, secretKey), []byte("none"))
	bad := g.told(report.InvalidCertificate, "Secret prices-tls: tls: failed to find any PEM data in key input")
	if !bad.NotAfter.IsZero() {
		t.Errorf("a certificate is used: %+v", bad)
	}
	g.rotate(t, 2, now.Add(-time.Minute))
	g.told(report.InvalidCertificate, "Secret prices-tls: the certificate has expired at ")
	g.rotate(t, 3, now.Add(72*time.Hour)) // begins in a day
	g.told(report.InvalidCertificate, "Secret prices-tls: the certificate is not valid before ")
	if code := g.status(g.admin + report.ReadyzPath); code != 503 {
		t.Errorf("ready: %d", code)
	}
	g.root.AppendCertsFromPEM(cert)
	writeFile(t, filepath.Join(g.folder, secretKey), key)
	writeFile(t, filepath.Join(g.folder, secretCert), cert)
	g.opened()
	if n, r := g.serial(), g.report().TLS; n != 1 || r.Reason != "" || !r.NotAfter.Equal(now.Add(time.Hour).Truncate(time.Second)) {
		t.Errorf("certificate %d, %+v", n, r)
	}
}

// follow opens a stream and tells what comes of it.
func (s *secured) follow(client *http.Client, channel string) (*http.Response, *bufio.Scanner) {
	s.t.Helper()
	res, err := client.Get(s.base + "/stream?channels=" + channel)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = res.Body.Close() })
	return res, bufio.NewScanner(res.Body)
}

// publish sends one event over a connection of its own.
func (s *secured) publish(channel, data string, change func(*tls.Config)) {
	s.t.Helper()
	res, err := s.client(change).Post(s.base+"/channels/"+channel+"/events", "application/json", strings.NewReader(data))
	if err != nil {
		s.t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 200 {
		s.t.Fatalf("publishing: %d", res.StatusCode)
	}
}

// TestStreamsOutliveTheirCertificate follows streams of HTTP/1.1 and HTTP/2
// while the certificate is rotated, expires, and the Secret is deleted.
func TestStreamsOutliveTheirCertificate(t *testing.T) {
	g := withSecret(t, func(*config.Hot) {})
	begun := time.Now()
	g.rotate(t, 1, begun.Add(4*time.Second))
	g.opened()
	// Clients that come before it expires, however long they take to come.
	early := func(c *tls.Config) { c.Time = func() time.Time { return begun } }
	var streams []*bufio.Scanner
	for _, protocols := range []string{"HTTP/1.1", "HTTP/2.0"} {
		client := g.client(early)
		client.Transport.(*http.Transport).ForceAttemptHTTP2 = protocols == "HTTP/2.0"
		res, lines := g.follow(client, "prices")
		if res.Proto != protocols {
			t.Errorf("got %s, want %s", res.Proto, protocols)
		}
		streams = append(streams, lines)
	}
	got := func(data string, change func(*tls.Config)) {
		t.Helper()
		g.publish("prices", data, change)
		for i, lines := range streams {
			for lines.Scan() && lines.Text() != "data: "+data {
			}
			if lines.Text() != "data: "+data {
				t.Fatalf("stream %d ended: %v", i, lines.Err())
			}
		}
	}
	got(`"first"`, early)
	g.told(report.InvalidCertificate, "the certificate has expired at ")
	if res, err := g.client(nil).Get(g.base + "/time"); err == nil {
		_ = res.Body.Close()
		t.Error("a client takes the expired certificate")
	}
	g.rotate(t, 2, time.Now().Add(time.Hour))
	g.eventually("the new certificate is used", func() bool { return g.report().TLS.Reason == "" })
	got(`"rotated"`, nil)
	for _, name := range []string{secretCert, secretKey} {
		if err := os.Remove(filepath.Join(g.folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	g.told(report.SecretNotFound, "Secret prices-tls is not there")
	got(`"deleted"`, nil)
	if n, code := g.serial(), g.status(g.admin+report.ReadyzPath); n != 2 || code != 200 {
		t.Errorf("certificate %d, readiness %d", n, code)
	}
}

func TestTheOldestTLSIsHotAndForNewConnections(t *testing.T) {
	g := withSecret(t, func(*config.Hot) {})
	g.rotate(t, 1, time.Now().Add(time.Hour))
	g.opened()
	old := func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }
	res, lines := g.follow(g.client(old), "prices")
	if res.TLS.Version != tls.VersionTLS12 {
		t.Fatalf("TLS %x", res.TLS.Version)
	}
	writeFile(t, filepath.Join(g.configs, config.HotKey), g.document(func(h *config.Hot) {
		h.Listener.TLS.MinVersion = config.TLS13
		h.Batching.Window = 0
	}))
	g.eventually("TLS 1.2 is refused", func() bool {
		res, err := g.client(old).Get(g.base + "/time")
		if err == nil {
			_ = res.Body.Close()
		}
		return err != nil && strings.Contains(err.Error(), "protocol version")
	})
	g.publish("prices", `"after"`, nil)
	for lines.Scan() && lines.Text() != `data: "after"` {
	}
	if lines.Text() != `data: "after"` {
		t.Errorf("the stream of TLS 1.2 ended: %v", lines.Err())
	}
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
