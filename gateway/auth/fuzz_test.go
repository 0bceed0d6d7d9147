package auth

import (
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// FuzzClaims holds whatever an issuer may sign to what a principal may be.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{"iss":"i","aud":"a","sub":"u7","exp":4e9,"sg":{"tenant":"acme","sub":["orders.>"],"pub":["a"],"presence":true,"limits":{"connections":4}}}`,
		`{"iss":"i","aud":["b","a"],"sub":"u7","exp":4000000000.5,"nbf":0,"sg":["a.*",">"]}`,
		`{"iss":"i","aud":"a","sub":"u\n","exp":-1,"sg":null}`, `{"iss":"i","iss":"j"}`, `[]`, `{"sg":{"sg":{"sg":[]}}}`,
	} {
		f.Add([]byte(seed), "sg")
	}
	f.Fuzz(func(t *testing.T, payload []byte, claim string) {
		rules := &JWT{Issuer: "i", Audiences: []string{"a"}, ChannelsClaim: claim, ClockSkew: time.Second}
		who, err := rules.judge(payload)
		if err != nil {
			if who != nil {
				t.Fatal("a principal comes with a refusal")
			}
			return
		}
		if !harmless(who.Subject) || wire.CheckTenant(who.Tenant) != nil || who.Expires.IsZero() || who.Limits.Connections < 0 {
			t.Fatalf("%+v", who)
		}
		for _, p := range append(who.Sub, who.Pub...) {
			if q, err := wire.ParsePattern(p.Unqualified()); err != nil || p.Tenant() != who.Tenant || q.In(who.Tenant) != p {
				t.Fatalf("the right %q of tenant %q", p, who.Tenant)
			}
		}
	})
}
