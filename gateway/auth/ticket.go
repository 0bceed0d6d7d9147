package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// TicketKind says where a ticket may be shown.
type TicketKind string

// Kinds of tickets. One is never taken for another.
const (
	TicketQuery  TicketKind = "ticket" // as the parameter ticket=, by a native EventSource
	TicketCookie TicketKind = "cookie" // as the cookie CookieName
)

// KeyBytes is the size of the secret that all replicas share.
const KeyBytes = 32

const (
	// ticketPrefix lets people and scanners of secrets tell what a text is. It
	// changes with the format.
	ticketPrefix = "sgt1_"
	// maxTicketBytes fits a cookie, which browsers keep up to 4096 bytes of.
	maxTicketBytes = 3500
	keyPurpose     = "streamgateway tickets v1"
)

// ErrTicketSize says that a ticket for all these channels would be too long.
var ErrTicketSize = errors.New("too many channels for one ticket")

// Tickets makes tickets and reads them: short-lived credentials of those who
// read, for clients that can send no header. A ticket holds what its owner may
// read, sealed (AES-256-GCM), so that it can be neither changed nor read. It is
// safe for concurrent use.
type Tickets struct{ key atomic.Pointer[ticketKey] }

type ticketKey struct{ cipher.AEAD }

// Use takes over the secret of all replicas: what was made with another one is
// of no use from then on. It fails for a secret that has not KeyBytes.
func (t *Tickets) Use(secret []byte) error {
	if len(secret) != KeyBytes {
		return fmt.Errorf("deriving the ticket key: the secret has %d bytes, not %d", len(secret), KeyBytes)
	}
	derived, err := hkdf.Key(sha256.New, secret, nil, keyPurpose, 32)
	if err != nil {
		return fmt.Errorf("deriving the ticket key: %w", err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return fmt.Errorf("deriving the ticket key: %w", err)
	}
	sealed, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return fmt.Errorf("deriving the ticket key: %w", err)
	}
	t.key.Store(&ticketKey{sealed})
	return nil
}

// Grant is what a ticket is made of.
type Grant struct {
	Who     *Principal     // with the rights that the ticket gives
	Sub     []wire.Pattern // of the rights of Who, those that the ticket gives
	Origin  string         // of the page that asked, the only one that may show it; "" = a program asked
	Expires time.Time      // to the second
	Mode    string         // of Subscribers, without which it is worth nothing
}

// sealedGrant is what a ticket holds, in few bytes.
type sealedGrant struct {
	Subject     string   `json:"s,omitempty"`
	Tenant      string   `json:"t,omitempty"`
	Channels    []string `json:"c"` // as the tenant writes them
	Connections int      `json:"l,omitempty"`
	Presence    bool     `json:"p,omitempty"`
	Origin      string   `json:"o,omitempty"`
	Expires     int64    `json:"e"` // seconds since 1970
	Mode        string   `json:"m"`
}

// Make makes a ticket. The error is ErrTicketSize, or ErrUnavailable as long as
// there is no secret.
func (t *Tickets) Make(kind TicketKind, g Grant) (string, error) {
	key := t.key.Load()
	if key == nil {
		return "", fmt.Errorf("%w: this pod has no key for tickets yet", ErrUnavailable)
	}
	names := make([]string, len(g.Sub))
	for i, p := range g.Sub {
		names[i] = p.Unqualified()
	}
	plain, err := json.Marshal(sealedGrant{
		Subject: g.Who.Subject, Tenant: g.Who.Tenant, Channels: names, Connections: g.Who.Limits.Connections,
		Presence: g.Who.Presence, Origin: g.Origin, Expires: g.Expires.Unix(), Mode: g.Mode,
	})
	if err != nil {
		return "", fmt.Errorf("making a ticket: %w", err)
	}
	text := ticketPrefix + base64.RawURLEncoding.EncodeToString(key.Seal(nil, nil, plain, []byte(kind)))
	if len(text) > maxTicketBytes {
		return "", ErrTicketSize
	}
	return text, nil
}

// read opens a ticket. Who it makes may read what it says for as long as the
// secret stays the same; origin is of the page that it was made for.
func (t *Tickets) read(kind TicketKind, text, mode string) (who *Principal, origin string, err error) {
	key := t.key.Load()
	if key == nil {
		return nil, "", fmt.Errorf("%w: this pod has no key for tickets yet", ErrUnavailable)
	}
	bad := fmt.Errorf("%w: the %s is not one of this gateway", ErrUnauthenticated, kind)
	encoded, ok := strings.CutPrefix(text, ticketPrefix)
	// The decoder would pass over line breaks, and a ticket has one spelling.
	if !ok || len(text) > maxTicketBytes || strings.ContainsAny(text, "\r\n") {
		return nil, "", bad
	}
	box, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, "", bad
	}
	plain, err := key.Open(nil, nil, box, []byte(kind))
	if err != nil {
		return nil, "", bad
	}
	var g sealedGrant
	if err := json.Unmarshal(plain, &g); err != nil || g.Mode != mode {
		return nil, "", bad
	}
	who = &Principal{
		Subject: g.Subject, Tenant: g.Tenant, Expires: time.Unix(g.Expires, 0), Presence: g.Presence,
		Limits: Limits{Connections: g.Connections},
	}
	if !time.Now().Before(who.Expires) {
		return nil, "", fmt.Errorf("%w: %w", ErrUnauthenticated, ErrExpired)
	}
	for _, p := range patterns(g.Channels) {
		who.Sub = append(who.Sub, p.In(g.Tenant))
	}
	who.standing = &ticketed{who, t, key}
	return who, g.Origin, nil
}
