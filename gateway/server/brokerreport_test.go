package server

import (
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/report"
)

func TestASecretOfTheLogWithoutWhatItNeedsIsTold(t *testing.T) {
	both := config.NATS{CredentialsSecretRef: config.SecretRef{Name: "nats-user"}, CASecretRef: config.SecretRef{Name: "nats-ca"}}
	server := httptest.NewTLSServer(http.NotFoundHandler())
	server.Close()
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	known := map[string]string{"ca/ca.crt": authority, "credentials/token": "s3cret"}
	with := func(more map[string]string) map[string]string {
		all := maps.Clone(known)
		maps.Copy(all, more)
		return all
	}
	for name, c := range map[string]struct {
		nats   config.NATS
		files  map[string]string
		reason string
		words  string
	}{
		"no Secret is named":           {config.NATS{}, nil, "", ""},
		"a token and an authority":     {both, known, "", ""},
		"a user and a password":        {both, map[string]string{"ca/ca.crt": authority, "credentials/username": "me", "credentials/password": "s3cret"}, "", ""},
		"a file of credentials":        {both, map[string]string{"ca/ca.crt": authority, "credentials/nats.creds": "s3cret"}, "", ""},
		"no folder":                    {both, map[string]string{"ca/ca.crt": authority}, report.SecretNotFound, "Secret nats-user is not there"},
		"the kubelet's own files":      {both, map[string]string{"ca/ca.crt": authority, "credentials/..data": "s3cret"}, report.SecretNotFound, "Secret nats-user is not there"},
		"a user without a password":    {both, map[string]string{"ca/ca.crt": authority, "credentials/username": "me"}, report.InvalidCredentials, "Secret nats-user has neither"},
		"an empty token":               {both, with(map[string]string{"credentials/token": ""}), report.InvalidCredentials, "Secret nats-user has neither"},
		"no authority":                 {both, map[string]string{"credentials/token": "s3cret"}, report.SecretNotFound, "Secret nats-ca is not there"},
		"an authority of another name": {both, map[string]string{"credentials/token": "s3cret", "ca/tls.crt": authority}, report.InvalidCredentials, "Secret nats-ca has no certificate"},
		"an authority that is none":    {both, with(map[string]string{"ca/ca.crt": "s3cret"}), report.InvalidCredentials, "Secret nats-ca has no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			for name, text := range c.files {
				if err := os.MkdirAll(filepath.Join(folder, filepath.Dir(name)), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got := secretTrouble(folder, c.nats)
			if got == nil {
				got = &trouble{}
			}
			if got.reason != c.reason || !strings.Contains(got.message, c.words) || strings.Contains(got.message, "s3cret") {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestAPodWithoutItsLogSaysWhyBeforeItIsReady(t *testing.T) {
	folder := t.TempDir()
	cold := `{"gateway":{"namespace":"shop","name":"prices"},"broker":{"type":"NATS","subjectPrefix":"sg.shop.prices","nats":{"url":"nats://127.0.0.1:1","credentialsSecretRef":{"name":"nats-user"}}}}`
	if err := os.WriteFile(filepath.Join(folder, config.ColdKey("t")), []byte(cold), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{
		Config: folder, TemplateHash: "t", NATSPath: t.TempDir(), Pod: "prices-1", Listen: "127.0.0.1:0", Admin: "127.0.0.1:0",
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx := t.Context()
	go func() { ended <- s.Run(ctx) }()
	_, admin := s.Addresses()
	var r report.Report
	for deadline := time.Now().Add(20 * time.Second); r.Broker == nil || r.Broker.DownSince.IsZero(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the report says %+v of the log", r.Broker)
		}
		answer, err := http.Get("http://" + admin + report.Path)
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(answer.Body).Decode(&r)
		answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	if r.Pod != "prices-1" || r.Ready || r.Broker.Reason != report.SecretNotFound || !strings.Contains(r.Broker.Message, "Secret nats-user is not there") {
		t.Errorf("the report is %+v, of the log %+v", r, r.Broker)
	}
}
