package cluster

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

func bearer(token string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// testSubscribers runs after testReviews, whose account till may publish.
func (w *world) testSubscribers(t *testing.T) {
	w.account(t, "board")
	subscribe := rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{"streamgateways/subscribe"}, Verbs: []string{"create"}, ResourceNames: []string{gateway}}
	w.grant(t, "board", "board", subscribe)
	c := w.connect(t)
	readers := auth.NewSubscriber(c, auth.Subscribers{Mode: auth.ModeKubernetes, Audiences: []string{audience}, CacheTTL: time.Second})
	publishers := auth.New(c, auth.Publishers{Mode: auth.ModeKubernetes, Audiences: []string{audience}, CacheTTL: time.Second})
	board := w.token(t, "board", time.Hour, audience)
	eventually(t, "the role works", func() bool {
		who, err := readers.Authenticate(bearer(board))
		return err == nil && who.Subject == "system:serviceaccount:shop:board" && time.Until(who.Expires) > 50*time.Minute
	})
	if _, err := publishers.Authenticate(bearer(board)); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("the right to read is one to publish: %v", err)
	}
	if _, err := readers.Authenticate(bearer(w.token(t, "till", time.Hour, audience))); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("the right to publish is one to read: %v", err)
	}
	if _, err := readers.Authenticate(bearer(w.token(t, "board", time.Hour))); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("a token for the API server: %v", err)
	}
	must(t, w.admin.RbacV1().RoleBindings(namespace).Delete(t.Context(), "board", metav1.DeleteOptions{}))
	eventually(t, "the right is gone", func() bool {
		_, err := readers.Authenticate(bearer(board))
		return errors.Is(err, auth.ErrDenied)
	})
}

// testOperatorAccount has the operator's own token, which may do much, do what
// it must not: speak to clients through a gateway, or listen to them.
func (w *world) testOperatorAccount(t *testing.T) {
	text, err := os.ReadFile("../../config/rbac/role.yaml")
	must(t, err)
	var role rbacv1.ClusterRole
	must(t, yaml.Unmarshal(text, &role))
	if len(role.Rules) < 5 {
		t.Fatalf("%d rules", len(role.Rules))
	}
	role.Name = "operator-under-test"
	_, err = w.admin.RbacV1().ClusterRoles().Create(t.Context(), &role, metav1.CreateOptions{})
	must(t, err)
	w.account(t, "operator")
	_, err = w.admin.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: "operator"}},
	}, metav1.CreateOptions{})
	must(t, err)
	c := w.connect(t)
	token := w.token(t, "operator", time.Hour, audience)
	for _, right := range []string{auth.RightPublish, auth.RightSubscribe} {
		r, err := c.Review(t.Context(), token, []string{audience}, right)
		if err != nil || !r.Authenticated || r.Allowed {
			t.Errorf("the right to %s: %+v, %v", right, r, err)
		}
	}
	publishers := auth.New(c, auth.Publishers{Mode: auth.ModeKubernetes, Audiences: []string{audience}, CacheTTL: time.Second})
	if _, err := publishers.Authenticate(bearer(token)); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("the operator publishes: %v", err)
	}
}

// testOutage takes the API server away: known tokens stay, new ones wait, and a
// stream's right is not taken for lost.
func (w *world) testOutage(t *testing.T) {
	c := w.connect(t)
	w.account(t, "night")
	w.grant(t, "night", "night", rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{"streamgateways/subscribe", "streamgateways/publish"}, Verbs: []string{"create"}, ResourceNames: []string{gateway}})
	readers := auth.NewSubscriber(c, auth.Subscribers{Mode: auth.ModeKubernetes, Audiences: []string{audience}, CacheTTL: time.Millisecond})
	known, fresh := w.token(t, "night", time.Hour, audience), w.token(t, "night", 30*time.Minute, audience)
	var who *auth.Principal
	eventually(t, "the role works", func() bool {
		var err error
		who, err = readers.Authenticate(bearer(known))
		return err == nil
	})
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close() // nobody listens there any more
	broken := *w
	config := *w.gateway
	config.Host = away.URL
	broken.gateway = &config
	*c = *broken.connect(t)
	time.Sleep(10 * time.Millisecond)
	all, err := wire.NewSubSet([]string{">"})
	must(t, err)
	if _, err := readers.Authenticate(bearer(known)); err != nil {
		t.Errorf("a known token: %v", err)
	}
	if _, err := readers.Authenticate(bearer(fresh)); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("a new token: %v", err)
	}
	if !who.StillMayRead(all) {
		t.Error("a running stream loses its right")
	}
}
