package jetstream

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// Refused tells whether an error says that the servers do not let this log in.
func Refused(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) ||
		errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired)
}

// Full tells whether an error says that the servers have no room: of the
// account, of a server's share, of memory, of storage, or while storing.
func Full(err error) bool {
	return slices.Contains([]natsjs.ErrorCode{10002, 10023, 10028, 10047, 10077}, codeOf(err))
}

// Identifies tells whether a mounted Secret holds something that servers may
// know a log by.
func Identifies(folder string) bool {
	has := func(name string) bool {
		f, err := os.Stat(filepath.Join(folder, name))
		return err == nil && f.Size() > 0
	}
	return has(credsFile) || has(tokenFile) || has(userFile) && has(passwordFile)
}

// Authorities are the certificates, as PEM, that a mounted Secret holds; empty:
// none.
func Authorities(folder string) []byte {
	text, _ := os.ReadFile(filepath.Join(folder, caFile))
	return text
}
