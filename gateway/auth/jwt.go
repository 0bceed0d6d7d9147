package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// JWT says which signed tokens are taken.
type JWT struct {
	Issuer        string        // iss that tokens must carry
	Audiences     []string      // one of which must be in aud
	JWKS          JWKS          // keys that tokens are signed with
	ChannelsClaim string        // holds tenant and patterns; dots lead into objects
	ClockSkew     time.Duration // leeway on exp and nbf
}

// maxTokens bounds the verified tokens that are remembered: about a kilobyte
// each.
const maxTokens = 8192

// maxKeysTried bounds what a token costs that does not say which key it is
// signed with.
const maxKeysTried = 8

// algorithms are the signatures taken: of one party alone, so that nobody who
// verifies could sign, and none that are known to be weak.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}
}

// token is one that was verified: what it says, and whose word that is.
type token struct {
	payload []byte // JSON
	signer  string // of keySet
	judged  atomic.Pointer[judgement]
}

// judgement is what a token's claims mean under rules.
type judgement struct {
	rules *JWT
	who   *Principal
	err   error
}

// verifier judges JWTs.
type verifier struct {
	rules atomic.Pointer[JWT]
	keys  keys
	// standing is given to the principals; nil = they have none.
	standing func(*token) standing

	mu     sync.Mutex
	tokens map[key]*token
}

func (v *verifier) init(changed func()) {
	v.keys.init(changed)
	v.tokens = map[key]*token{}
}

// tune takes over other rules. Equal ones keep what was judged by them.
func (v *verifier) tune(j JWT, needed bool) {
	if old := v.rules.Load(); old == nil || !reflect.DeepEqual(*old, j) {
		v.rules.Store(&j)
	}
	if !needed {
		j.JWKS = JWKS{}
	}
	v.keys.tune(j.JWKS)
}

// verify says whose token this is. The error is ErrUnauthenticated or
// ErrUnavailable, with the reason.
func (v *verifier) verify(ctx context.Context, text string) (*Principal, error) {
	k := key(sha256.Sum256([]byte(text)))
	v.mu.Lock()
	t := v.tokens[k]
	v.mu.Unlock()
	if t != nil && v.keys.know(t.signer) {
		if who, err := v.again(t); err == nil && time.Now().Before(who.Expires) {
			return who, nil
		}
	}
	t, err := v.open(ctx, text)
	if err != nil {
		return nil, err
	}
	who, err := v.again(t)
	if err != nil {
		return nil, err
	}
	if !time.Now().Before(who.Expires) {
		return nil, fmt.Errorf("%w: %w", ErrUnauthenticated, ErrExpired)
	}
	v.remember(k, t)
	return who, nil
}

// open reads a token and verifies its signature.
func (v *verifier) open(ctx context.Context, text string) (*token, error) {
	signed, err := jose.ParseSignedCompact(text, algorithms())
	if err != nil || len(signed.Signatures) != 1 {
		return nil, fmt.Errorf("%w: the token is no JWT signed with RS256, ES256 or EdDSA", ErrUnauthenticated)
	}
	header := signed.Signatures[0].Header
	candidates, err := v.keys.find(ctx, header.KeyID, header.Algorithm)
	if err != nil {
		return nil, err
	}
	for _, c := range candidates {
		if payload, err := signed.Verify(c.public); err == nil {
			return &token{payload: payload, signer: c.thumbprint}, nil
		}
	}
	return nil, fmt.Errorf("%w: the token is signed with no key of its issuer", ErrUnauthenticated)
}

// again says what a verified token is worth under the rules and keys of now.
// Whether it has expired is left to the caller.
func (v *verifier) again(t *token) (*Principal, error) {
	if !v.keys.trust(t.signer) {
		return nil, fmt.Errorf("%w: the key of the token was withdrawn", ErrUnauthenticated)
	}
	rules := v.rules.Load()
	last := t.judged.Load()
	if last == nil || last.rules != rules {
		last = &judgement{rules: rules}
		if last.who, last.err = rules.judge(t.payload); last.err == nil && v.standing != nil {
			last.who.standing = v.standing(t)
		}
		t.judged.Store(last)
	}
	return last.who, last.err
}

// remember keeps a verified token until it expires, or until the room is needed.
func (v *verifier) remember(k key, t *token) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.tokens) >= maxTokens {
		now := time.Now()
		for old, t := range v.tokens {
			if j := t.judged.Load(); j == nil || j.err != nil || !now.Before(j.who.Expires) {
				delete(v.tokens, old)
			}
		}
	}
	for old := range v.tokens { // any one: it costs its owner one more verification
		if len(v.tokens) < maxTokens {
			break
		}
		delete(v.tokens, old)
	}
	v.tokens[k] = t
}

// errClaims is about what a token says, and holds none of its values.
func errClaims(what string) error { return fmt.Errorf("%w: %w", ErrUnauthenticated, errors.New(what)) }
