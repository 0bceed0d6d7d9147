package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// guess opens, beside a secret that is delivered to its own tenant, a gzip
// stream of another tenant, and gives how many bytes an event with a guess of
// that secret takes there.
func guess(t *testing.T, secretTenant, guessTenant, secret, guessed string) (size int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		for _, tenant := range []string{secretTenant, guessTenant} {
			set, err := wire.QualifiedSubSet([]string{wire.Qualify(tenant, "a"), wire.Qualify(tenant, "secrets")})
			if err != nil {
				t.Fatal(err)
			}
			s, err := r.Open(engine.Request{Subs: set, Gzip: true, Identity: engine.Identity{Owner: engine.Owner{Tenant: tenant}}})
			if err != nil {
				t.Fatal(err)
			}
			c := &client{stream: s}
			s.Start(c)
			r.sentFor(c, wire.Qualify(secretTenant, "secrets"), `{"token":"`+secret+`"}`)
			if tenant == guessTenant {
				size = r.sentFor(c, wire.Qualify(tenant, "a"), `{"token":"`+guessed+`"}`)
			}
		}
	})
	return size
}

// TestASecretOfOneTenantTellsNothingInTheLengthsOfAnother tries the compression
// oracle: who guesses a secret sees it in the length of what is compressed
// together with it. The same tenant sees it; that the trick works there shows
// that it would be seen elsewhere.
func TestASecretOfOneTenantTellsNothingInTheLengthsOfAnother(t *testing.T) {
	const secret, wrong = "q8Zt3LwXv0RkPm7NsBdY5HcJ", "7mVb2KxQe9TfWz4GuAoI6ErD"
	for _, c := range []struct {
		secretTenant, guessTenant string
		seen                      bool
	}{
		{"acme", "acme", true},
		{"", "", true},
		{"acme", "evil", false},
		{"", "evil", false},
		{"acme", "", false},
	} {
		t.Run(fmt.Sprintf("%q beside %q", c.secretTenant, c.guessTenant), func(t *testing.T) {
			right, other := guess(t, c.secretTenant, c.guessTenant, secret, secret), guess(t, c.secretTenant, c.guessTenant, wrong, secret)
			if seen := right < other-len(secret)/2; seen != c.seen || !c.seen && right != other {
				t.Errorf("a right guess takes %d bytes, a wrong one %d", right, other)
			}
		})
	}
}

func TestTenantsWithEqualNamesShareNeitherEventsNorCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		clients := map[string]*client{}
		tenants := []string{"", "acme", "evil"}
		for _, tenant := range tenants {
			set, err := wire.QualifiedSubSet([]string{wire.Qualify(tenant, "a"), wire.Qualify(tenant, "b.*"), wire.Qualify(tenant, ">")})
			if err != nil {
				t.Fatal(err)
			}
			s, err := r.Open(engine.Request{Subs: set})
			if err != nil {
				t.Fatal(err)
			}
			clients[tenant] = &client{stream: s}
			s.Start(clients[tenant])
		}
		for i := range 3 {
			for _, tenant := range tenants {
				r.publish(wire.Qualify(tenant, "a"), fmt.Sprintf(`"%d of <%s>"`, i, tenant))
				r.publish(wire.Qualify(tenant, "b.x"), fmt.Sprintf(`"b of <%s>"`, tenant))
			}
		}
		time.Sleep(time.Second)
		for _, tenant := range tenants {
			got := show(clients[tenant].got())
			for _, other := range tenants {
				if n := strings.Count(got, "of <"+other+">"); n != 6 && tenant == other || n != 0 && tenant != other {
					t.Errorf("%q has %d events of %q:\n%s", tenant, n, other, got)
				}
			}
			if strings.Contains(got, tenant+"/") && tenant != "" {
				t.Errorf("%q sees qualified names:\n%s", tenant, got)
			}
			if n := r.Readers(wire.Qualify(tenant, "b.x")); n != 1 {
				t.Errorf("%d readers of %q", n, tenant)
			}
			page := r.History(wire.Qualify(tenant, "a"), wire.Position{Where: wire.Earliest}, 500, 1<<20)
			if len(page.Events) != 3 || !strings.Contains(string(page.Events[0].JSON), "0 of <"+tenant+">") {
				t.Errorf("history of %q: %v", tenant, page)
			}
		}
	})
}
