package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/report"
)

const (
	certificatePoll = time.Second
	// Keys of a Secret of type kubernetes.io/tls.
	secretCert = "tls.crt"
	secretKey  = "tls.key"
)

// certificate is the pair of files that the port for clients answers with. A
// new pair is for new connections; open ones keep what they began with. A pair
// that cannot be used, as during a change of both files, leaves the one before.
type certificate struct {
	certPath, keyPath string
	secret            string // that is mounted there; "" = files named by hand
	log               *slog.Logger
	poll              time.Duration
	pair              atomic.Pointer[pair] // nil = none could be used yet
	usable            chan struct{}        // closed when there is one
	oldest            atomic.Pointer[tls.Config]
	trouble           atomic.Pointer[trouble] // with what was read last; nil = none
}

// pair is what the files held.
type pair struct {
	cert, key []byte
	use       tls.Certificate
}

// trouble is a certificate that cannot be used, as the report says it.
type trouble struct{ reason, message string }

func (t *trouble) Error() string { return t.message }

// newCertificate makes a certificate that has not been read yet.
func newCertificate(certPath, keyPath, secret string, log *slog.Logger) *certificate {
	c := &certificate{certPath: certPath, keyPath: keyPath, secret: secret, log: log, poll: certificatePoll, usable: make(chan struct{})}
	c.tune(config.TLS12)
	return c
}

// read gives the pair in the files, or what is wrong with it. Secrets may be
// missing for good reasons, and are told of by their name.
func (c *certificate) read(now time.Time) (*pair, error) {
	var p pair
	var certErr, keyErr, err error
	p.cert, certErr = os.ReadFile(c.certPath)
	p.key, keyErr = os.ReadFile(c.keyPath)
	if c.secret != "" && errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist) {
		return nil, &trouble{report.SecretNotFound, fmt.Sprintf("Secret %s is not there, or has neither %s nor %s", c.secret, secretCert, secretKey)}
	}
	switch {
	case certErr != nil:
		return nil, c.invalid(certErr)
	case keyErr != nil:
		return nil, c.invalid(keyErr)
	}
	if p.use, err = tls.X509KeyPair(p.cert, p.key); err != nil {
		return nil, c.invalid(err)
	}
	if end := p.use.Leaf.NotAfter; now.After(end) {
		return nil, c.invalid(fmt.Errorf("the certificate has expired at %s", end.UTC().Format(time.RFC3339)))
	}
	if begin := p.use.Leaf.NotBefore; now.Before(begin) {
		return nil, c.invalid(fmt.Errorf("the certificate is not valid before %s", begin.UTC().Format(time.RFC3339)))
	}
	return &p, nil
}

func (c *certificate) invalid(err error) error {
	if c.secret == "" {
		return &trouble{report.InvalidCertificate, err.Error()}
	}
	if missing := new(fs.PathError); errors.As(err, &missing) {
		return &trouble{report.InvalidCertificate, fmt.Sprintf("Secret %s: %s: %v", c.secret, filepath.Base(missing.Path), missing.Err)}
	}
	return &trouble{report.InvalidCertificate, fmt.Sprintf("Secret %s: %v", c.secret, err)}
}

// follow reads the files again and again until ctx ends. It looks at their
// content: a mounted Secret is swapped by a symbolic link.
func (c *certificate) follow(ctx context.Context) {
	every(ctx, c.poll, func() { c.load(time.Now()) })
}

// load takes over what the files hold, if that can be used. It is called by
// one goroutine at a time.
func (c *certificate) load(now time.Time) {
	next, err := c.read(now)
	if bad := new(trouble); errors.As(err, &bad) {
		if before := c.trouble.Swap(bad); before == nil || *before != *bad {
			c.log.Warn("reading the TLS certificate; the one before, if any, is used on", "error", err)
		}
		return
	}
	c.trouble.Store(nil)
	before := c.pair.Load()
	if before != nil && bytes.Equal(next.cert, before.cert) && bytes.Equal(next.key, before.key) {
		return
	}
	c.pair.Store(next)
	if before == nil {
		close(c.usable)
	}
	c.log.Info("new TLS certificate", "notAfter", next.use.Leaf.NotAfter)
}

// await returns when there is a certificate that can be used; false when ctx
// ended before.
func (c *certificate) await(ctx context.Context) bool {
	select {
	case <-c.usable:
		return true
	case <-ctx.Done():
		return false
	}
}

// ready tells whether clients can be answered.
func (c *certificate) ready() bool { return c == nil || c.pair.Load() != nil }

// report is nil without TLS.
func (c *certificate) report() *report.TLS {
	if c == nil {
		return nil
	}
	r := &report.TLS{SecretName: c.secret}
	if bad := c.trouble.Load(); bad != nil {
		r.Reason, r.Message = bad.reason, bad.message
	}
	if p := c.pair.Load(); p != nil {
		r.NotBefore, r.NotAfter = p.use.Leaf.NotBefore, p.use.Leaf.NotAfter
	}
	return r
}

// tune sets the oldest TLS that new connections may speak.
func (c *certificate) tune(oldest string) {
	if c == nil {
		return
	}
	version := uint16(tls.VersionTLS12)
	if oldest == config.TLS13 {
		version = tls.VersionTLS13
	}
	if now := c.oldest.Load(); now != nil && now.MinVersion == version {
		return // it holds the keys of sessions, which clients resume
	}
	c.oldest.Store(&tls.Config{
		MinVersion: version, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &c.pair.Load().use, nil },
	})
}

// config is for the port. It is asked at every handshake.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.oldest.Load(), nil },
	}
}

// openCertificate reads the files of the options, or the Secret that the cold
// document names. A person who names files is told at once what is wrong with
// them; a Secret may come later.
func (s *Server) openCertificate() error {
	o, secret := s.options, s.cold.Listener.TLS.SecretName
	switch {
	case o.TLSCert == "" && o.TLSKey == "" && secret == "":
		return nil
	case o.TLSCert == "" && o.TLSKey == "" && o.TLSPath == "":
		return fmt.Errorf("reading the TLS certificate: --tls-path does not say where Secret %s is mounted", secret)
	case o.TLSCert == "" && o.TLSKey == "":
		s.certificate = newCertificate(filepath.Join(o.TLSPath, secretCert), filepath.Join(o.TLSPath, secretKey), secret, s.log)
		s.certificate.load(time.Now())
		return nil
	case o.TLSCert == "" || o.TLSKey == "":
		return errors.New("reading the TLS certificate: certificate and key go together")
	}
	s.certificate = newCertificate(o.TLSCert, o.TLSKey, "", s.log)
	if s.certificate.load(time.Now()); !s.certificate.ready() {
		return fmt.Errorf("reading the TLS certificate: %w", s.certificate.trouble.Load())
	}
	return nil
}
