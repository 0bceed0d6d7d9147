package jetstream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/broker/jetstream/natstest"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

func write(t *testing.T, folder, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCredentialsAreReadAgainWhenTheyChange changes them on the server and in
// the folder, as two people do who rotate a password.
func TestCredentialsAreReadAgainWhenTheyChange(t *testing.T) {
	for name, tc := range map[string]struct {
		demand func(o *server.Options, secret string)
		bring  func(t *testing.T, folder, secret string)
	}{
		"token": {
			func(o *server.Options, secret string) { o.Authorization = secret },
			func(t *testing.T, folder, secret string) { write(t, folder, tokenFile, secret+"\n") },
		},
		"username and password": {
			func(o *server.Options, secret string) { o.Username, o.Password = "me", secret },
			func(t *testing.T, folder, secret string) {
				write(t, folder, userFile, "me")
				write(t, folder, passwordFile, secret)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := natstest.Start(t, 1)
			s.Stop(0)
			tc.demand(s.Options[0], "first")
			s.Run(0)
			s.Await()
			o := optionsOf(s, "sg.secret")
			if _, err := Open(t.Context(), o); err == nil {
				t.Fatal("the server asks for nothing")
			}
			o.Credentials = t.TempDir()
			tc.bring(t, o.Credentials, "first")
			l := open(t, o)
			s.Stop(0)
			tc.demand(s.Options[0], "second")
			s.Run(0)
			tc.bring(t, o.Credentials, "second")
			natstest.Eventually(t, "the log takes events with the new secret", func() bool {
				_, err := l.Append(t.Context(), []wire.Event{{Channel: "a", ID: "1", Data: []byte("1")}}, broker.AppendOptions{})
				return err == nil
			})
		})
	}
}

func TestServerIsTrustedByTheMountedAuthorityOnly(t *testing.T) {
	s := natstest.Start(t, 1)
	s.Stop(0)
	folder := t.TempDir()
	certificate := selfSigned(t, folder)
	s.Options[0].TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	s.Run(0)
	s.Await()
	o := optionsOf(s, "sg.tls")
	if _, err := Open(t.Context(), o); err == nil {
		t.Fatal("an unknown authority was trusted")
	}
	o.CA = folder
	l := open(t, o)
	if _, err := l.Append(t.Context(), []wire.Event{{Channel: "a", Data: []byte("1")}}, broker.AppendOptions{}); err != nil {
		t.Error(err)
	}
	// With an authority, a server that speaks no TLS is none.
	plain := natstest.Start(t, 1)
	o.URL = plain.URL()
	if _, err := Open(t.Context(), o); err == nil {
		t.Error("events went over a plain connection")
	}
}

// selfSigned makes a certificate of loopback and writes it as ca.crt.
func selfSigned(t *testing.T, folder string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, folder, caFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
