package streamgateway

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"

	"github.com/streamgateway/streamgateway/controllers/resources"
)

// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=roles;rolebindings,verbs=get;list;watch;create;patch
// The operator may grant only what it holds itself:
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=localsubjectaccessreviews,verbs=create

// access gives the pods an account and the two rights they need.
func (r *Reconciler) access(ctx context.Context, s *scope) error {
	_, account := ensure(ctx, r, s, &corev1.ServiceAccount{}, resources.Account(s.sg), corev1ac.ExtractServiceAccount)
	_, role := ensure(ctx, r, s, &rbacv1.Role{}, resources.Role(s.sg), rbacv1ac.ExtractRole)
	_, binding := ensure(ctx, r, s, &rbacv1.RoleBinding{}, resources.RoleBinding(s.sg), rbacv1ac.ExtractRoleBinding)
	return errors.Join(account, role, binding)
}
