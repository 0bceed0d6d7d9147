package auth

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// unhurried lets requests have keys fetched again at once, as those of a quiet
// minute may.
func (k *keys) unhurried() {
	k.mu.Lock()
	k.at = time.Time{}
	k.mu.Unlock()
}

func set(t *testing.T, names ...string) *wire.SubSet {
	t.Helper()
	s, err := wire.NewSubSet(names)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestANewKeyIsTakenAtOnceAndAnOldOneUntilItIsGone(t *testing.T) {
	i := newIssuer(t, "rsa")
	a := i.fetching()
	withdrawn := make(chan struct{}, 8)
	a.Changed(func() { withdrawn <- struct{}{} })
	old := sign(t, "RS256", "rsa", keyPool()["rsa"], mustJSON(t, claimsOf(nil)))
	reader, err := a.Authenticate(request(old))
	if err != nil {
		t.Fatal(err)
	}
	i.set("rsa", "ec") // the issuer begins to sign with another key, in mid-stream
	a.tokens.keys.unhurried()
	if _, err := a.Authenticate(request(i.token(nil))); err != nil {
		t.Errorf("a token of the new key: %v", err)
	}
	if _, err := a.Authenticate(request(old)); err != nil || !reader.StillMayRead(set(t, "orders.1")) || len(withdrawn) != 0 {
		t.Errorf("a token of the old key: %v", err)
	}
	i.set("ec") // and withdraws the old one
	a.tokens.keys.want()
	select {
	case <-withdrawn:
	case <-time.After(time.Minute):
		t.Fatal("nobody is told that a key is gone")
	}
	if reader.StillMayRead(set(t, "orders.1")) {
		t.Error("a stream of a withdrawn key goes on")
	}
	a.tokens.keys.unhurried()
	if _, err := a.Authenticate(request(old)); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("a token of a withdrawn key, which was remembered: %v", err)
	}
}

