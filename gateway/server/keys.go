package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/report"
)

// keyPoll is how often the mounted secret is looked at.
const keyPoll = time.Second

// sharedKey follows the secret that all replicas share, from which everything that is
// sealed for clients is derived. It is mounted, so it may be absent at first, and
// is another one after somebody has deleted it.
type sharedKey struct {
	path  string // folder of report.KeysFile
	log   *slog.Logger
	take  func(secret []byte) error
	last  []byte
	fault atomic.Pointer[string] // one of report's constants; nil = the secret is in use
}

// openKeys makes a secret of this process's own where none is mounted: its
// tickets are of no use elsewhere, and end with it.
func (s *Server) openKeys() error {
	s.tickets = &auth.Tickets{}
	if s.options.Keys == "" {
		secret := make([]byte, auth.KeyBytes)
		_, _ = rand.Read(secret) // never fails
		return s.tickets.Use(secret)
	}
	s.shared = &sharedKey{path: filepath.Join(s.options.Keys, report.KeysFile), log: s.log, take: s.useSecret}
	s.shared.look()
	return nil
}

// useSecret makes tickets with another secret, and ends the streams of those
// that were made with the one before.
func (s *Server) useSecret(secret []byte) error {
	if err := s.tickets.Use(secret); err != nil {
		return err
	}
	if s.engine != nil { // not yet, at the start
		s.engine.Judge()
	}
	return nil
}

// follow looks until ctx ends.
func (k *sharedKey) follow(ctx context.Context) { every(ctx, keyPoll, k.look) }

// look takes over another secret than the last one. One that is away or cannot
// be used leaves the one before in use: its tickets are still out there.
func (k *sharedKey) look() {
	secret, err := os.ReadFile(k.path)
	fault := report.SharedInvalid
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fault = report.SharedMissing
	case err == nil && bytes.Equal(secret, k.last):
		k.fault.Store(nil)
		return
	case err == nil:
		if err = k.take(secret); err == nil {
			k.last = secret
			k.log.Info("keys run")
			k.fault.Store(nil)
			return
		}
	}
	if old := k.fault.Swap(&fault); old == nil || *old != fault {
		k.log.Warn("keys cannot be read; those of before stay in use, if any", "fault", fault, "error", err)
	}
}

// state is what the pod's report says of its keys.
func (k *sharedKey) state() string {
	if k == nil {
		return ""
	}
	if fault := k.fault.Load(); fault != nil {
		return *fault
	}
	return ""
}
