package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// JWKS says where keys come from: a document that is fetched, or one that is
// given.
type JWKS struct {
	URI             string        // "" = Keys
	Keys            string        // a JWK set
	RefreshInterval time.Duration // of URI
}

const (
	maxKeySetBytes  = 256 << 10
	maxKeys         = 100
	minRSABits      = 2048
	fetchTimeout    = 5 * time.Second
	fetchPause      = 5 * time.Second // between fetches that requests ask for
	fetchRetry      = time.Second     // after the first failure; doubles up to fetchRetryMax
	fetchRetryMax   = time.Minute
	keysPatience    = 3 * time.Second // of a request that waits for a fetch
	maxHeaderOfKeys = 64 << 10        // bytes
	maxWaiting      = 256             // requests that wait for a fetch
)

// publicKey is one of an issuer's.
type publicKey struct {
	id, algorithm string // of the set; "" = it does not say
	thumbprint    string
	public        any
}

// keySet is all keys of an issuer at one moment.
type keySet struct {
	list   []publicKey
	byName map[string]bool // thumbprints
}

// parseKeys reads a JWK set. Keys of kinds that are not taken are passed over.
func parseKeys(text []byte) (*keySet, error) {
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, errors.New("the key set is no JSON object with a list of keys")
	}
	set := &keySet{byName: map[string]bool{}}
	for _, one := range raw.Keys[:min(len(raw.Keys), maxKeys)] {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(one) != nil || k.Use != "" && k.Use != "sig" {
			continue
		}
		algorithm := algorithmOf(k.Key)
		thumb, err := k.Thumbprint(crypto.SHA256)
		if algorithm == "" || err != nil || k.Algorithm != "" && k.Algorithm != algorithm {
			continue
		}
		name := base64.RawURLEncoding.EncodeToString(thumb)
		set.list = append(set.list, publicKey{k.KeyID, algorithm, name, k.Key})
		set.byName[name] = true
	}
	if len(set.list) == 0 {
		return nil, errors.New("the key set has no public key for RS256 (2048 bits at least), ES256 or EdDSA")
	}
	return set, nil
}

// algorithmOf is the one that a key is taken for, "" for none.
func algorithmOf(k any) string {
	switch k := k.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() >= minRSABits {
			return string(jose.RS256)
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return string(jose.ES256)
		}
	case ed25519.PublicKey:
		return string(jose.EdDSA)
	}
	return ""
}

// keys holds the newest key set that could be had. What cannot be fetched or
// read leaves the one before in its place.
type keys struct {
	client  *http.Client
	changed func() // called when a key is gone
	set     atomic.Pointer[keySet]
	broken  atomic.Pointer[string]
	wanted  chan struct{}
	waiting atomic.Int64 // requests

	mu      sync.Mutex
	source  JWKS
	running chan struct{} // closed when the fetch that runs has ended, well or not; nil = none runs
	next    chan struct{} // the same of the next one to begin
	at      time.Time     // when the last one began
}

func (k *keys) init(changed func()) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = maxHeaderOfKeys
	k.client = &http.Client{
		Transport: transport, Timeout: fetchTimeout,
		// Who may answer for the issuer is written in the configuration.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	k.changed, k.wanted, k.next = changed, make(chan struct{}, 1), make(chan struct{})
}

func (k *keys) tune(source JWKS) {
	k.mu.Lock()
	old := k.source
	k.source = source
	moved := old.URI != source.URI
	if moved {
		k.at = time.Time{}
		if old.URI != "" {
			k.set.Store(nil) // of another issuer
		}
	}
	k.mu.Unlock()
	switch {
	case source == JWKS{}:
		k.set.Store(nil)
		k.broken.Store(nil)
	case source.URI != "" && moved:
		k.want()
	case source.URI == "" && (old.Keys != source.Keys || moved):
		_ = k.take([]byte(source.Keys), nil) // who tunes has everybody judged anew
	}
}

func (k *keys) want() {
	select {
	case k.wanted <- struct{}{}:
	default:
	}
}

// take makes a key set the one that counts, or notes what is wrong with it. It
// tells whether a key is gone by that.
func (k *keys) take(text []byte, err error) (gone bool) {
	set := (*keySet)(nil)
	if err == nil {
		set, err = parseKeys(text)
	}
	if err != nil {
		fault := err.Error()
		k.broken.Store(&fault)
		return false
	}
	k.broken.Store(nil)
	old := k.set.Swap(set)
	if old != nil {
		for name := range old.byName {
			gone = gone || !set.byName[name]
		}
	}
	return gone
}

