package server

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/streamgateway/streamgateway/gateway/broker/jetstream"
	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/report"
)

// brokerReport tells what is wrong with the log that gateways share; nil for a
// log in this pod.
func (s *Server) brokerReport() *report.Broker {
	n := s.cold.Broker.NATS
	if s.cold.Broker.Type == config.BrokerMemory {
		return nil
	}
	b := &report.Broker{}
	refused := s.reach(b)
	if bad := secretTrouble(s.options.NATSPath, n); bad != nil {
		b.Reason, b.Message = bad.reason, bad.message
	} else if secret := n.CredentialsSecretRef.Name; refused && secret != "" {
		b.Reason, b.Message = report.InvalidCredentials, fmt.Sprintf("the servers refuse what Secret %s holds", secret)
	}
	return b
}

// reach tells whether the servers can be reached, and whether that is because
// they do not let this pod in.
func (s *Server) reach(b *report.Broker) (refused bool) {
	if s.opened.Load() { // and stream is set, before
		stats := s.stream.Stats()
		if stats.Down > 0 {
			b.DownSince, b.Message = time.Now().Add(-stats.Down), "the connection to the servers is gone"
		}
		b.Full = stats.Full
		return stats.Refused
	}
	if err := s.unopened.Load(); err != nil {
		b.DownSince, b.Message = s.start, (*err).Error()
		b.Full = jetstream.Full(*err)
		return jetstream.Refused(*err)
	}
	return false
}

// secretTrouble is a mounted Secret without what the log needs of it.
func secretTrouble(folder string, n config.NATS) *trouble {
	credentials, ca := filepath.Join(folder, config.CredentialsFolder), filepath.Join(folder, config.CAFolder)
	if secret := n.CredentialsSecretRef.Name; secret != "" {
		if bad := absent(credentials, secret); bad != nil {
			return bad
		}
		if !jetstream.Identifies(credentials) {
			return &trouble{report.InvalidCredentials, fmt.Sprintf("Secret %s has neither nats.creds, nor token, nor username and password", secret)}
		}
	}
	if secret := n.CASecretRef.Name; secret != "" {
		if bad := absent(ca, secret); bad != nil {
			return bad
		}
		if !x509.NewCertPool().AppendCertsFromPEM(jetstream.Authorities(ca)) {
			return &trouble{report.InvalidCredentials, fmt.Sprintf("Secret %s has no certificate in ca.crt", secret)}
		}
	}
	return nil
}

// absent tells of a Secret that is not mounted, or not yet: but for the kubelet's
// own files, whose names begin with dots, its folder is empty.
func absent(folder, secret string) *trouble {
	entries, _ := os.ReadDir(folder)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "..") {
			return nil
		}
	}
	return &trouble{report.SecretNotFound, fmt.Sprintf("Secret %s is not there, or is empty", secret)}
}