func TestAFetchThatBeganBeforeAKeyWasNewIsNotTheLastWordOnIt(t *testing.T) {
	i := newIssuer(t, "rsa")
	a := i.fetching()
	if _, err := a.Authenticate(request(sign(t, "RS256", "rsa", keyPool()["rsa"], mustJSON(t, claimsOf(nil))))); err != nil {
		t.Fatal(err)
	}
	old, held, answer := i.jwks(), make(chan struct{}), make(chan struct{})
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.answer.Store(nil) // for the requests after this one
		close(held)
		<-answer
		_, _ = w.Write(old)
	})
	i.answer.Store(&slow)
	a.tokens.keys.want()
	<-held
	i.set("rsa", "ec")
	a.tokens.keys.unhurried()
	told := make(chan error)
	go func() {
		_, err := a.Authenticate(request(i.token(nil)))
		told <- err
	}()
	for a.tokens.keys.waiting.Load() == 0 {
		runtime.Gosched()
	}
	close(answer)
	if err := <-told; err != nil {
		t.Errorf("a token of the new key: %v", err)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := jsonOf(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestKeysThatCannotBeHadCloseTheGateAndThoseKnownStay(t *testing.T) {
	i := newIssuer(t, "ec")
	inside := false
	hold := make(chan struct{})
	target := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		inside = true
		_, _ = w.Write(i.jwks())
	})
	defer close(hold)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		fault  string
	}{
		"down":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, "the answer is 503"},
		"redirecting":  {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/inside", http.StatusFound) }, "redirects are not followed"},
		"huge":         {func(w http.ResponseWriter, _ *http.Request) { endless(w) }, "over 262144 bytes"},
		"no JSON":      {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, "no JSON object"},
		"without keys": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) }, "no public key"},
		"with a secret": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`))
		}, "no public key"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "999")
			_, _ = w.Write([]byte("{"))
		}, "reading the key set"},
		"of huge head": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 80<<10)) }, "fetching the key set"},
	} {
		t.Run(name, func(t *testing.T) {
			good := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/inside" {
					target(w, r)
					return
				}
				c.answer(w, r)
			})
			i.answer.Store(&good)
			a := i.fetching()
			if _, err := a.Authenticate(request(i.token(nil))); !errors.Is(err, ErrUnavailable) || inside {
				t.Errorf("without keys: %v", err)
			}
			if fault := a.KeysFault(); !strings.Contains(fault, c.fault) {
				t.Errorf("the fault is %q", fault)
			}
			i.answer.Store(nil)
			a.tokens.keys.unhurried()
			if _, err := a.Authenticate(request(i.token(nil))); err != nil || a.KeysFault() != "" {
				t.Fatalf("when it is back: %v, %q", err, a.KeysFault())
			}
			i.answer.Store(&good)
			a.tokens.keys.unhurried()
			_ = a.tokens.keys.refresh(t.Context()) // false when one began and ended since: it had the bad answer as well
			if _, err := a.Authenticate(request(i.token(map[string]any{"sub": "u8"}))); err != nil || a.KeysFault() == "" {
				t.Errorf("with the keys of before: %v, %q", err, a.KeysFault())
			}
			unknown := sign(t, "EdDSA", "ed", keyPool()["ed"], mustJSON(t, claimsOf(nil)))
			if _, err := a.Authenticate(request(unknown)); !errors.Is(err, ErrUnavailable) {
				t.Errorf("a key that may be new: %v", err)
			}
			i.answer.Store(nil)
		})
	}
}

// endless writes until nobody reads.
func endless(w http.ResponseWriter) {
	for {
		if _, err := w.Write([]byte(strings.Repeat(" ", 32<<10))); err != nil {
			return
		}
	}
}

func TestASlowIssuerHoldsRequestsForSecondsAndNotTheKnownOnes(t *testing.T) {
	i := newIssuer(t, "ec")
	a := i.fetching()
	if _, err := a.Authenticate(request(i.token(nil))); err != nil {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	defer close(hold)
	slow := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold })
	i.answer.Store(&slow)
	a.tokens.keys.unhurried()
	var wg sync.WaitGroup
	known := i.token(map[string]any{"sub": "u8"})
	var unknown []string
	for n := range 2 * maxWaiting {
		unknown = append(unknown, sign(t, "EdDSA", fmt.Sprint("made-up-", n), keyPool()["ed"], mustJSON(t, claimsOf(nil))))
	}
	began := time.Now()
	for _, made := range unknown {
		wg.Go(func() {
			if who, err := a.Authenticate(request(made)); err == nil {
				t.Errorf("%+v", who)
			}
		})
	}
	if _, err := a.Authenticate(request(known)); err != nil {
		t.Errorf("a token of a known key: %v", err)
	}
	if took := time.Since(began); took >= keysPatience {
		t.Errorf("it waited %s for keys it does not need", took)
	}
	wg.Wait()
	if took := time.Since(began); took >= 2*keysPatience {
		t.Errorf("requests waited for %s", took)
	}
}

func TestMadeUpKeysDoNotFloodTheIssuer(t *testing.T) {
	i := newIssuer(t, "ec")
	a := i.fetching()
	if _, err := a.Authenticate(request(i.token(nil))); err != nil {
		t.Fatal(err)
	}
	before := i.asked.Load()
	for n := range 200 {
		made := sign(t, "ES256", fmt.Sprint("made-up-", n), keyPool()["ec"], mustJSON(t, claimsOf(nil)))
		if _, err := a.Authenticate(request(made)); !errors.Is(err, ErrUnauthenticated) {
			t.Fatal(err)
		}
	}
	if n := i.asked.Load() - before; n > 1 {
		t.Errorf("asked %d times for 200 made-up keys", n)
	}
}

func TestOnlyStrongPublicKeysOfASetAreTaken(t *testing.T) {
	i := newIssuer(t, "rsa", "weak", "ec", "p384", "ed")
	keys, err := parseKeys(i.jwks())
	if err != nil || len(keys.list) != 3 {
		t.Errorf("%d keys, %v", len(keys.list), err)
	}
	private := mustJSON(t, map[string]any{"keys": []any{map[string]any{"kty": "OKP", "crv": "Ed25519",
		"x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}}})
	if _, err := parseKeys(private); err == nil {
		t.Error("a private key is taken for a public one")
	}
	encryption := strings.ReplaceAll(string(i.jwks()), `"use":"sig"`, `"use":"enc"`)
	if _, err := parseKeys([]byte(encryption)); err == nil {
		t.Error("keys for encryption are taken")
	}
}

func TestAnotherIssuersKeysTakeThePlaceOfTheFormer(t *testing.T) {
	first, second := newIssuer(t, "ec"), newIssuer(t, "ed")
	a := first.fetching()
	token := first.token(nil)
	if _, err := a.Authenticate(request(token)); err != nil {
		t.Fatal(err)
	}
	a.Tune(rulesFor(JWKS{URI: second.server.URL, RefreshInterval: time.Hour}))
	other := sign(t, "EdDSA", "ed", keyPool()["ed"], mustJSON(t, claimsOf(nil)))
	if _, err := a.Authenticate(request(other)); err != nil {
		t.Errorf("a token of the new issuer: %v", err)
	}
	if _, err := a.Authenticate(request(token)); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("a token of the former issuer: %v", err)
	}
}
