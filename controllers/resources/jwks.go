package resources

import (
	"encoding/json"
	"errors"

	"github.com/go-jose/go-jose/v4"

	"github.com/streamgateway/streamgateway/gateway/config"
)

// maxJWKSBytes bounds a key set in the ConfigMap of a gateway, which has room
// for a megabyte in all.
const maxJWKSBytes = 256 << 10

// CheckJWKS tells what is wrong with a key set that pods are to be given: it
// must have a public key, and nothing secret. The error holds none of it.
func CheckJWKS(text string) error {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if len(text) > maxJWKSBytes {
		return errors.New("the key set is over 256 KiB")
	}
	if json.Unmarshal([]byte(text), &set) != nil {
		return errors.New("the key set is no JSON object with a list of keys")
	}
	public := 0
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) != nil {
			continue // of a kind that is not known here
		}
		if !k.IsPublic() {
			return errors.New("the key set holds a private or a shared key; publish public keys alone")
		}
		public++
	}
	if public == 0 {
		return errors.New("the key set has no public key")
	}
	return nil
}

// KeySetRefs are the keys of ConfigMaps that settings refer to, each once.
func KeySetRefs(all ...config.Hot) []config.KeyRef {
	var refs []config.KeyRef
	seen := map[config.KeyRef]bool{{}: true}
	for _, hot := range all {
		for _, ref := range []config.KeyRef{hot.Auth.Subscribers.JWT.JWKS.ConfigMapRef, hot.Auth.Publishers.JWT.JWKS.ConfigMapRef} {
			if !seen[ref] {
				seen[ref] = true
				refs = append(refs, ref)
			}
		}
	}
	return refs
}
