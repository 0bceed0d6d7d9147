//go:build e2e

package e2e

import (
	"net/http"
	"testing"
	"time"
)

// TestPublishingIsClosedUntilARoleOpensIt tries every way in.
func TestPublishingIsClosedUntilARoleOpensIt(t *testing.T) {
	ns := cluster.Namespace(t)
	base := cluster.Gateway(t, ns, "prices", "{}")
	other := cluster.Gateway(t, ns, "quotes", "{}")
	granted := cluster.Publisher(t, ns, "prices")
	cluster.Apply(t, ns, "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: stranger}\n")

	for _, c := range []struct {
		name, base, token string
		want              int
	}{
		{"no token", base, "", http.StatusUnauthorized},
		{"no token at all, only letters", base, "letters", http.StatusUnauthorized},
		{"a token for the API server", base, cluster.Token(t, ns, "publisher-prices", "https://kubernetes.default.svc"), http.StatusUnauthorized},
		{"a token for somebody else", base, cluster.Token(t, ns, "publisher-prices", "example.com"), http.StatusUnauthorized},
		{"an account without a Role", base, cluster.Token(t, ns, "stranger", "streamgateway.io"), http.StatusForbidden},
		{"a Role for another gateway", other, granted, http.StatusForbidden},
		{"the account with the Role", base, granted, http.StatusOK},
	} {
		if status, answer := cluster.Publish(t, c.base, c.token, "finance.revenue", `{"a":1}`); status != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, status, answer, c.want)
		}
	}

	// The right is taken away again: in force when what was cached has aged.
	cluster.Kubectl(t, "", "delete", "rolebinding", "-n", ns, "publisher-prices")
	took := Eventually(t, 30*time.Second, "publishing is closed again", func() error {
		if status, _ := cluster.Publish(t, base, granted, "finance.revenue", `{"a":2}`); status != http.StatusForbidden {
			return errNotYet
		}
		return nil
	})
	t.Logf("a right that was taken away was gone after %.1f s", took.Seconds())
}
