package auth

import (
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// BenchmarkAToken is what a request's token costs when it is known, and when it
// has to be verified.
func BenchmarkAToken(b *testing.B) {
	set := jose.JSONWebKeySet{}
	for _, kid := range []string{"rsa", "ec", "ed"} {
		private := jose.JSONWebKey{Key: keyPool()[kid], KeyID: kid}
		set.Keys = append(set.Keys, private.Public())
	}
	text, err := jsonOf(set)
	if err != nil {
		b.Fatal(err)
	}
	payload, err := jsonOf(claimsOf(nil))
	if err != nil {
		b.Fatal(err)
	}
	a := NewSubscriber(nil, rulesFor(JWKS{Keys: string(text)}))
	for kid, alg := range map[string]jose.SignatureAlgorithm{"rsa": jose.RS256, "ec": jose.ES256, "ed": jose.EdDSA} {
		r := request(sign(b, alg, kid, keyPool()[kid], payload))
		for name, forget := range map[string]bool{"known": false, "new": true} {
			b.Run(string(alg)+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if forget {
						clear(a.tokens.tokens)
					}
					if _, err := a.Authenticate(r); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	b.Run("everybody", func(b *testing.B) {
		open := NewSubscriber(nil, Subscribers{Mode: ModeAnonymous})
		r := request("")
		for b.Loop() {
			if _, err := open.Authenticate(r); err != nil {
				b.Fatal(err)
			}
		}
	})
}
