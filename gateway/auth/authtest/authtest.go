// Package authtest signs tokens for tests, good ones and bad ones. Only tests
// import it.
package authtest

import (
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// Sign makes a JWT in compact form of a payload, whatever that holds. by.Key is
// what go-jose takes for the algorithm; a jose.JSONWebKey puts its id into the header.
func Sign(t testing.TB, by jose.SigningKey, options *jose.SignerOptions, payload []byte) string {
	t.Helper()
	signer, err := jose.NewSigner(by, options)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}
