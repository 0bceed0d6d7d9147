package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

const certificatePoll = time.Second

// certificate is the pair of files that the port for clients answers with. A
// new pair is for new connections; open ones keep what they began with. A pair
// that cannot be used, as during a change of both files, leaves the one before.
type certificate struct {
	certPath, keyPath string
	log               *slog.Logger
	pair              atomic.Pointer[pair]
}

// pair is what the files held.
type pair struct {
	cert, key []byte
	use       tls.Certificate
}

// newCertificate reads the pair that the gateway starts with.
func newCertificate(certPath, keyPath string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certPath: certPath, keyPath: keyPath, log: log}
	first, err := c.read(time.Now())
	if err != nil {
		return nil, fmt.Errorf("reading the TLS certificate: %w", err)
	}
	c.pair.Store(first)
	return c, nil
}

func (c *certificate) read(now time.Time) (*pair, error) {
	var p pair
	var err error
	if p.cert, err = os.ReadFile(c.certPath); err != nil {
		return nil, err
	}
	if p.key, err = os.ReadFile(c.keyPath); err != nil {
		return nil, err
	}
	if p.use, err = tls.X509KeyPair(p.cert, p.key); err != nil {
		return nil, err
	}
	if end := p.use.Leaf.NotAfter; now.After(end) {
		return nil, fmt.Errorf("%s has expired at %s", c.certPath, end.Format(time.RFC3339))
	}
	return &p, nil
}

// follow reads the files again and again until ctx ends. It looks at their
// content: a mounted Secret is swapped by a symbolic link.
func (c *certificate) follow(ctx context.Context) {
	tick := time.NewTicker(certificatePoll)
	defer tick.Stop()
	complaint := ""
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		next, err := c.read(time.Now())
		if err != nil {
			if err.Error() != complaint {
				complaint = err.Error()
				c.log.Warn("reading the TLS certificate; the one before is used on", "error", err)
			}
			continue
		}
		complaint = ""
		if now := c.pair.Load(); !bytes.Equal(next.cert, now.cert) || !bytes.Equal(next.key, now.key) {
			c.pair.Store(next)
			c.log.Info("new TLS certificate", "notAfter", next.use.Leaf.NotAfter)
		}
	}
}

// config is for the port: TLS 1.2 or newer.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &c.pair.Load().use, nil
		},
	}
}

// openCertificate reads the files of the options, if there are any.
func (s *Server) openCertificate() error {
	o := s.options
	switch {
	case o.TLSCert == "" && o.TLSKey == "":
		return nil
	case o.TLSCert == "" || o.TLSKey == "":
		return errors.New("reading the TLS certificate: certificate and key go together")
	}
	var err error
	s.certificate, err = newCertificate(o.TLSCert, o.TLSKey, s.log)
	return err
}