func (k *keys) fault() string {
	if fault := k.broken.Load(); fault != nil {
		return *fault
	}
	return ""
}

// know tells whether a key is one of the issuer's.
func (k *keys) know(thumbprint string) bool {
	set := k.set.Load()
	return set != nil && set.byName[thumbprint]
}

// trust tells whether a key that was the issuer's still is. While none are known
// there is no reason to doubt it.
func (k *keys) trust(thumbprint string) bool {
	set := k.set.Load()
	return set == nil || set.byName[thumbprint]
}

// run fetches keys when it is time to, or when somebody wants them, until ctx
// ends.
func (k *keys) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	retry := fetchRetry
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-k.wanted:
		}
		source := k.begin()
		next := time.Hour
		if source.URI != "" {
			if k.fetch(ctx, source.URI) == nil { // faults are told by fault
				next, retry = source.RefreshInterval, fetchRetry
			} else {
				next, retry = min(retry, source.RefreshInterval), min(2*retry, fetchRetryMax)
			}
		}
		timer.Reset(next)
	}
}

// begin is the moment from which on a fetch sees what the issuer has: whoever
// wanted one until now gets it with this one.
func (k *keys) begin() JWKS {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.wanted:
	default:
	}
	if k.source.URI != "" {
		k.running, k.next, k.at = k.next, make(chan struct{}), time.Now()
	}
	return k.source
}

// fetch ends what begin began.
func (k *keys) fetch(ctx context.Context, uri string) error {
	text, err := k.get(ctx, uri)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	k.mu.Lock()
	gone := false
	if k.source.URI == uri { // else it is the former issuer's
		gone = k.take(text, err)
	}
	close(k.running)
	k.running = nil
	k.mu.Unlock()
	if gone {
		k.changed()
	}
	return err
}

// get reads a key set, bounded in time and size.
func (k *keys) get(ctx context.Context, uri string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return nil, errors.New("the address of the key set cannot be read")
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := k.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("fetching the key set: %w", withoutURL(err))
	}
	defer func() { _ = res.Body.Close() }() // it was read, or is of no use
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetching the key set: the answer is %d; redirects are not followed", res.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxKeySetBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the key set: %w", err)
	case len(text) > maxKeySetBytes:
		return nil, fmt.Errorf("the key set is over %d bytes", maxKeySetBytes)
	}
	return text, nil
}

// withoutURL keeps an address, which may hold what is not everybody's to read,
// out of an error that is shown in status.
func withoutURL(err error) error {
	if of, ok := errors.AsType[*url.Error](err); ok {
		return of.Err
	}
	return err
}

// find gives the keys that may have signed a token. One that is not known makes
// the set be fetched again, so that an issuer may begin to sign with a new key
// at once.
func (k *keys) find(ctx context.Context, id, algorithm string) ([]publicKey, error) {
	set := k.set.Load()
	for waited := false; ; waited = true {
		if found := set.find(id, algorithm); len(found) > 0 {
			return found, nil
		}
		before := set
		refreshed := !waited && k.refresh(ctx)
		set = k.set.Load()
		if !refreshed && set == before {
			if set == nil || k.fault() != "" { // it may be one that cannot be fetched just now
				return nil, fmt.Errorf("%w: the issuer's keys are not known", ErrUnavailable)
			}
			return nil, fmt.Errorf("%w: the token is signed with no key of its issuer", ErrUnauthenticated)
		}
	}
}

func (s *keySet) find(id, algorithm string) (found []publicKey) {
	if s == nil {
		return nil
	}
	for _, one := range s.list {
		if one.algorithm == algorithm && (id == "" || one.id == id) && len(found) < maxKeysTried {
			found = append(found, one)
		}
	}
	return found
}

// refresh waits for a fetch that begins now, since one that runs may have read
// the set before a new key was in it. When the last one began just now it waits
// for no more than its end: tokens with made-up keys must not become requests to
// the issuer.
func (k *keys) refresh(ctx context.Context) bool {
	k.mu.Lock()
	due, fetched := k.source.URI != "" && time.Since(k.at) >= fetchPause, k.running
	if due {
		fetched = k.next
	}
	k.mu.Unlock()
	defer k.waiting.Add(-1)
	if k.waiting.Add(1) > maxWaiting || fetched == nil {
		return false
	}
	if due {
		k.want()
	}
	patience := time.NewTimer(keysPatience)
	defer patience.Stop()
	select {
	case <-fetched:
		return true
	case <-patience.C:
	case <-ctx.Done():
	}
	return false
}
